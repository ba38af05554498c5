"""Engines: the same jobs give the same results wherever they run, and lost workers cost time only."""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchbench.engines import Engine, EngineConfig, Job
from benchbench.engines.shared import share
from benchbench.errors import BenchError, StoreError
from benchbench.processor import freed_memory_is_kept, keep_freed_memory
from benchbench.store import Store

SUITE = """\
title: A small suite
question: Do all engines agree?
encoders: [untrained/test_efficientnet, untrained/test_vit]
datasets: {idrid: {simulated: {images: 160, seed: 3}}}
tasks: [idrid/referable, idrid/any_dr]
protocols: [{protocol: linear_probe, preset: retfound_green_paper}]
"""


def square(x: int) -> int:
    return x * x


def die_once(marker: Path, x: int) -> int:
    """Kill the worker process the first time, work the second."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return x
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def run_jobs(config: EngineConfig, jobs: Sequence[Job]) -> list[tuple[int, Any]]:
    with Engine(config) as engine:
        return list(engine.run(jobs))


def test_the_local_engine_runs_jobs_in_order() -> None:
    jobs = [functools.partial(square, i) for i in range(5)]
    assert run_jobs(EngineConfig(), jobs) == [(i, i * i) for i in range(5)]


def test_loky_runs_every_job_once() -> None:
    jobs = [functools.partial(square, i) for i in range(5)]
    assert sorted(run_jobs(EngineConfig("loky", 2), jobs)) == [(i, i * i) for i in range(5)]


def test_the_work_of_a_dead_worker_is_done_again(tmp_path: Path) -> None:
    jobs = [functools.partial(die_once, tmp_path / "died", i) for i in range(4)]
    results = dict(run_jobs(EngineConfig("loky", 2), jobs))
    assert (tmp_path / "died").exists()
    assert results == {i: i for i in range(4)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lokky", "did you mean 'loky'"),
        ("dask", "scheduler"),
        ("dask:tcp://127.0.0.1:1", "No Dask scheduler answers"),
    ],
)
def test_a_wrong_engine_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BenchError) as caught:  # noqa: PT012  (either step may refuse)
        engine = EngineConfig.parse(text, None)
        run_jobs(engine, [functools.partial(square, 1)])
    assert said in caught.value.block()


def test_jobs_without_the_engine_that_uses_them_are_said_to_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    EngineConfig.parse("local", 4)
    assert "--jobs 4 has no effect" in caplog.text


def test_a_plan_whose_file_was_changed_is_not_unpickled(tmp_path: Path) -> None:
    shared = share({"a": "plan"}, Store(tmp_path))
    shared.path.write_bytes(shared.path.read_bytes() + b"more")
    with pytest.raises(StoreError, match="damaged"):
        shared.load()
    again = share({"a": "plan"}, Store(tmp_path))
    assert again.load() == {"a": "plan"}


LONG = """
import functools, sys, time
from pathlib import Path
from benchbench.engines import Engine, EngineConfig
sys.path.insert(0, sys.argv[2])
from test_engines import tell_and_sleep
with Engine(EngineConfig("loky", 2)) as engine:
    list(engine.run([functools.partial(tell_and_sleep, Path(sys.argv[1]) / str(i)) for i in range(2)]))
