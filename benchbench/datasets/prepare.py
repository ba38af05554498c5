"""A smaller copy of a dataset, made once, with its provenance written beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import DataError
from ..images.decoding import open_image
from ..store import atomic_write
from ..threads import in_threads
from .model import LoadedDataset
from .reading import IMAGE_SUFFIXES

PROVENANCE = "PREPARED.json"
_LARGEST_TABLE = 100 * 1024 * 1024
_SAVED_WITH: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}


def prepare(
    dataset: LoadedDataset,
    target: Path,
    side: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write the dataset to `target`, in the same layout, with images of at most `side` pixels on the longer side.

    Label files are copied byte for byte. ``PREPARED.json`` says from which file (sha256) each image was made, so that
    results on the copy can be told from results on the originals.

    Raises:
        DataError: `target` is not empty, or lies inside the original folder.
    """
    target = target.absolute()
    if target.is_relative_to(dataset.root.absolute()) or (target.exists() and any(target.iterdir())):
        raise DataError(
            "The prepared copy needs an empty folder of its own.",
            where=str(target),
            fix="choose another --out",
        )
    made: dict[str, dict[str, object]] = {}
    jobs = [
        (p, target / p.relative_to(dataset.root), h)
        for p, h in zip(dataset.paths, dataset.sha256, strict=True)
    ]
    sizes = in_threads(lambda job: _shrink(job[0], job[1], side), jobs)
    for done, ((_, new, digest), size) in enumerate(zip(jobs, sizes, strict=True), 1):
        made[new.relative_to(target).as_posix()] = {"sha256_original": digest, "size_original": size}
        if progress:
            progress(done, len(jobs), "preparing images")
    for path in sorted(dataset.root.rglob("*")):
        small = path.is_file() and path.stat().st_size <= _LARGEST_TABLE
        if small and path.suffix.lower() not in IMAGE_SUFFIXES:
            new = target / path.relative_to(dataset.root)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, new)
    record = {
        "dataset": dataset.name,
        "benchbench": __version__,
        "longer_side": side,
        "method": "Pillow LANCZOS; JPEG quality 95 without chroma subsampling, other formats lossless",
        "image_fingerprint_original": dataset.image_fingerprint,
        "images": made,
    }
    atomic_write(target / PROVENANCE, json.dumps(record, indent=1).encode())
    return target


def _shrink(source: Path, target: Path, side: int) -> list[int]:
    from PIL import Image

    target.parent.mkdir(parents=True, exist_ok=True)
    with open_image(source) as image:
        size, kind = image.size, image.format
        if max(size) <= side:
            shutil.copyfile(source, target)
            return list(size)
        scale = side / max(size)
        smaller = image.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.LANCZOS)
        smaller.save(target, format=kind, **_SAVED_WITH.get(kind or "", {}))
    return list(size)
