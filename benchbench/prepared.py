"""Prepared images: a dataset's images in an encoder's input geometry, as uint8 rows in the store.

Protocols that train on images need them many times; embedding takes them instead of the files where they are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .api import Preprocess
from .claims import claims_shown
from .context import ImageSource
from .images.pipeline import StageTimes, prepared_batches
from .machine import usable_cores
from .shards import Parts, ShardedRows
from .store import Store, content_key

SCHEMA = 1
"""Raise it when the same identity would give other pixels."""
PART_ROWS = 512
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ImageSet:
    """The images of a dataset in table order."""

    dataset: str
    paths: Sequence[Path]
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the files' contents in their order; where they lie does not matter."""
        return hashlib.sha256("\n".join(self.sha256).encode()).hexdigest()


def prepared_identity(preprocess: Preprocess, images: ImageSet) -> dict[str, Any]:
    """Everything that can change prepared images."""
    return {
        "schema": SCHEMA,
        "pixels": preprocess.pixels_key(),
        "dataset": images.dataset,
        "images": images.fingerprint,
    }


def open_prepared(store: Store, preprocess: Preprocess, images: ImageSet) -> ShardedRows | None:
    """Prepared images that are in the store already, or None."""
    artefact = store.find("prepared", content_key(prepared_identity(preprocess, images)))
    return ShardedRows.open(artefact) if artefact else None


def prepared_images(
    store: Store,
    preprocess: Preprocess,
    images: ImageSet,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
) -> ImageSource:
    """Prepared uint8 images of a dataset, memory-mapped from the store; computed once where they are missing.

    `source[positions]` gives (b, size, size, 3) uint8 in the encoder's input geometry; `to_input` normalises.

    Raises:
        DataError: naming every unreadable file.
    """
    return prepared_images_many(store, [preprocess], images, progress, threads=threads)[0]


def prepared_images_many(
    store: Store,
    preprocesses: Sequence[Preprocess],
    images: ImageSet,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
    times: StageTimes | None = None,
) -> list[ShardedRows]:
    """As `prepared_images` for several recipes; each file is decoded once for all that are missing."""
    recipes = distinct(preprocesses)
    found = {name: open_prepared(store, p, images) for name, p in recipes.items()}
    if missing := {name: recipes[name] for name in recipes if found[name] is None}:
        keys = {content_key(prepared_identity(p, images)): p for p in missing.values()}
        with claims_shown(store, keys, progress):
            found.update({name: open_prepared(store, p, images) for name, p in missing.items()})
            missing = {name: p for name, p in missing.items() if found[name] is None}
            found.update(_prepare(store, missing, images, progress, threads or usable_cores(), times))
    return [rows for p in preprocesses if (rows := found[pixels_name(p)]) is not None]


def _prepare(
    store: Store,
    recipes: Mapping[str, Preprocess],
    images: ImageSet,
    progress: Progress | None,
    threads: int,
    times: StageTimes | None,
) -> dict[str, ShardedRows]:
    parts: dict[str, Parts] = {}
    for name, p in recipes.items():
        identity = prepared_identity(p, images)
        parts[name] = Parts(store, "prepared", identity, content_key(identity), len(images))
        parts[name].layout({"part": PART_ROWS})
    for index, start in enumerate(range(0, len(images), PART_ROWS)):
        rows = range(start, min(start + PART_ROWS, len(images)))
        todo = {name: p for name, p in recipes.items() if not parts[name].has(index)}
        if todo:
            kept: dict[str, list[np.ndarray]] = {name: [] for name in todo}
            cut = [range(i, min(i + 32, rows.stop)) for i in range(rows.start, rows.stop, 32)]
            for positions, tensors in prepared_batches(
                images.paths, list(todo.values()), cut, threads=threads, times=times
            ):
                for name, tensor in zip(todo, tensors, strict=True):
                    kept[name].append(tensor.numpy())
                if progress:
                    progress(positions.stop, len(images), f"preparing {images.dataset}")
            for name in todo:
                parts[name].write(index, np.concatenate(kept[name]))
    notes = {"threads": threads}
    return {
        name: parts[name].publish((p.size, p.size, 3), np.uint8, PART_ROWS, 1, notes)
        for name, p in recipes.items()
    }


def pixels_name(preprocess: Preprocess) -> str:
    """What tells one result of preparing from another."""
    return content_key(preprocess.pixels_key())


def distinct(preprocesses: Sequence[Preprocess]) -> dict[str, Preprocess]:
    """One recipe per distinct result."""
    return {pixels_name(p): p for p in preprocesses}
