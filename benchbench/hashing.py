"""sha256 of files, remembered while a file's size and times stay the same.

Checkpoints have gigabytes and datasets thousands of images; a plan must not read them all again each time.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .claims import guarded
from .store import Store, atomic_write, sha256_of

_log = logging.getLogger("benchbench")
_FILE = "hashes.json"


class HashCache:
    """Remembered sha256 values, one file per store; safe to share between threads and processes.

    A file counts as unchanged while its absolute path, size, modification time and status-change time are the
    same; the last one also catches files that were replaced with their old modification time kept.
    """

    def __init__(self, store: Store) -> None:
        self._path = store.root / _FILE
        self._lock = threading.Lock()
        self._known = _read(self._path)

    def sha256(self, path: Path) -> str:
        """sha256 of one file's bytes as 64 hex digits; raises OSError when it cannot be read."""
        return self.sha256_many([path])[0]

    def sha256_many(self, paths: Iterable[Path], threads: int | None = None) -> list[str]:
        """sha256 of many files, in their order, hashed in threads and remembered with one write."""
        wanted = [_signature(Path(p)) for p in paths]
        missing = list(dict.fromkeys(w for w in wanted if w not in self._known))
        if missing:
            with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
                fresh = dict(zip(missing, pool.map(_hash, missing), strict=True))
            self._remember(fresh)
        return [self._known[w] for w in wanted]

    def _remember(self, fresh: dict[str, str]) -> None:
        with self._lock:
            self._known.update(fresh)
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with guarded(self._path):
                    # Another process may have added entries since; newest signature of a path wins.
                    merged = {**_read(self._path), **fresh}
                    latest = {signature.split("|", 3)[3]: signature for signature in merged}
                    kept = {signature: merged[signature] for signature in latest.values()}
                    atomic_write(self._path, json.dumps(kept, indent=0).encode())
            except OSError as error:  # the cache only saves time; the hashes themselves are right
                _log.warning("cannot remember file hashes in %s: %s", self._path, error.strerror or error)


def _signature(path: Path) -> str:
    path = path.absolute()
    stat = path.stat()
    return f"{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{path}"


def _hash(signature: str) -> str:
    return sha256_of(Path(signature.split("|", 3)[3]))


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str) and len(v) == 64 and k.count("|") >= 3}
