"""Conformance of encoders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..encoder_faults import SAME, TOLERANCE, difference, process_kept
from ..errors import PLUGIN_FAULTS, reason_of
from .encoder_cards import card_problems
from .encoder_checkpoints import refusal_problems, use_problems

if TYPE_CHECKING:
    import numpy as np

    from .conformance import Finding

    Run = Callable[..., list[Finding]]

DEVICE_TOLERANCE = 1e-2
"""Largest difference, relative to the largest value, between CPU and GPU, whose matrix products are less exact."""


def check_encoder(info: EncoderInfo, weights: Path | None, run: Run) -> list[Finding]:
    """All checks of one encoder, with its checkpoint where there is one, else with random weights."""
    with process_kept():  # the checks load it again and again
        return _findings(info, weights, run)


def _findings(info: EncoderInfo, weights: Path | None, run: Run) -> list[Finding]:
    title = f"encoder {info.name}"
    findings = run(f"{title}: the card is complete", lambda: card_problems(info))
    path = _checkpoint(info, weights)
    try:
        with process_kept() as changed:
            module = info.load(path, "cpu")
    except PLUGIN_FAULTS as error:  # whatever the plugin raises, the author wants to read it here
        return [*findings, *run(f"{title}: it loads", [reason_of(error, "`load`")])]
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "loading changes nothing outside the module": lambda: _kept(changed),
        "embeddings have the declared shape and type": lambda: _shape(info, module),
        "the card declares the module's parameters": lambda: _parameters(info, module),
        "different images have different embeddings": lambda: _distinct(info, module),
        "embeddings are the same on every run": lambda: _deterministic(info, module, path),
        "the batch size does not matter": lambda: _batches(info, module),
        "unusual images are embedded": lambda: _unusual(info, module),
    }
    if _has_gpu():
        checks["CPU and GPU agree"] = lambda: _devices(info, module, path)
    if info.weights is not None:
        images = _pixels(info, 2)
        checks["a wrong checkpoint is refused"] = lambda: refusal_problems(info)
        checks["the checkpoint is used, all of it"] = lambda: use_problems(
            info, module, path, lambda m: _embed(info, m, images)
        )
    for variant in info.variants:
        checks[f"variant {variant.name} is complete"] = lambda v=variant.name: _variant(info, v, weights)  # type: ignore[misc]
    groups = run(f"{title}: layer groups cover all parameters once", lambda: _groups(info, module))
    findings += [replace(f, detail=f.detail or _depth_hint(info, module)) for f in groups]
    return findings + [f for promise, check in checks.items() for f in run(f"{title}: {promise}", check)]


def _kept(changed: list[str]) -> Iterator[str]:
    for what in changed:
        yield f"`load` changes, for every other encoder too, {what}: put it back before you return"


def _checkpoint(info: EncoderInfo, weights: Path | None) -> Path | None:
    from ..hashing import HashCache
    from ..store import Store
    from ..weights import default_root, resolve

    return weights or resolve(info, default_root(), HashCache(Store())).path


def _variant(info: EncoderInfo, name: str, weights: Path | None) -> Iterator[str]:
    """Card, loading, shape; a variant with a checkpoint of its own is not given the default's."""
    variant = info.with_variant(name)
    yield from card_problems(variant)
    own = variant.weights != info.weights
    yield from _shape(variant, variant.load(_checkpoint(variant, None if own else weights), "cpu"))


def _pixels(info: EncoderInfo, n: int, seed: int = 0) -> np.ndarray:
    import numpy as np

    size = info.preprocess.size
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def _embed(info: EncoderInfo, module: Any, pixels: np.ndarray, device: str = "cpu") -> np.ndarray:
    import torch

    from ..api import module_forward
    from ..images import to_input
    from ..inference import full_fp32

    with torch.inference_mode(), full_fp32(device):
        out: np.ndarray = (
            module_forward(module, to_input(pixels, info.preprocess, device)).float().cpu().numpy()
        )
    return out


def _shape(info: EncoderInfo, module: Any) -> Iterator[str]:
    import numpy as np
    import torch

    from ..api import module_forward
    from ..images import to_input

    if module.training:
        yield "`load` must return the module in eval mode: call .eval()"
    with torch.inference_mode():
        out = module_forward(module, to_input(_pixels(info, 3), info.preprocess))
    if tuple(out.shape) != (3, info.embed_dim):
        yield f"three images give {tuple(out.shape)}, the card declares (3, {info.embed_dim})"
    if out.dtype != torch.float32:
        yield f"embeddings are {out.dtype}, not float32"
    if not np.isfinite(out.float().numpy()).all():
        yield "embeddings hold values that are not finite"


