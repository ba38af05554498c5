"""What timm says about one of its models, without importing timm where that can be avoided.

timm takes seconds to import and brings torch, and plans must be fast. A card is looked up among those shipped
with benchbench, then in the user's cache; only then is timm asked, in a process of its own unless it is imported
already, and the answer is kept for this version of timm.

Run as a module with a model name it prints the card as JSON.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from benchbench.errors import PluginError, did_you_mean
from benchbench.store import atomic_write, default_root


@dataclass(frozen=True)
class TimmCard:
    """The facts about a timm model that an encoder card needs."""

    model: str
    embed_dim: int
    parameters: int
    size: int
    resize: str
    resize_to: int | None
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    hub_repo: str
    url: str
    trained: bool
    """False: the name has no pretrained weights in timm."""


@lru_cache
def card(model: str) -> TimmCard:
    """The card of a timm model; raises `PluginError` with the nearest known name."""
    shipped = json.loads(files(__package__).joinpath("timm_cards.json").read_text(encoding="utf-8"))
    if model in shipped:
        return _from_json(shipped[model])
    kept = default_root() / "timm" / version("timm") / f"{model.replace('/', '_')}.json"
    try:
        return _from_json(json.loads(kept.read_bytes()))
    except (OSError, ValueError, TypeError):
        pass
    answer = _ask(model) if "timm" in sys.modules else _ask_in_process(model)
    if "error" in answer:
        raise PluginError(answer["error"], fix=answer["fix"])
    with contextlib.suppress(OSError):  # only speed is lost
        atomic_write(kept, json.dumps(answer).encode())
    return _from_json(answer)


def _from_json(raw: dict[str, Any]) -> TimmCard:
    return TimmCard(**{**raw, "mean": tuple(raw["mean"]), "std": tuple(raw["std"])})


def _ask_in_process(model: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, model],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PluginError(f"timm could not be asked about {model!r}: {last}", fix="bench doctor")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _ask(model: str) -> dict[str, Any]:
    """Ask timm; the embedding width comes from a forward pass without data (meta tensors)."""
    import timm
    import torch

    if not timm.is_model(model):
        near = did_you_mean(model, timm.list_models())
        return {
            "error": f"timm {timm.__version__} has no model called {model!r}.",
            "fix": near or "list them with: python -c 'import timm; print(timm.list_models())'",
        }
    try:
        with torch.device("meta"):
            module = timm.create_model(model, pretrained=False, num_classes=0).eval()
        data = timm.data.resolve_model_data_config(module)
        preprocess = _preprocess(model, data)
        with torch.no_grad():
            width = module(torch.empty(2, *data["input_size"], device="meta")).shape
    except (ValueError, RuntimeError, NotImplementedError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return {
            "error": f"The timm model {model!r} cannot be used as an encoder here: {first}",
            "fix": "use another model, or write an encoder plugin for it: bench new encoder NAME",
        }
    if len(width) != 2:
        return {
            "error": f"The timm model {model!r} gives a map, not one vector per image.",
            "fix": "write an encoder plugin that pools it: bench new encoder NAME",
        }
    cfg: Any = module.pretrained_cfg
    return {
        **preprocess,
        "model": model,
        "embed_dim": int(width[1]),
        "parameters": sum(p.numel() for p in module.parameters()),
        "licence": cfg.get("license") or "as stated by timm for this model",
        "hub_repo": cfg.get("hf_hub_id") or "",
        "url": cfg.get("url") or "",
        "trained": timm.models.is_model_pretrained(model),
    }


def _preprocess(model: str, data: dict[str, Any]) -> dict[str, Any]:
    """timm's evaluation transform in the words of `Preprocess`."""
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        raise ValueError(f"its input is {channels} x {height} x {width}, not a square of three channels")
    if data["interpolation"] not in ("bicubic", "bilinear", "lanczos"):
        raise ValueError(f"its interpolation is {data['interpolation']!r}")
    scaled = math.floor(height / data["crop_pct"])
    mode = data["crop_mode"]
    if mode == "squash" and scaled == height:
        resize = "squash"
    elif mode == "center":
        resize = "short_side"
    else:
        raise ValueError(f"its crop mode is {mode!r} with crop_pct {data['crop_pct']}")
    return {
        "size": height,
        "resize": resize,
        "resize_to": scaled if resize == "short_side" else None,
        "interpolation": data["interpolation"],
        "mean": list(data["mean"]),
        "std": list(data["std"]),
    }


if __name__ == "__main__":
    print(json.dumps(_ask(sys.argv[1])))
