"""What is known of runs that are going on, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path


def live_runs(folder: Path, done: int, total: int) -> Iterator[str]:
    """One line for each run of a suite that has not finished, newest first, with the time left."""
    for path in sorted(folder.glob("*/run.json"), reverse=True):
        if path.parent.is_symlink():
            continue
        try:
            info = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if info.get("status") == "running":
            started = datetime.fromisoformat(info["started"])
            elapsed = (datetime.now(UTC) - started).total_seconds()
            left = f"{total - done} cells left; {_last_line(path.parent)}"
            yield f"  {path.parent.name}: started {elapsed:.0f} s ago, {left}"


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log yet"
    return lines[-1] if lines else "no log yet"
