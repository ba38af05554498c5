"""What `bench status` says of runs that are going on, and that a run tells it enough."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress

from benchbench.live import live_runs
from benchbench.progress import Reporter


def a_run(folder: Path, name: str, status: str) -> Path:
    run = folder / name
    run.mkdir()
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (run / "run.json").write_text(json.dumps({"status": status, "started": started}))
    (run / "log.txt").write_text("embedding: 5 of 10 (1.0/s, 5 s left)\n")
    return run


def test_only_runs_that_go_on_are_shown_with_what_they_do(tmp_path: Path) -> None:
    a_run(tmp_path, "20260101-000000", "done")
    a_run(tmp_path, "20260101-000001", "running")
    (line,) = live_runs(tmp_path, 3, 9)
    assert "20260101-000001" in line
    assert "6 cells left" in line
    assert "5 s left" in line


def test_a_run_that_was_killed_is_not_called_live(tmp_path: Path) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    long_ago = time.time() - 7200
    for path in run.iterdir():
        os.utime(path, (long_ago, long_ago))
    (line,) = live_runs(tmp_path, 3, 9)
    assert "most likely it was killed" in line


def test_behind_a_progress_bar_the_log_file_still_tells_the_progress(caplog) -> None:
    with caplog.at_level(logging.DEBUG, logger="benchbench"), Progress(disable=True) as bars:
        logging.getLogger("benchbench").propagate = True
        Reporter("cells", bars)(4, 4, "the last one")
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "cells: 4 of 4" in record.getMessage()
