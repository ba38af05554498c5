"""Claims: who is computing what, so that processes and hosts that share a store do not do the same work twice.

A claim is a lock on a file in the store. The operating system drops it when its holder dies, however that happens, so
there is no time-out to choose and no clock to trust (docs/decisions/0005-locks.md). Work is correct without claims
(results are published in one rename, and equal work gives equal results); they only save the second computation.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .store import Store

POLL_S = 0.2

# Where flock is missing, newer versions of filelock fall back to a marker file, which outlives a killed holder and then
# blocks everybody. Older versions do not know the parameter and raise NotImplementedError there.
_NO_MARKERS: dict[str, Any] = (
    {"fallback_to_soft": False} if "fallback_to_soft" in inspect.signature(FileLock).parameters else {}
)


def kernel_lock(path: Path | str) -> FileLock:
    """A lock that dies with its holder; where there is none of that kind, acquiring it raises."""
    return FileLock(path, **_NO_MARKERS)


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Hold ``path.lock`` for one write of a file that only saves time.

    Where locks are refused the write goes on without: at worst, what another process remembered meanwhile is lost.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(NotImplementedError, OSError):
            held.enter_context(kernel_lock(f"{path}.lock"))
        yield


def _paths(store: Store, key: str) -> tuple[Path, Path]:
    folder = store.root / "claims" / key[:2]
    return folder / f"{key}.lock", folder / f"{key}.json"


def holder(store: Store, key: str) -> str:
    """Who last claimed `key`, for a message; empty if unknown."""
    try:
        record = json.loads(_paths(store, key)[1].read_bytes())
        return f"process {record['process']} on {record['host']} since {record['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def claim(store: Store, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the claim on `key`; yields whether it is ours. With `wait`, waits until its holder is done or dead."""
    lock_path, record_path = _paths(store, key)
    lock = kernel_lock(lock_path)
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0, poll_interval=POLL_S)
    except Timeout:
        yield False
        return
    except (NotImplementedError, OSError):
        # No locks here, or a store that may only be read: work on, at worst something is computed twice.
        yield True
        return
    try:
        with contextlib.suppress(OSError):
            record_path.write_text(json.dumps(_record()))
        yield True
    finally:
        with contextlib.suppress(OSError):
            record_path.unlink()
        lock.release()


def _record() -> dict[str, object]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@contextlib.contextmanager
def claims(store: Store, keys: Iterable[str], waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the claims on all keys; `waiting(holder)` is called before waiting for another process.

    Everybody takes them in the same order, so nobody waits in a circle.
    """
    with contextlib.ExitStack() as held:
        for key in sorted(keys):
            if not held.enter_context(claim(store, key, wait=False)):
                waiting(holder(store, key) or "another process")
                held.enter_context(claim(store, key))
        yield


def is_claimed(store: Store, key: str) -> bool:
    """Whether a living process holds the claim on `key`; False where that cannot be known."""
    if not _paths(store, key)[0].exists():
        return False
    with claim(store, key, wait=False) as ours:
        return not ours


def claims_shown(
    store: Store, keys: Iterable[str], progress: Callable[[int, int, str], None] | None
) -> AbstractContextManager[None]:
    """Hold the claims of all keys, telling the progress display when another process has one."""

    def waiting(who: str) -> None:
        if progress:
            progress(0, 1, f"waiting for {who}, which does the same work")

    return claims(store, keys, waiting)
