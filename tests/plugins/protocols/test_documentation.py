"""The reference page lists every protocol, every setting with its default, and every preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchbench_protocols import benchbench_protocols
from benchbench_protocols.fine_tune import PRESETS

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


def flat(recipe: Recipe) -> dict[str, object]:
    settings = recipe.model_dump()
    varied = settings.pop("augmentation")
    return {**settings, **{f"augmentation.{name}": value for name, value in varied.items()}}


def agrees(cell: str, value: object) -> bool:
    """Whether a table's cell says a value; a share is printed with three digits."""
    if isinstance(value, tuple) and all(isinstance(v, float) for v in value):
        return json.loads(cell) == pytest.approx(value, rel=0.005)
    return cell == ("none" if value == "" else shown(value))


def test_every_recipe_of_fine_tune_is_on_the_page_as_it_is_resolved():
    table = PAGE.split("### Presets")[1].split("\n- ")[0]
    header, _, *rows = [
        [c.strip(" `") for c in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"
    ]
    recipes = {name: flat(Recipe(**settings)) for name, settings in PRESETS.items()}
    assert header[1:] == list(recipes)
    said = {name: cells for name, *cells in rows}
    for setting in recipes["benchbench"]:
        values = [r[setting] for r in recipes.values()]
        if any(v != values[0] for v in values):
            assert all(map(agrees, said[setting], values)), setting
    assert said.keys() <= recipes["benchbench"].keys()


def test_what_fine_tune_does_to_images_where_nothing_is_said_is_on_the_page():
    for name, value in Recipe().augmentation.model_dump().items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert agrees(row.split("|")[3].strip(), value), name
