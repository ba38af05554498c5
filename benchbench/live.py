"""What is known of runs that are going on, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from .claims import abandoned
from .store import Store, content_key

SILENT_S = 30 * 60
"""Where no lock tells: a run writes to its log every ten seconds, but a long training epoch may keep it silent."""


def run_key(folder: Path) -> str:
    """What a run claims while it goes on, so that its death shows at once."""
    return content_key({"run folder": str(folder.resolve())})


def live_runs(store: Store, folder: Path, done: int, total: int) -> Iterator[str]:
    """One line for each run of a suite that has not finished, newest first, with the time left."""
    for path in sorted(folder.glob("*/run.json"), reverse=True):
        if path.parent.is_symlink():
            continue
        try:
            info = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if info.get("status") == "running":
            now = datetime.now(UTC)
            elapsed = (now - datetime.fromisoformat(info["started"])).total_seconds()
            silent = now.timestamp() - _last_change(path.parent)
            if abandoned(store, run_key(path.parent)):
                state = "was killed: the same command carries on"
            else:
                state = _state(elapsed, silent, total - done)
            yield f"  {path.parent.name}: {state}; {_last_line(path.parent)}"


def _state(elapsed: float, silent: float, left: int) -> str:
    """In words: going on, or most likely killed."""
    if silent > SILENT_S:
        return f"no sign of life for {silent / 60:.0f} min, most likely it was killed: the same command carries on"
    return f"started {elapsed:.0f} s ago, {left} cells left"


def _last_change(folder: Path) -> float:
    return max(
        (p.stat().st_mtime for p in (folder / "run.json", folder / "log.txt") if p.exists()), default=0.0
    )


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log yet"
    return lines[-1] if lines else "no log yet"