def _parameters(info: EncoderInfo, module: Any) -> Iterator[str]:
    counted = sum(p.numel() for p in module.parameters())
    if info.parameters is not None and counted != info.parameters:
        yield f"the card declares {info.parameters} parameters, the module has {counted}"


def _distinct(info: EncoderInfo, module: Any) -> Iterator[str]:
    import numpy as np

    pixels = _pixels(info, 3)
    pixels[1] = 255 - pixels[0]
    pixels[2] = np.linspace(0, 255, info.preprocess.size, dtype=np.uint8)[:, None, None]
    out = _embed(info, module, pixels)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        if difference(out[a], out[b]) < SAME:
            yield "different images give the same embedding: does the output depend on the input?"
            return


def _deterministic(info: EncoderInfo, module: Any, path: Path | None) -> Iterator[str]:
    import numpy as np

    pixels = _pixels(info, 2)
    first = _embed(info, module, pixels)
    if not np.isfinite(first).all():
        return  # which has a finding of its own
    if not np.array_equal(first, _embed(info, module, pixels)):
        yield "the same images give other embeddings the second time: is dropout or another random step active?"
    if not np.array_equal(first, _embed(info, info.load(path, "cpu"), pixels)):
        yield "loading again gives other embeddings: seed the random weights of load(None, device)"


def _batches(info: EncoderInfo, module: Any) -> Iterator[str]:
    import numpy as np

    pixels = _pixels(info, 4)
    singly = np.concatenate([_embed(info, module, pixels[i : i + 1]) for i in range(4)])
    found = difference(_embed(info, module, pixels), singly)
    if found > TOLERANCE["fp32"]:
        yield f"embeddings in a batch differ from single ones by {found:.1e}: is a BatchNorm in training mode?"


def _unusual(info: EncoderInfo, module: Any) -> Iterator[str]:
    """Grey, transparent, 16-bit, tiny and huge files."""
    import numpy as np
    from PIL import Image

    from ..images import prepare

    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (80, 120, 3), dtype=np.uint8)
    alpha = np.dstack([photo, np.full(photo.shape[:2], 120, np.uint8)])
    pictures = {
        "grey": Image.fromarray(photo[:, :, 0]),
        "transparent": Image.fromarray(alpha),
        "16-bit": Image.fromarray(photo[:, :, 0].astype(np.uint16) * 257),
        "tiny": Image.fromarray(photo[:9, :9]),
        "huge": Image.fromarray(photo).resize((3000, 2000)),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in pictures.items():
            path = Path(folder) / f"{name}.png"
            picture.save(path, compress_level=1)
            out = _embed(info, module, prepare(path, info.preprocess)[None])
            if out.shape != (1, info.embed_dim) or not np.isfinite(out).all():
                yield f"a {name} image gives {out.shape} or values that are not finite"


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _devices(info: EncoderInfo, module: Any, path: Path | None) -> Iterator[str]:
    pixels = _pixels(info, 2)
    found = difference(_embed(info, info.load(path, "cuda"), pixels, "cuda"), _embed(info, module, pixels))
    if found > DEVICE_TOLERANCE:
        yield f"GPU and CPU embeddings differ by {found:.1e}"


def _groups(info: EncoderInfo, module: Any) -> Iterator[str]:
    from collections import Counter

    if info.layer_groups is None:
        return
    grouped = Counter(name for group in info.layer_groups(module) for name in group)
    names = {name for name, _ in module.named_parameters()}
    if missing := sorted(names - grouped.keys()):
        yield f"{len(missing)} parameters are in no group, for instance {missing[0]}"
    if unknown := sorted(grouped.keys() - names):
        yield f"{len(unknown)} names are no parameters, for instance {unknown[0]}"
    if double := sorted(name for name, count in grouped.items() if count > 1):
        yield f"{len(double)} parameters are in more than one group, for instance {double[0]}"


def _depth_hint(info: EncoderInfo, module: Any) -> str:
    """What fine-tuning with layer_decay would say; no broken promise, because the card need not name groups."""
    from ..training.model import layer_of

    if info.layer_groups is not None:
        return ""
    try:
        layer_of(info, module)
    except PLUGIN_FAULTS as error:
        return f"a hint for fine-tuning: {reason_of(error, 'timm')}"
    return ""
