"""Engines: where jobs run. Same jobs, same store, same results on each of them.

A job is a function of no arguments that can be pickled; results come back in any order with the job's position. Jobs
publish their results in the store, so an engine that loses a worker simply runs the unfinished jobs again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import BenchError, did_you_mean

log = logging.getLogger("benchbench")
Name = Literal["local", "loky", "dask"]
NAMES: tuple[Name, ...] = ("local", "loky", "dask")
MAX_LOST_WORKERS = 5

Job = Callable[[], Any]


@dataclass(frozen=True)
class EngineConfig:
    """Which engine, and how large."""

    name: Name = "local"
    jobs: int = 1
    """Worker processes (loky)."""
    address: str = ""
    """Scheduler address, or the path of a cluster file (dask)."""

    @classmethod
    def parse(cls, text: str, jobs: int | None) -> EngineConfig:
        """``local``, ``loky``, ``dask:tcp://host:8786`` or ``dask:cluster.yaml``."""
        name, _, address = text.partition(":")
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise BenchError(
                f"There is no engine {name!r}{'; ' + hint if hint else '.'}",
                fix=f"use one of: {', '.join(NAMES)}",
            )
        if name == "dask" and not address:
            raise BenchError(
                "The dask engine needs a scheduler or a cluster file.",
                fix="--engine dask:tcp://HOST:8786, or --engine dask:cluster.yaml (see docs/how-to/slurm.md)",
            )
        if jobs is not None and jobs < 1:
            raise BenchError(
                f"--jobs {jobs} makes no sense.", fix="give a number of worker processes, 1 or more"
            )
        from ..machine import usable_cores

        return cls(name, jobs or (usable_cores() if name == "loky" else 1), address)


def run_jobs(engine: EngineConfig, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
    """Run all jobs; yields (position, result) as they finish. Jobs return values and do not raise."""
    if engine.name == "local" or not jobs:
        for position, job in enumerate(jobs):
            yield position, job()
        return
    left = dict(enumerate(jobs))
    for attempt in range(MAX_LOST_WORKERS + 1):
        try:
            for position, result in _parallel(engine, left):
                left.pop(position, None)
                yield position, result
        except Exception as error:
            if not _worker_died(error) or attempt == MAX_LOST_WORKERS:
                raise
            log.warning("a worker died (%s); %d job(s) are run again", type(error).__name__, len(left))
        if not left:
            return


def _parallel(engine: EngineConfig, jobs: dict[int, Job]) -> Iterator[tuple[int, Any]]:
    import joblib

    numbered = [joblib.delayed(_numbered)(position, job) for position, job in jobs.items()]
    if engine.name == "loky":
        with joblib.parallel_config("loky", n_jobs=engine.jobs, inner_max_num_threads=1):
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(numbered)
        return
    from .dask import connected

    with connected(engine.address), joblib.parallel_config("dask"):
        yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(numbered)


def _numbered(position: int, job: Job) -> tuple[int, Any]:
    return position, job()


def _worker_died(error: BaseException) -> bool:
    names = {k.__name__ for k in type(error).__mro__}
    return bool(
        names & {"TerminatedWorkerError", "BrokenProcessPool", "KilledWorker", "ShutdownExecutorError"}
    )


def is_cluster_file(address: str) -> bool:
    """Whether a dask address is a file that describes a cluster, rather than a scheduler's address."""
    return "://" not in address and Path(address).suffix in {".yaml", ".yml"}
