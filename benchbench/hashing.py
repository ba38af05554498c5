"""sha256 of files, remembered while a file's size and times stay the same.

Checkpoints have gigabytes and datasets thousands of images; a plan must not read them all again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .remembered import Remembered
from .store import Store, sha256_of
from .threads import in_threads

_VERSION = 1


class HashCache:
    """Remembered sha256 values, one file per store; safe to share between threads and processes.

    A file counts as unchanged while its absolute path, size, modification time and status-change time are the
    same; the last one also catches files that were replaced with their old modification time kept.
    """

    def __init__(self, store: Store) -> None:
        self._known = Remembered(store.root / "hashes.json", _VERSION, _is_hash, subject=_path_of)

    def sha256(self, path: Path) -> str:
        """sha256 of one file's bytes as 64 hex digits; raises OSError when it cannot be read."""
        return self.sha256_many([path])[0]

    def sha256_many(
        self, paths: Iterable[Path], progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        """sha256 of many files, in their order, hashed in threads; raises OSError when one cannot be read.

        What was hashed before that is remembered. `progress` is told how many of the unknown files are done.
        """
        wanted = [_signature(Path(p)) for p in paths]
        missing = list(dict.fromkeys(w for w in wanted if w not in self._known))
        try:
            for done, digest in enumerate(in_threads(_hash, missing), start=1):
                self._known.remember(missing[done - 1], digest)
                if progress:
                    progress(done, len(missing))
        finally:
            self._known.save()
        return [self._known[w] for w in wanted]


def _signature(path: Path) -> str:
    path = path.absolute()
    stat = path.stat()
    return f"{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{path}"


def _path_of(signature: str) -> str:
    return signature.split("|", 3)[3]


def _hash(signature: str) -> str:
    return sha256_of(Path(_path_of(signature)))


def _is_hash(key: str, value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and key.count("|") >= 3