"""


def tell_and_sleep(told: Path) -> None:
    told.with_suffix(".tmp").write_text(str(os.getpid()))
    told.with_suffix(".tmp").rename(told)
    time.sleep(300)


def test_workers_end_when_the_run_that_started_them_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-c", LONG, str(tmp_path), str(Path(__file__).parent)])
    told = [tmp_path / "0", tmp_path / "1"]
    wait_for(lambda: all(p.exists() for p in told))
    workers = [int(p.read_text()) for p in told]
    run.kill()
    run.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def log_and_square(x: int) -> int:
    logging.getLogger("benchbench").info("squaring %d", x)
    return x * x


def test_what_workers_log_is_in_the_run_s_log(tmp_path: Path) -> None:
    with Engine(EngineConfig("loky", 2), tmp_path / "log.txt") as engine:
        list(engine.run([functools.partial(log_and_square, i) for i in range(3)]))
    text = (tmp_path / "log.txt").read_text()
    assert all(f"squaring {i}" in text for i in range(3))
    assert text.count("peak memory so far") == 3


def test_workers_use_the_processor_as_bench_does() -> None:
    kept = keep_freed_memory()
    assert run_jobs(EngineConfig("loky", 1), [freed_memory_is_kept]) == [(0, kept)]


def fill_and_square(megabytes: int, x: int) -> int:
    return len(b"1" * (megabytes << 20)) and x * x


def test_an_engine_knows_the_largest_memory_of_its_workers() -> None:
    with Engine(EngineConfig("loky", 1)) as engine:
        list(engine.run([functools.partial(square, 1)]))
        before = dict(engine.workers_mib)
        list(engine.run([functools.partial(fill_and_square, 900, 2), functools.partial(square, 3)]))
    assert len(before) == 1
    (worker,) = before
    assert "process" in worker
    assert engine.workers_mib[worker] >= max(900.0, before[worker])  # its peak, were it freed since


def wait_for(reached: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run_suite(folder: Path, *extra: str, threads: str = "1") -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(SUITE)
    environment = {**os.environ, "BENCHBENCH_STORE": str(folder / "store"), "OMP_NUM_THREADS": threads}
    return subprocess.run(
        [sys.executable, "-m", "benchbench", "run", "small.yaml", *extra],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def result_bytes(folder: Path) -> tuple[bytes, bytes]:
    latest = folder / "reports/small/latest"
    return (latest / "rows.csv").read_bytes(), (latest / "predictions.parquet").read_bytes()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    done = run_suite(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_loky_gives_the_rows_and_predictions_of_the_local_engine(local: Path, tmp_path: Path) -> None:
    done = run_suite(tmp_path / "loky", "--engine", "loky", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert result_bytes(tmp_path / "loky") == result_bytes(local)
    workers = json.loads((tmp_path / "loky/reports/small/latest/run.json").read_text())["workers_mib"]
    assert 1 <= len(workers) <= 2
    assert min(workers.values()) > 50


@pytest.mark.slow
def test_the_number_of_threads_in_the_environment_changes_no_byte(local: Path, tmp_path: Path) -> None:
    done = run_suite(tmp_path / "more", threads="2")
    assert done.returncode == 0, done.stderr
    assert result_bytes(tmp_path / "more") == result_bytes(local)


@pytest.mark.slow
def test_two_shells_divide_the_cells_and_each_counts_its_own(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        SUITE.replace("preset: retfound_green_paper", "config: {C_grid: [0.001, 0.01, 0.1, 1, 10], folds: 5}")
    )
    command = [sys.executable, "-m", "benchbench", "run", "small.yaml"]
    environment = {**os.environ, "BENCHBENCH_STORE": str(tmp_path / "store")}
    shells = [
        subprocess.Popen(
            [*command, "--out", str(tmp_path / name)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    outputs = [shell.communicate(timeout=300) for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0], outputs
    computed = [json.loads((tmp_path / n / "small/latest/run.json").read_text())["cells"] for n in "ab"]
    assert sum(c["computed"] for c in computed) == 4
    assert all(c["computed"] + c["cached"] == 4 for c in computed)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two worker processes on the loopback interface; (address, workers)."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    common = ["--no-dashboard", "--scheduler-file", str(file)]
    boss = subprocess.Popen(  # type: ignore[call-overload]
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            *common,
        ],
        **quiet,
    )
    deadline = time.monotonic() + 60
    while not file.exists():
        assert boss.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
    workers = [
        subprocess.Popen(  # type: ignore[call-overload]
            [*command, "--local-directory", str(tmp_path / f"w{i}"), *common], **quiet
        )
        for i in range(2)
    ]
    yield json.loads(file.read_text())["address"], workers
    for process in (*workers, boss):
        process.terminate()
    for process in (*workers, boss):
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # busy with the workers that died under it
            process.kill()
            process.wait(timeout=10)


@pytest.mark.slow
def test_a_single_dask_worker_does_the_work_itself(
    scheduler: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, workers = scheduler
    workers[0].terminate()
    workers[0].wait(timeout=30)
    with Engine(EngineConfig("dask", address=address)) as engine:
        wait_for(lambda: engine.workers == 1)
        # Nothing of this file: workers cannot import it.
        pids = {pid for _, pid in engine.run([os.getpid] * 4)}
    assert len(pids) == 1
    assert os.getpid() not in pids


@pytest.mark.slow
def test_a_dask_job_that_always_kills_its_worker_ends_in_plain_words_when_the_others_are_done(
    scheduler: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    die = functools.partial(signal.raise_signal, signal.SIGKILL)
    jobs: list[Job] = [die, *(functools.partial(pow, i, 2) for i in range(1, 5))]
    with Engine(EngineConfig("dask", address=scheduler[0])) as engine:
        results = engine.run(jobs)
        done = [next(results)[0] for _ in range(4)]
        with pytest.raises(BenchError, match="Workers die again and again"):
            next(results)
    assert sorted(done) == [1, 2, 3, 4]


@pytest.mark.slow
def test_workers_that_are_all_gone_are_waited_for_and_then_given_up(
    scheduler: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, workers = scheduler
    with Engine(EngineConfig("dask", address=address)) as engine:
        assert engine.workers >= 1
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(timeout=30)
        monkeypatch.setattr("benchbench.engines.dask.WAIT_S", 3.0)
        monkeypatch.setattr("benchbench.engines.dask.POLL_S", 0.2)
        with pytest.raises(BenchError, match="All workers have gone"):
            list(engine.run([functools.partial(pow, 3, 2)]))


@pytest.mark.slow
def test_dask_gives_the_rows_of_the_local_engine_although_a_worker_is_killed(
    local: Path, tmp_path: Path, scheduler: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = scheduler
    folder = tmp_path / "dask"
    folder.mkdir()
    (folder / "small.yaml").write_text(SUITE)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchbench", "run", "small.yaml", "--engine", f"dask:{address}"],
        cwd=folder,
        env={**os.environ, "BENCHBENCH_STORE": str(folder / "store")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 240
    while process.poll() is None and not any((folder / "store").glob("scratch/*/*/part-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert result_bytes(folder) == result_bytes(local)
    assert "worker on " in (folder / "reports/small/latest/log.txt").read_text()
