"""What is known of runs that are going on, read from their folders and from the store's claims."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .claims import is_claimed
from .progress import span
from .store import Store, content_key


def run_key(folder: Path) -> str:
    """Name of the claim that a run holds as long as it lives."""
    return content_key({"run": str(folder.resolve())})


def live_runs(folder: Path, store: Store, left: int) -> Iterator[str]:
    """One line for each run of a suite that has not said how it ended, newest first.

    Args:
        folder: Where the runs of the suite lie.
        store: The store that they work on, whose claims tell the living from the dead.
        left: Cells that are not done.
    """
    for path in sorted(folder.glob("*/run.json"), reverse=True):
        if path.parent.is_symlink():
            continue
        info = _read(path)
        if info.get("status") == "running":
            state = _state(info, left) if is_claimed(store, run_key(path.parent)) else _ENDED
            yield f"  {path.parent.name}: {state}; {_progress(path.parent)}"


_HOW_FAR = re.compile(r": \d+ of \d+ \(")
_ENDED = "it was killed: the same command carries on"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def _state(info: Mapping[str, Any], left: int) -> str:
    where = f"process {info['process']} on {info['host']}, " if info.get("host") else ""
    return f"{where}started {span(_age_s(info))} ago, {left} cells left"


def _age_s(info: Mapping[str, Any]) -> float:
    """Seconds since the start; 0 where another clock wrote a time to come, or none that can be read."""
    try:
        started = datetime.fromisoformat(str(info.get("started")))
    except ValueError:
        return 0.0
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return max(0.0, time.time() - started.timestamp())


def _progress(folder: Path) -> str:
    """The last line of the log that says how far a stage is, else the last line."""
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log yet"
    said = (line for line in reversed(lines) if _HOW_FAR.search(line))
    return next(said, lines[-1] if lines else "no log yet")
