"""Faults of encoders that would otherwise give numbers, or harm the encoders that are loaded after them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import EncoderInfo
from .errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    import torch

Rows = Any
"""A numpy array or a torch tensor."""
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}
"""Largest difference, relative to the largest value, between embeddings of one image: what rounding explains."""
SAME = 2.5e-7
"""Two roundings of float32: below this difference, by the same measure, two embeddings are one."""


def load_module(info: EncoderInfo, weights: Path | None, device: str) -> torch.nn.Module:
    """The encoder's module in eval mode; what loading it changes in the whole process is put back.

    Raises:
        PluginError: `load` returned something else, or a module in training mode.
    """
    import torch

    with process_kept():
        module: Any = info.load(weights, device)
    if not isinstance(module, torch.nn.Module):
        raise PluginError(
            f"`load` of encoder {info.name!r} returned {type(module).__name__}, which is no torch module.",
            fix="return a torch.nn.Module whose forward gives (B, embed_dim)",
        )
    if module.training:
        raise PluginError(
            f"Encoder {info.name!r} is in training mode: its embeddings would depend on the batch, or on chance.",
            fix="call .eval() on the module that `load` returns",
        )
    return module


@contextlib.contextmanager
def process_kept() -> Iterator[list[str]]:
    """Put torch's settings and the random generators back at the end; names the settings that were changed."""
    import random

    import numpy as np
    import torch

    settings: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "whether gradients are computed": (torch.is_grad_enabled, torch.set_grad_enabled),
        "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    }
    before = {name: get() for name, (get, _) in settings.items()}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python, numbers = random.getstate(), np.random.get_state()
    changed: list[str] = []
    try:
        with torch.random.fork_rng(devices=devices):
            yield changed
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        for name, (get, put) in settings.items():
            if get() != before[name]:
                changed.append(f"{name} ({before[name]} became {get()})")
                put(before[name])


def difference(a: Any, b: Any) -> float:
    """Largest difference between two arrays of embeddings, relative to the largest value of `b`."""
    import numpy as np

    with np.errstate(invalid="ignore"):  # values that are not finite are told elsewhere
        return float(np.abs(a - b).max() / max(1e-12, float(np.abs(b).max())))


def examine(
    embed: Callable[[Rows], torch.Tensor], pixels: Rows, embedded: torch.Tensor, name: str, precision: str
) -> None:
    """Embed the first image of a batch again beside other images: it must stay, and theirs must be different.

    Args:
        embed: (b, size, size, 3) uint8 pixels to (b, D) embeddings.
        pixels: A batch.
        embedded: Its embeddings.
        name: Of the encoder, for the message.
        precision: As in `EmbedRequest`.

    Raises:
        PluginError: its embedding depends on more than the image, or on nothing.
    """
    # As long as the batch, so that nothing is compiled for another length; the colours wrap around, because a mere
    # negative may have the same norm and variance.
    beside = 255 - pixels * 3
    beside[:1] = pixels[:1]
    first, again = embedded.cpu().numpy(), embed(beside).cpu().numpy()
    moved = _moved(again, first)
    if moved > TOLERANCE[precision]:
        chance = _moved(embed(pixels).cpu().numpy(), first) > TOLERANCE[precision]
        raise PluginError(
            f"Encoder {name!r} gives one image different embeddings "
            + ("each time" if chance else "beside other images")
            + f" (by {moved:.1e} of the largest value).",
            fix="look for dropout, or another random step, that is active outside training"
            if chance
            else "look for a BatchNorm in training mode, or a mean over the batch, in its forward",
        )
    if len(pixels) > 1 and difference(again[1:], first[1:]) < SAME:
        raise PluginError(
            f"Encoder {name!r} gives all images the same embedding.",
            fix="look whether its forward uses its input"
            + ("" if precision == "fp32" else ", or use precision: fp32"),
        )


def _moved(again: np.ndarray, first: np.ndarray) -> float:
    """Difference of the first row, on the scale of the whole batch: one row may be next to zero."""
    import numpy as np

    return difference(np.concatenate([again[:1], first[1:]]), first)
