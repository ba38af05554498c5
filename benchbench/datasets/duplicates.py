"""Images that show the same thing: identical files, and near duplicates.

Near duplicates are found by the perceptual hash of the ImageHash library and confirmed by a second measure: the
correlation of fine structure in small thumbnails of the middle. The hash alone takes two dark fundi of one camera
for the same picture; the correlation does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images.decoding import open_image
from ..remembered import Remembered
from ..store import Store
from ..threads import in_threads

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
_CHUNK = 1 << 20  # pairs of hashes compared at once
_VERSION = 2


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

    known = Remembered(store.root / "perceptual_hashes.json", _VERSION, _is_hash)
    todo = {h: p for p, h in zip(paths, sha256, strict=True) if h not in known}
    try:
        for done, (digest, value) in enumerate(
            zip(todo, in_threads(_hash, todo.values()), strict=True), start=1
        ):
            known.remember(digest, value)
            if progress:
                progress(done, len(todo), "comparing images")
    finally:
        known.save()
    return np.array([known[h] for h in sha256], dtype=np.uint64)


def _hash(path: Path) -> int:
    import imagehash

    return int(str(imagehash.phash(open_small(path), hash_size=8)), 16)


def _is_hash(key: str, value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64  # true is no hash


def find_pairs(
    datasets: Sequence[LoadedDataset],
    store: Store,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Pair, ...]:
    """Pairs of images that show the same thing, inside and across datasets.

    Neighbouring images of one patient look alike by nature, so pairs inside a group count only if the files are
    identical.
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
        if not identical and rows[i][5] == rows[j][5]:
            continue
        correlation = 1.0 if identical else _correlation(i, j, [r[3] for r in (rows[i], rows[j])], small)
        if correlation >= MIN_CORRELATION:
            pairs.append(Pair(rows[i][:4], rows[j][:4], identical, correlation))
    return tuple(pairs)


def close_hashes(hashes: np.ndarray, distance: int) -> Iterator[tuple[int, int]]:
    """Pairs (i < j) of 64-bit hashes that differ in at most `distance` bits, in ascending order.

    They come one by one, because thousands of identical images (black ones, say) make millions of pairs.
    """
    import numpy as np

    values, which, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(sizes)[:-1])
    near = {int(k): [int(k)] for k in np.flatnonzero(sizes > 1)}
    for one, other in _close_values(values, distance):
        near.setdefault(one, [one]).append(other)
        near.setdefault(other, [other]).append(one)
    for i, k in enumerate(which.tolist()):
        if k in near:
            partners = np.concatenate([members[n] for n in near[k]])
            yield from ((i, j) for j in np.sort(partners[partners > i]).tolist())


def _close_values(values: np.ndarray, distance: int) -> Iterator[tuple[int, int]]:
    """Positions of different hashes that differ in at most `distance` bits, each pair once.

    Of distance + 2 bands of bits at least two are equal in such a pair, so only hashes that agree in two bands are
    compared. (Of distance + 1 bands one is equal; but one band of 9 bits leaves 60 times as much to compare.)
    """
    import numpy as np

    edges = [64 * k // (distance + 2) for k in range(distance + 3)]
    bands = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    count = len(values)
    found = np.empty(0, dtype=np.int64)
    for one, other in combinations(bands, 2):
        key = values & np.uint64(one | other)
        order = np.argsort(key)
        key, ordered = key[order], values[order]
        # Each hash is compared with those after it in its group.
        after = np.searchsorted(key, key, side="right") - np.arange(count) - 1
        before = np.concatenate([[0], np.cumsum(after)])
        start = 0
        while start < count:
            full = int(np.searchsorted(before, before[start] + _CHUNK, side="right")) - 1
            stop = max(start + 1, full)
            left = np.repeat(np.arange(start, stop), after[start:stop])
            right = (
                left
                + 1
                + np.arange(len(left))
                - np.repeat(before[start:stop] - before[start], after[start:stop])
            )
            close = _bits(ordered[left] ^ ordered[right]) <= distance
            first, second = order[left[close]], order[right[close]]
            pairs = np.minimum(first, second) * count + np.maximum(first, second)
            if len(pairs):
                found = np.union1d(found, pairs)
            start = stop
    return zip((found // max(count, 1)).tolist(), (found % max(count, 1)).tolist(), strict=True)


def _bits(words: np.ndarray) -> np.ndarray:
    """How many bits of each 64-bit word are set."""
    import numpy as np

    return _bit_counts()[words.view(np.uint16).reshape(len(words), 4)].sum(axis=1, dtype=np.uint8)


@cache
def _bit_counts() -> np.ndarray:
    import numpy as np

    return np.array([v.bit_count() for v in range(1 << 16)], dtype=np.uint8)


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
