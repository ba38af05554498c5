"""Decode ahead: threads prepare the next batches while the network works on the present one.

Threads, not processes: the decoders release the interpreter's lock, and nothing has to be copied between
processes. Images that have been prepared before are read ahead in the same way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..api import Preprocess
from ..errors import DataError
from .decoding import find_unreadable
from .preparing import prepare_many

if TYPE_CHECKING:
    import torch

    from ..shards import ShardedRows

    Batch = tuple[range, list[torch.Tensor]]
    Submit = Callable[[ThreadPoolExecutor, range], tuple[list[torch.Tensor], list[Future[None]]]]


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
    pin: bool = False,
) -> Generator[Batch]:
    """For each range of positions: the range, and one (b, size, size, 3) uint8 tensor per preprocess.

    Every file is read and decoded once for all preprocesses. `ahead` batches are prepared in advance, which
    bounds the memory. `pin`: in memory from which a GPU copies by itself.

    Raises:
        DataError: naming all unreadable files at once.
    """
    times = times if times is not None else StageTimes()

    def submit(pool: ThreadPoolExecutor, rows: range) -> tuple[list[torch.Tensor], list[Future[None]]]:
        tensors = [_empty((len(rows), p.size, p.size, 3), pin) for p in preprocesses]
        arrays = [tensor.numpy() for tensor in tensors]

        def fill(position: int, path: Path) -> None:
            started = time.perf_counter()
            for array, image in zip(arrays, prepare_many(path, preprocesses), strict=True):
                array[position] = image
            times.add_file(time.perf_counter() - started)

        return tensors, [pool.submit(fill, i, paths[row]) for i, row in enumerate(rows)]

    try:
        yield from _in_advance(submit, batches, threads, ahead, times)
    except DataError as error:
        raise _all_bad_files(error, paths) from error


def stored_batches(
    sources: Sequence[ShardedRows],
    batches: Sequence[range],
    *,
    threads: int,
    ahead: int = 2,
    times: StageTimes | None = None,
    pin: bool = False,
) -> Generator[Batch]:
    """As `prepared_batches`, from images that have been prepared before."""

    def submit(pool: ThreadPoolExecutor, rows: range) -> tuple[list[torch.Tensor], list[Future[None]]]:
        shapes = [(len(rows), *source.shape[1:]) for source in sources]
        tensors = [_empty(shape, pin) for shape in shapes]

        def read() -> None:
            for tensor, source in zip(tensors, sources, strict=True):
                tensor.numpy()[:] = source[rows.start : rows.stop]

        return tensors, [pool.submit(read)]

    return _in_advance(submit, batches, threads, ahead, times if times is not None else StageTimes())


def _in_advance(
    submit: Submit, batches: Sequence[range], threads: int, ahead: int, times: StageTimes
) -> Generator[Batch]:
    """The batches in their order, `ahead` of them under way while the present one is used."""
    waiting: deque[tuple[range, list[torch.Tensor], list[Future[None]]]] = deque()
    todo = deque(batches)
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            while todo or waiting:
                while todo and len(waiting) <= ahead:
                    rows = todo.popleft()
                    waiting.append((rows, *submit(pool, rows)))
                rows, tensors, futures = waiting.popleft()
                started = time.perf_counter()
                for future in futures:
                    future.result()
                times.wait += time.perf_counter() - started
                yield rows, tensors
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _empty(shape: tuple[int, ...], pin: bool) -> torch.Tensor:
    import torch

    return torch.empty(shape, dtype=torch.uint8, pin_memory=pin)


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
