"""What `bench status` says of runs that are going on, and that a run tells it enough."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.progress import Progress

from benchbench.claims import claim
from benchbench.live import live_runs, run_key
from benchbench.progress import Reporter
from benchbench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "the store")


def a_run(folder: Path, name: str, status: str, started: datetime | None = None) -> Path:
    run = folder / name
    run.mkdir()
    moment = (started or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (run / "run.json").write_text(json.dumps({"status": status, "started": moment}))
    (run / "log.txt").write_text("embedding: 5 of 10 (1.0/s, 5 s left)\n")
    return run


def test_only_runs_that_go_on_are_shown_with_what_they_do(tmp_path: Path, store: Store) -> None:
    a_run(tmp_path, "20260101-000000", "done")
    run = a_run(tmp_path, "20260101-000001", "running")
    with claim(store, run_key(run)):
        (line,) = live_runs(tmp_path, store, 6)
    assert "20260101-000001" in line
    assert "6 cells left" in line
    assert "5 s left" in line


def test_a_run_that_was_killed_is_not_called_live_however_fresh_its_log(tmp_path: Path, store: Store) -> None:
    a_run(tmp_path, "20260101-000001", "running")
    (line,) = live_runs(tmp_path, store, 6)
    assert "it was killed" in line


def test_a_run_that_lives_is_called_live_however_long_it_has_been_silent(
    tmp_path: Path, store: Store
) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    long_ago = time.time() - 7200
    for path in run.iterdir():
        os.utime(path, (long_ago, long_ago))
    with claim(store, run_key(run)):
        (line,) = live_runs(tmp_path, store, 6)
    assert "killed" not in line


def test_a_start_in_the_future_has_no_negative_age(tmp_path: Path, store: Store) -> None:
    run = a_run(tmp_path, "20260101-000001", "running", datetime.now(UTC) + timedelta(hours=3))
    with claim(store, run_key(run)):
        (line,) = live_runs(tmp_path, store, 6)
    assert "started 0 s ago" in line


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "null", "3", "", "{", "[" * 100_000),
        '{"status": "running"}',
        '{"status": "running", "started": 5}',
        '{"status": "running", "started": "2026-01-01T00:00:00"}',
    ],
)
def test_a_broken_run_file_does_no_harm(tmp_path: Path, store: Store, text: str) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    (run / "run.json").write_text(text)
    with claim(store, run_key(run)):
        lines = list(live_runs(tmp_path, store, 6))
    assert len(lines) == ("running" in text)


HOLD = """
import sys, time
from pathlib import Path
from benchbench.claims import claim
from benchbench.store import Store
with claim(Store(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_is_told_at_once_by_the_lock_that_it_held(tmp_path: Path, store: Store) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    command = [sys.executable, "-c", HOLD, str(store.root), run_key(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    (line,) = live_runs(tmp_path, store, 6)
    assert "6 cells left" in line
    process.send_signal(signal.SIGKILL)
    process.wait()
    (line,) = live_runs(tmp_path, store, 6)
    assert "was killed: the same command carries on" in line


def test_behind_a_progress_bar_the_log_file_still_tells_the_progress(caplog) -> None:
    with caplog.at_level(logging.DEBUG, logger="benchbench"), Progress(disable=True) as bars:
        logging.getLogger("benchbench").propagate = True
        Reporter("cells", bars)(4, 4, "the last one")
    assert {r.levelno for r in caplog.records} == {logging.DEBUG}
    assert all("cells: 4 of 4" in r.getMessage() for r in caplog.records)
