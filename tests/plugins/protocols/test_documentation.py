"""The reference page lists every protocol, every setting with its default, and every preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbench_protocols import benchbench_protocols

from benchbench.training.recipe import Augmentation, Recipe

PAGE = (Path(__file__).parents[3] / "docs/reference/protocols.md").read_text()
MODELS = {m.__name__: m for m in (*(p.config for p in benchbench_protocols()), Recipe, Augmentation)}


def shown(value):
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if hasattr(value, "model_dump"):
        return "see below"
    return json.dumps(value).strip('"')


@pytest.mark.parametrize("info", benchbench_protocols(), ids=lambda p: p.name)
def test_every_protocol_and_preset_is_on_the_page(info):
    assert f"| `{info.name}` | {info.title} |" in PAGE
    for preset in info.presets:
        assert f"`{preset}`" in PAGE


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_setting_is_on_the_page_with_its_default(model):
    for name, field in model.model_fields.items():
        assert f"| `{name}` | {shown(field.default)} |" in PAGE, name


@pytest.mark.parametrize("info", benchbench_protocols(), ids=lambda p: p.name)
def test_every_preset_and_the_demonstration_fit_their_protocol(info):
    for settings in ({}, *info.presets.values()):
        info.config(**settings)
        info.config(**{**settings, **info.demo})
