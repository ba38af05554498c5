"""One GPU per worker process: the first free one is taken for the life of the process."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path
from typing import Any

from filelock import Timeout

from ..claims import kernel_lock

_held: list[Any] = []  # locks live as long as the worker process


@functools.lru_cache(maxsize=1)
def pinned(device: str, store_root: Path) -> str:
    """``cuda`` becomes ``cuda:N`` with N this process's own GPU; other devices stay as they are.

    With more workers than GPUs the remaining workers share, spread by process number.
    """
    if device != "cuda":
        return device
    import torch

    count = torch.cuda.device_count()
    if count < 2:
        return device
    folder = store_root / "claims"
    for index in range(count):
        lock = kernel_lock(folder / f"gpu-{socket.gethostname()}-{_card(index)}.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except (Timeout, NotImplementedError, OSError):
            continue
        _held.append(lock)
        return f"cuda:{index}"
    return f"cuda:{os.getpid() % count}"


def _card(index: int) -> str:
    """Name of the card itself: which card a number means depends on CUDA_VISIBLE_DEVICES."""
    import torch

    return str(getattr(torch.cuda.get_device_properties(index), "uuid", index))
