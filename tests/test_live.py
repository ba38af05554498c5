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
from benchbench.progress import CellReporter, Reporter, span
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


def test_what_workers_log_does_not_hide_how_far_a_run_is(tmp_path: Path, store: Store) -> None:
    run = a_run(tmp_path, "20260101-000001", "running")
    with (run / "log.txt").open("a") as log:
        log.write("worker on node7: peak memory so far 812 MiB\n")
    with claim(store, run_key(run)):
        (line,) = live_runs(tmp_path, store, 6)
    assert "5 of 10" in line
    assert "node7" not in line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (99, "99 s"), (150, "2 min"), (5940, "99 min"), (11_040, "3 h 04 min")],
)
def test_a_duration_is_said_in_the_units_of_its_size(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_slow_work_has_a_pace_and_a_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("benchbench"), "propagate", True)
    now = 1000.0
    monkeypatch.setattr("benchbench.progress.time.monotonic", lambda: now)
    report = Reporter("cells", None)
    now = 1400.0
    with caplog.at_level(logging.INFO, logger="benchbench"):
        report(4, 40)
    assert "cells: 4 of 40 (0.6/min, 60 min left of this stage)" in caplog.text


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the progress displays of a test say."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log = logging.Logger("of its own", logging.DEBUG)
    log.addHandler(Kept())
    monkeypatch.setattr("benchbench.progress.log", log)
    return said


def test_work_that_was_resumed_has_the_pace_of_what_is_done_since(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("benchbench.progress.time.monotonic", lambda: now)
    report = CellReporter("fine_tune on aptos/dr")
    report(900, 1000, "steps, epoch 9 of 10")
    now = 1100.0
    report(910, 1000, "steps, epoch 10 of 10")
    report(1000, 1000, "steps, epoch 10 of 10")
    (line,) = lines
    assert (
        line == "fine_tune on aptos/dr: 910 of 1000 (6.0/min, 15 min left of this cell) steps, epoch 10 of 10"
    )


def test_the_next_dataset_of_a_stage_has_a_pace_of_its_own(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("benchbench.progress.time.monotonic", lambda: now)
    report = Reporter("embedding", None)
    for total in (36_000, 36_000):
        for done in range(0, total + 1, 400):
            report(done, total)
            now += 40.0
    report(0, 1, "waiting for another process")
    now += 500.0
    report(90_000, 100_000)
    now += 100.0
    report(91_000, 100_000)
    assert "embedding: 36000 of 36000 (10.0/s) " in lines
    second = lines[lines.index("embedding: 36000 of 36000 (10.0/s) ") + 1 :]
    assert all("(10.0/s" in line for line in second if " of 36000 " in line and ": 0 of" not in line)
    assert lines[-1] == "embedding: 91000 of 100000 (10.0/s, 15 min left of this stage) "


def test_work_of_hours_says_how_far_it_is_less_often(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("benchbench.progress.time.monotonic", lambda: now)
    report = Reporter("cells", None)
    for second in range(1, 36_000):
        now = float(second)
        report(second, 100_000)
    assert 200 < len(lines) < 600
    assert [line.partition(" of ")[0] for line in lines[:9]] == [f"cells: {10 * i}" for i in range(1, 10)]


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
