"""Work on files by threads: reading and decoding let go of Python's lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .machine import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST = 8  # more readers than this make a disk slower
_AHEAD = 16  # items per thread, so that a million of them are not all in memory


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `work` makes of each item, in their order; raises what it raises, and then starts no further item."""
    threads = min(_MOST, usable_cores())
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
