"""Decode ahead: threads prepare the next batches while the network works on the present one.

Threads, not processes: the decoders release the interpreter's lock, and nothing has to be copied between
processes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..api import Preprocess
from ..errors import DataError
from .decoding import find_unreadable
from .preparing import prepare_many


@dataclass
class StageTimes:
    """Where the time of a pass over images went; seconds, summed over threads for `prepare`."""

    files: int = 0
    """Files read and decoded."""
    prepare: float = 0.0
    """Reading, decoding and resizing, in the decode threads."""
    wait: float = 0.0
    """The network stood still because no prepared batch was ready."""
    transfer: float = 0.0
    """Bringing batches to the device and normalising them, as far as the host waits for it."""
    model: float = 0.0
    """Forward passes, all encoders together; on a GPU its own time, with copies and normalisation."""
    write: float = 0.0
    """Writing to the store."""
    model_by_encoder: dict[str, float] = field(default_factory=dict)
    """The same by key of the embeddings; transfer included, since every encoder needs its own."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add_file(self, seconds: float) -> None:
        """Count one file; called by the decode threads."""
        with self._lock:
            self.files += 1
            self.prepare += seconds


def prepared_batches(
    paths: Sequence[Path],
    preprocesses: Sequence[Preprocess],
    batches: Sequence[range],
    *,
    threads: int,
    ahead: int = 2,
    times: StageTimes | None = None,
) -> Iterator[tuple[range, list[np.ndarray]]]:
    """For each range of positions: the range, and one (b, size, size, 3) uint8 array per preprocess.

    Every file is read and decoded once for all preprocesses. `ahead` batches are prepared in advance, which
    bounds the memory.

    Raises:
        DataError: naming all unreadable files at once.
    """
    times = times if times is not None else StageTimes()
    waiting: deque[tuple[range, list[np.ndarray], list[Future[None]]]] = deque()
    todo = deque(batches)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            while todo or waiting:
                while todo and len(waiting) <= ahead:
                    waiting.append(_submit(pool, paths, preprocesses, todo.popleft(), times))
                rows, arrays, futures = waiting.popleft()
                started = time.perf_counter()
                for future in futures:
                    future.result()
                times.wait += time.perf_counter() - started
                yield rows, arrays
        except DataError as error:
            pool.shutdown(wait=True, cancel_futures=True)
            raise _all_bad_files(error, paths) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor,
    paths: Sequence[Path],
    preprocesses: Sequence[Preprocess],
    rows: range,
    times: StageTimes,
) -> tuple[range, list[np.ndarray], list[Future[None]]]:
    arrays = [np.empty((len(rows), p.size, p.size, 3), np.uint8) for p in preprocesses]

    def fill(position: int, path: Path) -> None:
        started = time.perf_counter()
        for array, image in zip(arrays, prepare_many(path, preprocesses), strict=True):
            array[position] = image
        times.add_file(time.perf_counter() - started)

    return rows, arrays, [pool.submit(fill, i, paths[row]) for i, row in enumerate(rows)]


def _all_bad_files(first: DataError, paths: Sequence[Path]) -> DataError:
    """One error for all unreadable files, found by a quick look at each."""
    bad = dict(find_unreadable(paths))
    bad.setdefault(Path(first.where), first.what)
    if len(bad) == 1:
        return first
    return DataError(
        f"{len(bad)} images cannot be used.",
        details=[f"{path}: {what}" for path, what in sorted(bad.items())],
        fix="obtain these files again, or remove them from the dataset",
    )
