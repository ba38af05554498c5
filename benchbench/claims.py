"""Claims: who is computing what, so that processes and hosts that share a store do not do the same work twice.

A claim is a lock on a file in the store. The operating system drops it when its holder dies, however that happens, so
there is no time-out to choose and no clock to trust. Work is correct without claims (results are published in one
rename, and equal work gives equal results); they only save the second computation.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from .store import Store

POLL_S = 0.2


def _paths(store: Store, key: str) -> tuple[Path, Path]:
    folder = store.root / "claims" / key[:2]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}.lock", folder / f"{key}.json"


def holder(store: Store, key: str) -> str:
    """Who last claimed `key`, for a message; empty if unknown."""
    try:
        record = json.loads(_paths(store, key)[1].read_bytes())
        return f"process {record['process']} on {record['host']} since {record['since']}"
    except (OSError, ValueError, KeyError):
        return ""


def abandoned(store: Store, key: str) -> bool:
    """Whether the last holder of `key` died: its record is there, and nobody holds the lock."""
    lock_path, record_path = _paths(store, key)
    if not record_path.is_file():
        return False
    try:
        with FileLock(lock_path, timeout=0):
            return record_path.is_file()
    except (Timeout, NotImplementedError):
        return False


@contextlib.contextmanager
def claim(store: Store, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the claim on `key`; yields whether it is ours. With `wait`, waits until its holder is done or dead."""
    lock_path, record_path = _paths(store, key)
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=POLL_S)
    except Timeout:
        yield False
        return
    except NotImplementedError:  # a file system without locks: work on, at worst something is computed twice
        yield True
        return
    try:
        record = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        with contextlib.suppress(OSError):
            record_path.write_text(json.dumps(record))
        yield True
    finally:
        with contextlib.suppress(OSError):
            record_path.unlink()
        lock.release()
