"""Any timm model as an encoder: ``timm/<model>`` with its weights, ``untrained/<model>`` without."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench import EncoderFamily, EncoderInfo, Preprocess, WeightsSource
from benchbench.errors import PluginError, WeightsError

from .recipe import Recipe
from .timm_cards import TimmCard, card

if TYPE_CHECKING:
    import torch

TRAINED, UNTRAINED = "timm/", "untrained/"

_CITATION = """@misc{rw2019timm,
  author={Ross Wightman},
  title={PyTorch Image Models},
  year={2019},
  publisher={GitHub},
  doi={10.5281/zenodo.4414861},
  howpublished={\\url{https://github.com/huggingface/pytorch-image-models}}
}"""


def _preprocess(c: TimmCard) -> Preprocess:
    geometry: Any = {"resize": c.resize, "resize_to": c.resize_to, "interpolation": c.interpolation}
    return Preprocess(
        name="timm",
        size=c.size,
        mean=c.mean,
        std=c.std,
        source=f"timm's configuration of {c.model}",
        **geometry,
    )


def _common(c: TimmCard) -> dict[str, Any]:
    return {
        "architecture": c.model,
        "embed_dim": c.embed_dim,
        "preprocess": _preprocess(c),
        "pooling": "as timm's model does without its classifier",
        "parameters": c.parameters,
    }


def _trained(name: str) -> EncoderInfo:
    c = card(name.removeprefix(TRAINED))
    if not c.trained:
        raise PluginError(
            f"timm has no pretrained weights for {c.model!r}.",
            fix=f"use {UNTRAINED}{c.model} for a control, or a model of timm.list_pretrained()",
        )
    downloads = tuple(n for n in (Path(c.url).name,) if n)
    return EncoderInfo(
        name=name,
        title=f"timm {c.model}",
        load=partial(load_trained, c.model),
        weights=WeightsSource(
            file_name=f"{c.model}/model.safetensors",
            other_names=(f"{c.model}.safetensors", f"{c.model}.pth", *downloads),
            licence=c.licence,
            how_to_obtain=f"Hosted on the Hugging Face hub as {c.hub_repo}."
            if c.hub_repo
            else f"At {c.url}.",
            url=c.url or None,
            hub_repo=c.hub_repo or None,
            source="timm",
        ),
        licence=c.licence,
        citation=_CITATION,
        notes="Taken from timm as it is; what it was trained on is in timm's model card.",
        **_common(c),
    )


def _untrained(name: str) -> EncoderInfo:
    c = card(name.removeprefix(UNTRAINED))
    recipe = Recipe(encoder=name, timm_model=c.model)
    return EncoderInfo(
        name=name,
        title=f"untrained control, {c.model}",
        load=recipe.load,
        weights=None,
        licence="none: there are no trained weights",
        citation="",
        notes="Random weights, the same ones on every run. A control: what the architecture gives untrained.",
        **_common(c),
    )


def load_trained(model: str, path: Path | None, device: str) -> torch.nn.Module:
    """Load a timm model through timm's own checkpoint code, all names and shapes enforced."""
    if path is None:
        return Recipe(encoder=f"{TRAINED}{model}", timm_model=model).load(None, device)
    import timm

    try:
        # With timm's own number of classes its loader is strict; the classifier goes afterwards.
        module: Any = timm.create_model(model, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except Exception as error:
        raise WeightsError(
            f"The weights file is not a checkpoint of timm's {model}.",
            where=str(path),
            details=[line.strip()[:300] for line in str(error).strip().splitlines()[:3]],
            fix=f"see which file is meant with: bench weights how-to {TRAINED}{model}",
        ) from error
    module.reset_classifier(0)
    loaded: torch.nn.Module = module.eval().to(device)
    return loaded


FAMILIES = (
    EncoderFamily(TRAINED, "any pretrained timm model", _trained, example="timm/resnet18.a1_in1k"),
    EncoderFamily(UNTRAINED, "any timm architecture with random weights", _untrained, "untrained/resnet18"),
)
