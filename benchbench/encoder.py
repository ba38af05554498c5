"""Encoders outside suites: load one by name and embed images with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .api import EncoderInfo, module_forward
from .encoder_faults import load_module
from .errors import BenchError, PluginError, WeightsError
from .hashing import HashCache
from .inference import full_fp32
from .machine import choose_device
from .plugins import registry
from .store import Store
from .weights import ResolvedWeights, default_root, how_to, resolve

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    Picture = str | Path | Image.Image | np.ndarray

Decode = Literal["reference", "exact", "fast"]


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder."""

    info: EncoderInfo
    weights: ResolvedWeights
    module: torch.nn.Module
    device: str

    def embed(self, images: Picture | Sequence[Picture], batch_size: int = 16) -> np.ndarray:
        """Embeddings (n, embed_dim) float32 of image files, PIL images or uint8 arrays, as `images.prepare` takes.

        Raises:
            BenchError: `batch_size` is less than 1.
            DataError: an image cannot be read.
            PluginError: the encoder gives another width than its card says, or values that are not finite.
        """
        found = self._forward(images, batch_size, lambda z: z)
        if found.shape[1:] != (self.info.embed_dim,):
            raise PluginError(
                f"Encoder {self.info.name!r} returned embeddings of shape {found.shape[1:]}; its card declares "
                f"({self.info.embed_dim},).",
                fix=f"check it with: bench check {self.info.name}",
            )
        return found

    def logits(self, images: Picture | Sequence[Picture], batch_size: int = 16) -> np.ndarray:
        """Class scores (n, K) float32 before the softmax, by the classification head in the checkpoint.

        Raises:
            WeightsError: the checkpoint has no classification head.
        """
        head = getattr(self.module, "classification_head", None)
        if head is None:
            raise WeightsError(
                f"The weights of {self.info.name} have no classification head, so there are no logits.",
                where=str(self.weights.path),
                fix="load a fine-tuned checkpoint, or use .embed()",
            )
        import torch

        weight, bias = (t.to(self.device) for t in head)
        return self._forward(images, batch_size, lambda z: torch.nn.functional.linear(z, weight, bias))

    def _forward(self, images: Any, batch_size: int, finish: Any) -> np.ndarray:
        import numpy as np
        import torch

        from .images import prepare, to_input

        if batch_size < 1:
            raise BenchError(
                f"batch_size={batch_size} makes no sense.", fix="give a number of images, 1 or more"
            )
        pictures = _as_list(images)
        parts = []
        with torch.inference_mode(), full_fp32(self.device):
            for start in range(0, len(pictures), batch_size):
                pixels = [prepare(p, self.info.preprocess) for p in pictures[start : start + batch_size]]
                batch = to_input(np.stack(pixels), self.info.preprocess, self.device)
                parts.append(finish(module_forward(self.module, batch)).float().cpu().numpy())
        found = np.concatenate(parts) if parts else np.empty((0, self.info.embed_dim), np.float32)
        finite = np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
        if len(bad := np.flatnonzero(~finite)):
            raise PluginError(
                f"Encoder {self.info.name!r} gives values that are not finite for {len(bad)} of {len(found)} images, "
                f"the first at position {bad[0]}.",
                where=str(self.weights.path or "random weights"),
                fix="look at that image and at the checkpoint",
            )
        return found


def _as_list(images: Any) -> list[Any]:
    if isinstance(images, str | Path) or not isinstance(images, Iterable) or hasattr(images, "convert"):
        return [images]
    if getattr(images, "ndim", None) in (2, 3) and hasattr(images, "dtype"):
        return [images]
    return list(images)


def load_encoder(
    name: str,
    weights: str | Path | None = None,
    variant: str | None = None,
    device: str = "cpu",
    decode: Decode = "reference",
) -> Encoder:
    """Load an encoder by name, for use outside suites.

    Args:
        name: As in `bench list encoders`; ``name:variant`` also works.
        weights: Checkpoint file. Without it the file is looked for in the folder that BENCHBENCH_WEIGHTS names,
            in installed packages, and in the local Hugging Face cache.
        variant: A named variant of the encoder, see `bench show encoder NAME`.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``auto``, ...
        decode: ``reference``: the pixels of the official code, so that embeddings are its embeddings; ``exact``:
            what suites use by default, several times faster on large photographs and within a grey level of it;
            ``fast``: scaled JPEG decoding.

    Raises:
        BenchError: no such device, or no such way to decode.
        PluginError: no such encoder or variant.
        WeightsError: the checkpoint is missing, or is not what the encoder expects.
    """
    if decode not in get_args(Decode):
        raise BenchError(
            f"decode={decode!r} does not exist.", fix=f"use one of: {', '.join(get_args(Decode))}"
        )
    info = registry().encoder(name)
    if variant:
        info = info.with_variant(variant)
    info = dataclasses.replace(info, preprocess=dataclasses.replace(info.preprocess, decode=decode))
    device = choose_device(device)
    root = default_root()
    found = resolve(info, root, HashCache(Store()), Path(weights).expanduser() if weights else None)
    if found.status == "missing":
        raise WeightsError(f"The weights of {info.name!r} are not here.", fix=how_to(info, root))
    return Encoder(info, found, load_module(info, found.path, device), device)
