"""Encoders outside suites: load one by name and embed images with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .api import EncoderInfo, module_forward
from .errors import WeightsError
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


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder."""

    info: EncoderInfo
    weights: ResolvedWeights
    module: torch.nn.Module
    device: str

    def embed(self, images: Picture | Sequence[Picture], batch_size: int = 16) -> np.ndarray:
        """Embeddings (n, embed_dim) float32 of image files, PIL images or uint8 arrays, as `images.prepare` takes."""
        return self._forward(images, batch_size, lambda z: z)

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

        pictures = _as_list(images)
        parts = []
        with torch.inference_mode(), full_fp32(self.device):
            for start in range(0, len(pictures), batch_size):
                pixels = [prepare(p, self.info.preprocess) for p in pictures[start : start + batch_size]]
                batch = to_input(np.stack(pixels), self.info.preprocess, self.device)
                parts.append(finish(module_forward(self.module, batch)).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.info.embed_dim), np.float32)


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
    decode: Literal["reference", "exact", "fast"] = "reference",
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
        BenchError: no such device.
        PluginError: no such encoder or variant.
        WeightsError: the checkpoint is missing, or is not what the encoder expects.
    """
    info = registry().encoder(name)
    if variant:
        info = info.with_variant(variant)
    info = dataclasses.replace(info, preprocess=dataclasses.replace(info.preprocess, decode=decode))
    device = choose_device(device)
    root = default_root()
    found = resolve(info, root, HashCache(Store()), Path(weights).expanduser() if weights else None)
    if found.status == "missing":
        raise WeightsError(f"The weights of {info.name!r} are not here.", fix=how_to(info, root))
    return Encoder(info, found, info.load(found.path, device), device)


def layer_groups(info: EncoderInfo, module: torch.nn.Module) -> tuple[tuple[str, ...], ...]:
    """Parameter names by depth, stem first: the encoder's own grouping, else timm's."""
    if info.layer_groups is not None:
        return tuple(tuple(group) for group in info.layer_groups(module))
    from timm.models import group_parameters

    matcher: Any = module.group_matcher
    grouped = group_parameters(module, matcher(coarse=False))
    return tuple(tuple(grouped[depth]) for depth in sorted(grouped))
