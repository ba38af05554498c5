"""Engines: the same jobs give the same results wherever they run, and lost workers cost time only."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchbench.engines import EngineConfig, run_jobs
from benchbench.engines.dask import read_cluster_file
from benchbench.errors import BenchError, SuiteError

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


def test_the_local_engine_runs_jobs_in_order() -> None:
    jobs = [functools.partial(square, i) for i in range(5)]
    assert list(run_jobs(EngineConfig(), jobs)) == [(i, i * i) for i in range(5)]


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
        list(run_jobs(engine, [functools.partial(square, 1)]))
    assert said in caught.value.block()


def test_a_cluster_file_becomes_settings_and_refuses_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("scheduler: slurm\nworkers: 2\ncores: 8\ngpus: 1\nqueue: gpu\n")
    settings = read_cluster_file(path).settings()
    assert settings["job_extra_directives"] == ["--gres=gpu:1"]
    assert settings["queue"] == "gpu"
    assert settings["job_cpu"] == 8
    path.write_text("scheduler: slurm\nworker: 2\n")
    with pytest.raises(SuiteError) as caught:
        read_cluster_file(path)
    assert caught.value.where.endswith(":2")


def run_suite(folder: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(SUITE)
    environment = {**os.environ, "BENCHBENCH_STORE": str(folder / "store")}
    environment.pop("OMP_NUM_THREADS", None)
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
    import json

    yield json.loads(file.read_text())["address"], workers
    for process in (*workers, boss):
        process.terminate()
    for process in (*workers, boss):
        process.wait(timeout=30)


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
