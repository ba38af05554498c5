"""A cap on the threads of BLAS and torch: more threads than free cores make small products many times slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..machine import usable_cores


@contextmanager
def thread_limit(threads: int | None) -> Iterator[int]:
    """Run the block with at most `threads` threads (None: one per usable core) and restore what was set before."""
    import torch
    from threadpoolctl import threadpool_limits

    count = max(1, threads or usable_cores())
    before = torch.get_num_threads()
    with threadpool_limits(limits=count):
        torch.set_num_threads(count)
        try:
            yield count
        finally:
            torch.set_num_threads(before)
