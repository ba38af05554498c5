"""Conformance of encoders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..errors import BenchError

if TYPE_CHECKING:
    import numpy as np

    from .conformance import Finding

    Run = Callable[..., list[Finding]]

TOLERANCE = 1e-4
"""Largest difference, relative to the largest value, between batch sizes."""
DEVICE_TOLERANCE = 1e-2
"""The same between CPU and GPU, whose default matrix products are less exact."""


def check_encoder(info: EncoderInfo, weights: Path | None, run: Run) -> list[Finding]:
    """All checks of one encoder, with its checkpoint where there is one, else with random weights."""
    from ..store import Store
    from ..weights import default_root, resolve

    title = f"encoder {info.name}"
    findings = run(f"{title}: the card is complete", lambda: _card(info))
    path = weights or resolve(info, default_root(), Store()).path
    try:
        module = info.load(path, "cpu")
    except Exception as error:  # whatever the plugin raises, the author wants to read it here
        return [*findings, *run(f"{title}: it loads", [f"{type(error).__name__}: {error}"])]
    findings += run(f"{title}: embeddings have the declared shape and type", lambda: _shape(info, module))
    findings += run(
        f"{title}: embeddings are the same on every run", lambda: _deterministic(info, module, path)
    )
    findings += run(f"{title}: the batch size does not matter", lambda: _batches(info, module))
    findings += run(f"{title}: unusual images are embedded", lambda: _unusual(info, module))
    if _has_gpu():
        findings += run(f"{title}: CPU and GPU agree", lambda: _devices(info, module, path))
    findings += run(f"{title}: layer groups cover all parameters once", lambda: _groups(info, module))
    if info.weights is not None:
        findings += run(f"{title}: a wrong checkpoint is refused", lambda: _refuses(info))
    for variant in info.variants:
        findings += run(
            f"{title}: variant {variant.name} is complete", lambda v=variant: _card(info.with_variant(v.name))
        )
    return findings


def _card(info: EncoderInfo) -> Iterator[str]:
    for field in ("title", "architecture", "pooling", "licence"):
        if not str(getattr(info, field)).strip():
            yield f"`{field}` is empty"
    if info.weights is not None:
        if not info.citation.strip():
            yield "`citation` is empty: give the BibTeX entry of the paper"
        if not info.weights.how_to_obtain.strip() or not info.weights.licence.strip():
            yield "`weights` must say how to obtain the file and its licence"
        for name in (info.weights.file_name, *info.weights.other_names):
            if name.startswith("/") or ".." in Path(name).parts:
                yield f"the weights file name {name!r} must be relative to the weights root"
    if info.preprocess.size < 1 or not info.preprocess.source.strip():
        yield "`preprocess` needs a size, and a `source` that says where the recipe is stated"
    for names in ([v.name for v in info.variants], [s.name for s in info.pretraining]):
        if len(set(names)) != len(names):
            yield f"names occur twice: {', '.join(names)}"
    for entry in info.pretraining:
        if not entry.source.strip():
            yield f"the pre-training set {entry.name!r} has no source"


def _pixels(info: EncoderInfo, n: int, seed: int = 0) -> np.ndarray:
    import numpy as np

    size = info.preprocess.size
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def _embed(info: EncoderInfo, module: Any, pixels: np.ndarray, device: str = "cpu") -> np.ndarray:
    import torch

    from ..api import module_forward
    from ..images import to_input

    with torch.inference_mode():
        out: np.ndarray = (
            module_forward(module, to_input(pixels, info.preprocess, device)).float().cpu().numpy()
        )
    return out


def _shape(info: EncoderInfo, module: Any) -> Iterator[str]:
    import numpy as np
    import torch

    from ..images import to_input

    if module.training:
        yield "`load` must return the module in eval mode: call .eval()"
    with torch.inference_mode():
        out = module(to_input(_pixels(info, 3), info.preprocess))
    if tuple(out.shape) != (3, info.embed_dim):
        yield f"three images give {tuple(out.shape)}, the card declares (3, {info.embed_dim})"
    if out.dtype != torch.float32:
        yield f"embeddings are {out.dtype}, not float32"
    if not np.isfinite(out.float().numpy()).all():
        yield "embeddings hold values that are not finite"
    if info.parameters is not None:
        counted = sum(p.numel() for p in module.parameters())
        if counted != info.parameters:
            yield f"the card declares {info.parameters} parameters, the module has {counted}"


def _deterministic(info: EncoderInfo, module: Any, path: Path | None) -> Iterator[str]:
    import numpy as np

    pixels = _pixels(info, 2)
    first = _embed(info, module, pixels)
    if not np.array_equal(first, _embed(info, module, pixels)):
        yield "the same images give other embeddings the second time: is dropout or another random step active?"
    if not np.array_equal(first, _embed(info, info.load(path, "cpu"), pixels)):
        yield "loading again gives other embeddings: seed the random weights of load(None, device)"


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    import numpy as np

    with np.errstate(invalid="ignore"):  # values that are not finite have a finding of their own
        return float(np.abs(a - b).max() / max(1e-12, float(np.abs(b).max())))


def _batches(info: EncoderInfo, module: Any) -> Iterator[str]:
    import numpy as np

    pixels = _pixels(info, 4)
    singly = np.concatenate([_embed(info, module, pixels[i : i + 1]) for i in range(4)])
    difference = _difference(_embed(info, module, pixels), singly)
    if difference > TOLERANCE:
        yield f"embeddings in a batch differ from single ones by {difference:.1e}: is a BatchNorm in training mode?"


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
    difference = _difference(
        _embed(info, info.load(path, "cuda"), pixels, "cuda"), _embed(info, module, pixels)
    )
    if difference > DEVICE_TOLERANCE:
        yield f"GPU and CPU embeddings differ by {difference:.1e}"


def _groups(info: EncoderInfo, module: Any) -> Iterator[str]:
    from collections import Counter

    from ..encoder import layer_groups

    grouped = Counter(name for group in layer_groups(info, module) for name in group)
    names = {name for name, _ in module.named_parameters()}
    if missing := sorted(names - grouped.keys()):
        yield f"{len(missing)} parameters are in no group, for instance {missing[0]}"
    if unknown := sorted(grouped.keys() - names):
        yield f"{len(unknown)} names are no parameters, for instance {unknown[0]}"
    if double := sorted(name for name, count in grouped.items() if count > 1):
        yield f"{len(double)} parameters are in more than one group, for instance {double[0]}"


def _refuses(info: EncoderInfo) -> Iterator[str]:
    import torch
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        wrong = {
            "a checkpoint of something else": Path(folder) / "other.safetensors",
            "a file that is no checkpoint": Path(folder) / "text.pth",
        }
        save_file({"encoder.weight": torch.zeros(3, 3)}, wrong["a checkpoint of something else"])
        wrong["a file that is no checkpoint"].write_text("this is not a checkpoint")
        for what, path in wrong.items():
            try:
                info.load(path, "cpu")
            except BenchError:
                continue
            except Exception as error:
                yield f"{what} raises {type(error).__name__}, not WeightsError, which would say what was expected"
            else:
                yield f"{what} is loaded without an error: compare names and shapes (benchbench.checkpoints.fit)"
