"""What `bench status` says of runs that are going on, and that a run tells it enough."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress

from benchbench.live import live_runs, run_key
from benchbench.progress import Reporter
from benchbench.store import Store


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
    (line,) = live_runs(Store(tmp_path / "store"), tmp_path, 3, 9)
    assert "20260101-000001" in line
    assert "6 cells left" in line
    assert "5 s left" in line


def test_a_run_that_was_killed_is_not_called_live(tmp_path: Path) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    long_ago = time.time() - 7200
    for path in run.iterdir():
        os.utime(path, (long_ago, long_ago))
    (line,) = live_runs(Store(tmp_path / "store"), tmp_path, 3, 9)
    assert "most likely it was killed" in line


HOLD = """
import sys, time
from pathlib import Path
from benchbench.claims import claim
from benchbench.store import Store
with claim(Store(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_is_told_at_once_by_the_lock_that_it_held(tmp_path: Path) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    store = Store(tmp_path / "store")
    command = [sys.executable, "-c", HOLD, str(store.root), run_key(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    (line,) = live_runs(store, tmp_path, 3, 9)
    assert "6 cells left" in line
    process.send_signal(signal.SIGKILL)
    process.wait()
    (line,) = live_runs(store, tmp_path, 3, 9)
    assert "was killed: the same command carries on" in line


def test_behind_a_progress_bar_the_log_file_still_tells_the_progress(caplog) -> None:
    with caplog.at_level(logging.DEBUG, logger="benchbench"), Progress(disable=True) as bars:
        logging.getLogger("benchbench").propagate = True
        Reporter("cells", bars)(4, 4, "the last one")
    assert {r.levelno for r in caplog.records} == {logging.DEBUG}
    assert all("cells: 4 of 4" in r.getMessage() for r in caplog.records)
