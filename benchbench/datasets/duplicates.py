"""Images that show the same thing: identical files, and near duplicates.

Near duplicates are found by the perceptual hash of the ImageHash library and confirmed by a second measure: the
correlation of fine structure in small thumbnails of the middle. The hash alone takes two dark fundi of one camera
for the same picture; the correlation does not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ..images.decoding import open_image
from ..store import Store, atomic_write

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from .model import LoadedDataset

MAX_DISTANCE = 6
"""Bits of 64 that may differ between the perceptual hashes of near duplicates."""
MIN_CORRELATION = 0.75
"""Least correlation of the fine structure of near duplicates. On IDRiD different eyes stay below 0.66, copies of
another size and quality are above 0.79, and two exposures of one photograph have 0.90."""
_THUMBNAIL = 96
_CHUNK = 512
_VERSION = 1


@dataclass(frozen=True)
class Pair:
    """Two images, as (dataset, image id, part of the split, file), that show the same thing."""

    first: tuple[str, str, str, Path]
    second: tuple[str, str, str, Path]
    identical: bool
    """The files have the same bytes."""
    correlation: float

    @property
    def crosses(self) -> bool:
        """One is trained or validated on and the other tested on, in one dataset."""
        return self.first[0] == self.second[0] and "test" in (self.first[2], self.second[2]) and self._differ

    @property
    def _differ(self) -> bool:
        return self.first[2] != self.second[2] and "" not in (self.first[2], self.second[2])


def open_small(path: Path, side: int = 256) -> Image.Image:
    """The image as grey, decoded as small as its format allows (at least `side` pixels)."""
    with open_image(path) as image:
        if image.format == "JPEG":
            image.draft("L", (side, side))
        if image.mode in ("I", "I;16", "F"):
            return image.convert("I").point(lambda v: v * (1 / 256)).convert("L")
        return image.convert("L")


def perceptual_hashes(
    paths: Sequence[Path],
    sha256: Sequence[str],
    store: Store,
    progress: Callable[[int, int, str], None] | None = None,
) -> np.ndarray:
    """(n,) uint64 perceptual hashes, remembered by content; an unreadable file raises OSError."""
    import numpy as np

    memory_path = store.root / "perceptual_hashes.json"
    known = _read(memory_path)
    todo = {h: p for p, h in zip(paths, sha256, strict=True) if h not in known}
    fresh: dict[str, int] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, (digest, value) in enumerate(zip(todo, pool.map(_hash, todo.values()), strict=True), 1):
            fresh[digest] = value
            if progress:
                progress(done, len(todo), "comparing images")
    if fresh:
        memory_path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{memory_path}.lock"):
            known |= _read(memory_path) | fresh
            atomic_write(memory_path, json.dumps({"version": _VERSION, "hashes": known}).encode())
    return np.array([known[h] for h in sha256], dtype=np.uint64)


def _hash(path: Path) -> int:
    import imagehash

    return int(str(imagehash.phash(open_small(path), hash_size=8)), 16)


def _read(path: Path) -> dict[str, int]:
    try:
        content = json.loads(path.read_bytes())
        return dict(content["hashes"]) if content["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def find_pairs(
    datasets: Sequence[LoadedDataset],
    store: Store,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    within_groups: bool = False,
) -> tuple[Pair, ...]:
    """Pairs of images that show the same thing, inside and across datasets.

    Neighbouring images of one patient look alike by nature, so pairs inside a group count only if the files are
    identical (or `within_groups` is set).
    """
    rows = [
        (d.name, image_id, split, path, digest, f"{d.name}:{group}")
        for d in datasets
        for image_id, split, path, digest, group in zip(
            d.image_ids, d.frame["split"], d.paths, d.sha256, d.frame["group"], strict=True
        )
    ]
    hashes = perceptual_hashes([r[3] for r in rows], [r[4] for r in rows], store, progress)
    small: dict[int, np.ndarray] = {}
    pairs = []
    for i, j in close_hashes(hashes, MAX_DISTANCE):
        identical = rows[i][4] == rows[j][4]
        if not identical and not within_groups and rows[i][5] == rows[j][5]:
            continue
        correlation = 1.0 if identical else _correlation(i, j, [r[3] for r in (rows[i], rows[j])], small)
        if correlation >= MIN_CORRELATION:
            pairs.append(Pair(rows[i][:4], rows[j][:4], identical, correlation))
    return tuple(pairs)


def close_hashes(hashes: np.ndarray, distance: int) -> list[tuple[int, int]]:
    """Pairs (i < j) of 64-bit hashes that differ in at most `distance` bits."""
    import numpy as np

    bits = np.array([bin(v).count("1") for v in range(1 << 16)], dtype=np.uint8)
    words = hashes.view(np.uint16).reshape(len(hashes), 4)
    found: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _CHUNK):
        block = words[start : start + _CHUNK]
        differ = np.zeros((len(block), len(words) - start), dtype=np.uint8)
        for w in range(4):
            differ += bits[block[:, w, None] ^ words[None, start:, w]]
        near_i, near_j = np.nonzero(differ <= distance)
        upper = near_i < near_j
        found += [(start + int(i), start + int(j)) for i, j in zip(near_i[upper], near_j[upper], strict=True)]
    return found


def _correlation(i: int, j: int, paths: Sequence[Path], small: dict[int, np.ndarray]) -> float:
    import numpy as np

    for key, path in zip((i, j), paths, strict=True):
        if key not in small:
            small[key] = fine_structure(open_small(path))
    return float(np.mean(small[i] * small[j]))


def fine_structure(image: Image.Image) -> np.ndarray:
    """(96, 96) thumbnail of the middle without its smooth part, zero mean and unit variance.

    The middle only: the edge of the field of view is the same in every photograph of a camera.
    """
    import numpy as np
    from PIL import Image, ImageFilter

    width, height = image.size
    middle = (round(0.25 * width), round(0.15 * height), round(0.75 * width), round(0.85 * height))
    thumbnail = image.convert("L").crop(middle).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    smooth = thumbnail.filter(ImageFilter.GaussianBlur(5))
    detail = np.asarray(thumbnail, dtype=np.float64) - np.asarray(smooth, dtype=np.float64)
    detail -= detail.mean()
    spread = float(detail.std())
    return detail / spread if spread > 0 else detail
