"""Small facts that only save time, remembered in one file of the store."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from .claims import guarded
from .store import atomic_write

_log = logging.getLogger("benchbench")
_PAUSE_S = 30.0
_SHARE = 20
"""A file of half a million entries takes seconds to write: writing gets at most one part in so many of the time."""


class Remembered:
    """Values by key, in a JSON file; safe to share between threads, and between processes that each have their own.

    Args:
        path: The file; what it held under another `version` counts as nothing.
        version: Raised when values mean something else than before.
        valid: Whether a (key, value) read from the file can be one; others are dropped.
        subject: Of two keys with the same subject only the newer is kept.
    """

    def __init__(
        self,
        path: Path,
        version: int,
        valid: Callable[[str, Any], bool],
        subject: Callable[[str], str] | None = None,
    ) -> None:
        self._path, self._version, self._valid, self._subject = path, version, valid, subject
        self._lock = threading.Lock()
        self._fresh: dict[str, Any] = {}
        self._due = time.monotonic() + _PAUSE_S

    @cached_property
    def _known(self) -> dict[str, Any]:
        return self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def remember(self, key: str, value: Any) -> None:
        """Add one value; it reaches the file now and then, and with `save` at the latest."""
        with self._lock:
            self._known[key] = self._fresh[key] = value
            if time.monotonic() >= self._due:
                self._write()

    def save(self) -> None:
        """Bring what is new to the file; one that cannot be written costs a warning."""
        with self._lock:
            if self._fresh:
                self._write()

    def _write(self) -> None:
        started = time.monotonic()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with guarded(self._path):
                merged = {**self._read(), **self._fresh}  # another process may have added entries since
                content = {"version": self._version, "known": self._newest(merged)}
                atomic_write(self._path, json.dumps(content, indent=0).encode())
            self._fresh = {}
        except OSError as error:
            _log.warning("cannot remember in %s: %s", self._path, error.strerror or error)
        ended = time.monotonic()
        self._due = ended + max(_PAUSE_S, _SHARE * (ended - started))

    def _newest(self, known: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._subject is None:
            return known
        newest = {self._subject(key): key for key in known}
        return {key: known[key] for key in newest.values()}

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_bytes())
            known = content["known"] if content["version"] == self._version else {}
            return {k: v for k, v in known.items() if self._valid(k, v)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
