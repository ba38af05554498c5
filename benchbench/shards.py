"""Rows of numbers in memory-mapped ``.npy`` shards: written piece by piece, published at once, opened instantly.

While work goes on, finished parts lie in the store's scratch folder; a kill loses what is in flight at most.
When all parts are there they become one artefact: shards of equal length and an ``index.json``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .errors import StoreError
from .store import Artefact, Store, atomic_write, sha256_of, unwritable

INDEX = "index.json"
NOTES = "notes.json"


@dataclass(frozen=True)
class ShardedRows:
    """Read-only rows over the shards of one artefact; only what is indexed is read from disk."""

    artefact: Artefact
    shape: tuple[int, ...]
    dtype: np.dtype
    shard_rows: int

    @classmethod
    def open(cls, artefact: Artefact) -> ShardedRows:
        """The rows of a complete artefact."""
        index = json.loads(artefact.sound(INDEX).read_bytes())
        return cls(artefact, tuple(index["shape"]), np.dtype(index["dtype"]), int(index["shard_rows"]))

    @property
    def notes(self) -> dict[str, Any]:
        """How the rows were computed (device, batch size, seconds); not part of the identity."""
        return dict(json.loads(self.artefact.sound(NOTES).read_bytes()))

    @property
    def fault(self) -> str:
        """What is wrong with the first damaged file, or an empty string; reads every shard once per process."""
        names = (NOTES, *(shard_name(i) for i in range(-(-len(self) // self.shard_rows))))
        return next((found for name in names if (found := self.artefact.fault(name))), "")

    def __len__(self) -> int:
        return self.shape[0]

    @cached_property
    def shards(self) -> tuple[np.ndarray, ...]:
        """The memory-mapped shards in order."""
        return tuple(self._shard(i) for i in range(-(-self.shape[0] // self.shard_rows)))

    @cached_property
    def _opened(self) -> dict[int, np.ndarray]:
        return {}

    def _shard(self, index: int) -> np.ndarray:
        """One shard, mapped and checked when it is first needed: opening a million rows stays instant."""
        if index not in self._opened:
            self._opened[index] = np.load(self.artefact.sound(shard_name(index)), mmap_mode="r")
        return self._opened[index]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows by slice, integer position(s) or boolean mask, as an array in memory (a view where it can be)."""
        if not len(self):
            return np.empty(self.shape, self.dtype)[rows]
        if len(self) <= self.shard_rows:
            return np.asarray(self._shard(0)[rows])
        if isinstance(rows, int | np.integer):
            position = range(len(self))[int(rows)]  # negative positions, and errors, as for any sequence
            return np.asarray(self._shard(position // self.shard_rows)[position % self.shard_rows])
        index = np.arange(len(self))[rows]
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        shard, offset = np.divmod(index, self.shard_rows)
        for i in np.unique(shard):
            chosen = shard == i
            out[chosen] = self._shard(int(i))[offset[chosen]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype, copy=copy)


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.npy"


class Parts:
    """Finished parts of an artefact under way; part i holds the rows i * part_rows and following."""

    def __init__(self, store: Store, kind: str, identity: Mapping[str, Any], key: str, rows: int) -> None:
        self.store, self.kind, self.identity, self.key, self.rows = store, kind, identity, key, rows
        self.folder = store.scratch(key)
        self._sound: set[int] = set()

    def layout(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """How the work is cut (part and batch rows). Interrupted work goes on as it began: same bytes."""
        path = self.folder / "layout.json"
        with contextlib.suppress(OSError, ValueError, AttributeError):
            begun = {str(k): int(v) for k, v in json.loads(path.read_bytes()).items()}
            if set(begun) == set(wanted):
                return begun
        for part in self.folder.glob("part-*"):  # cut in a way nobody knows any more
            part.unlink()
        try:
            atomic_write(path, json.dumps(dict(wanted)).encode())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return dict(wanted)

    def path(self, index: int) -> Path:
        """File of part `index`; what `has` says of it counts, not that it exists."""
        return self.folder / f"part-{index:06d}.npy"

    def has(self, index: int) -> bool:
        """Whether part `index` is finished and has the bytes it was written with; a damaged one is set aside."""
        if index in self._sound or not self.path(index).exists():
            return index in self._sound
        if self._recorded(index) == sha256_of(self.path(index)):
            self._sound.add(index)
            return True
        self._set_aside(index)
        return False

    def write(self, index: int, rows: np.ndarray) -> None:
        """Keep a finished part and its checksum; readers see all of it or nothing."""
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".part.", suffix=".tmp")
            with os.fdopen(handle, "wb") as stream:
                np.save(stream, rows)
                stream.flush()
                os.fsync(stream.fileno())
            checksum = json.dumps({"sha256": sha256_of(Path(temporary))})
            atomic_write(self._record(index), checksum.encode())  # first: a part without one is not believed
            os.replace(temporary, self.path(index))
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # on a full disk its bytes are the ones that are needed
            if isinstance(error, OSError):
                raise unwritable(self.folder, error) from error
            raise
        self._sound.add(index)

    def _record(self, index: int) -> Path:
        return self.path(index).with_suffix(".json")

    def _recorded(self, index: int) -> str:
        try:
            return str(json.loads(self._record(index).read_bytes())["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown"

    def _set_aside(self, index: int) -> None:
        self._sound.discard(index)
        self.store.set_aside(
            self.path(index),
            f"part-{self.key}-{index:06d}",
            "it does not have the checksum it was written with",
        )

    def publish(
        self,
        row_shape: tuple[int, ...],
        dtype: Any,
        part_rows: int,
        shard_parts: int,
        notes: Mapping[str, Any],
    ) -> ShardedRows:
        """Join `shard_parts` parts to a shard, publish, and remove the scratch folder."""
        count = -(-self.rows // part_rows)
        index = {
            "shape": [self.rows, *row_shape],
            "dtype": np.dtype(dtype).str,
            "shard_rows": part_rows * shard_parts,
        }

        def write(folder: Path) -> None:
            for shard, first in enumerate(range(0, count, shard_parts)):
                parts = range(first, min(first + shard_parts, count))
                self._join(parts, folder / shard_name(shard), row_shape, dtype)
            (folder / INDEX).write_text(json.dumps(index))
            (folder / NOTES).write_text(json.dumps(dict(notes), indent=1, sort_keys=True))

        artefact = self.store.publish(self.kind, self.key, self.identity, write)
        shutil.rmtree(self.folder, ignore_errors=True)
        return ShardedRows.open(artefact)

    def _join(self, parts: range, target: Path, row_shape: tuple[int, ...], dtype: Any) -> None:
        """Join parts to one shard. They are checked again: hours may lie between writing and joining them."""
        for index in parts:
            if self._recorded(index) != sha256_of(self.path(index)):
                self._set_aside(index)
                raise StoreError(
                    "A finished part of the work was damaged before it was joined.",
                    where=str(self.path(index)),
                    fix="it was moved aside: run the same command again, which computes it anew",
                )
        paths = [self.path(i) for i in parts]
        if len(paths) == 1:
            try:
                os.link(paths[0], target)  # no second copy of large files
            except OSError:
                shutil.copyfile(paths[0], target)
            return
        arrays = [np.load(p, mmap_mode="r") for p in paths]
        rows = sum(len(a) for a in arrays)
        dtype = np.dtype(dtype)
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (rows, *row_shape),
        }
        with target.open("wb") as stream:  # not a mapping: on a full disk, writing to one kills the process
            np.lib.format.write_array_header_1_0(stream, header)
            for array in arrays:
                stream.write(np.ascontiguousarray(array, dtype).data)
            stream.flush()
            os.fsync(stream.fileno())
