"""Engines: where jobs run. Same jobs, same store, same results on each of them.

A job is a function of no arguments that can be pickled; results come back in any order with the job's position. Jobs
publish their results in the store, so an engine that loses a worker simply runs the unfinished jobs again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BenchError, did_you_mean

if TYPE_CHECKING:
    from .cluster import ClusterConfig
    from .worker import Done

log = logging.getLogger("benchbench")
Name = Literal["local", "loky", "dask"]
NAMES: tuple[Name, ...] = ("local", "loky", "dask")
MAX_LOST_WORKERS = 5
_MORE_MEMORY = {
    "loky": "use fewer workers (--jobs), or a machine with more",
    "dask": "give each worker more (memory in the cluster's settings, or --memory-limit of `dask worker`)",
}

Job = Callable[[], Any]


@dataclass(frozen=True)
class EngineConfig:
    """Which engine, and how large."""

    name: Name = "local"
    jobs: int = 1
    """Worker processes (loky)."""
    address: str = ""
    """Scheduler address (dask)."""
    cluster: ClusterConfig | None = None
    """Cluster to be made (dask)."""

    @classmethod
    def parse(cls, text: str, jobs: int | None, cluster: ClusterConfig | None = None) -> EngineConfig:
        """``local``, ``loky``, ``dask:tcp://host:8786``, ``dask:cluster.yaml``, or ``dask`` with a suite's `cluster`.

        Raises:
            BenchError: there is no such engine, or the cluster file does not fit.
        """
        name, _, address = text.partition(":")
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise BenchError(
                f"There is no engine {name!r}{'; ' + hint if hint else '.'}",
                fix=f"use one of: {', '.join(NAMES)}",
            )
        if jobs is not None and jobs < 1:
            raise BenchError(
                f"--jobs {jobs} makes no sense.", fix="give a number of worker processes, 1 or more"
            )
        if jobs is not None and name != "loky":
            log.warning("--jobs %d has no effect: the %s engine does not start worker processes", jobs, name)
        if name == "dask":
            return cls(name, 1, *_dask_target(address, cluster))
        from ..machine import usable_cores, visible_gpus

        return cls(name, (jobs or visible_gpus() or usable_cores()) if name == "loky" else 1)


def _dask_target(address: str, cluster: ClusterConfig | None) -> tuple[str, ClusterConfig | None]:
    """The scheduler's address, or the cluster that is to be made."""
    if "://" in address:
        return address, None
    if address:
        from .cluster import read_cluster_file

        return "", read_cluster_file(Path(address))
    if cluster is None:
        raise BenchError(
            "The dask engine needs a scheduler or a cluster.",
            fix="--engine dask:tcp://HOST:8786, --engine dask:cluster.yaml, or `cluster:` in the suite "
            "(see docs/how-to/slurm.md)",
        )
    return "", cluster


class Engine:
    """An engine in use: connects, and asks for a cluster, when the first jobs come, and holds it to the end."""

    def __init__(self, config: EngineConfig, log_file: Path | None = None) -> None:
        self.config, self.log_file = config, log_file
        self.workers_mib: dict[str, float] = {}
        """Largest resident memory of each worker that has finished a job, by host and process."""
        self._held = contextlib.ExitStack()
        self._hardware: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    @property
    def here(self) -> bool:
        """Whether jobs run in this very process."""
        return self.config.name == "local"

    def divides_cores(self, device: str) -> bool:
        """Whether workers share the cores of this machine: what uses all of them is then done here, once at a time."""
        return self.config.name == "loky" and not device.startswith("cuda")

    @property
    def workers(self) -> int:
        """Worker processes that there are or, of a cluster, that were asked for."""
        if self.config.name != "dask":
            return self.config.jobs
        cluster = self.config.cluster
        asked = cluster.workers * cluster.processes if cluster else 1
        return max(asked, len(self._client.ncores()))

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
        """Run all jobs; yields (position, result) as they finish. Jobs return values and do not raise."""
        if self.here or not jobs:
            for position, job in enumerate(jobs):
                yield position, job()
            return
        left, lost = dict(enumerate(jobs)), 0
        while left:
            try:
                for done in self._parallel(left):
                    left.pop(done.position, None)
                    lost = 0
                    if done.peak_mib:
                        self.workers_mib[done.worker] = done.peak_mib
                    yield done.position, done.result
            except Exception as error:
                if not _worker_died(error):
                    raise
                lost += 1
                if lost > MAX_LOST_WORKERS:
                    raise BenchError(
                        f"Workers die again and again; {len(left)} job(s) are not done.",
                        where=str(error).splitlines()[0] if str(error) else type(error).__name__,
                        fix=f"mostly memory is short: {_MORE_MEMORY[self.config.name]}; the same command carries on",
                    ) from error
                log.warning("a worker died (%s); %d job(s) are run again", type(error).__name__, len(left))
                # Whichever job it was on goes last, so that the others get done.
                begun = list(left)[: self.workers]
                left = {i: left[i] for i in [*(i for i in left if i not in begun), *begun]}

    def one(self, job: Job) -> Any:
        """The result of a single job; what it raises is raised here."""
        return next(result for _, result in self.run([job]))

    def where_the_work_is(self, job: Job) -> Any:
        """The result of a job on the machine that does the work: a worker's where they have one of their own."""
        return self.one(job) if self.config.name == "dask" else job()

    def hardware(self, device: str) -> dict[str, str]:
        """The machine that does the work, with the device that `device` ("auto", ...) is there.

        Workers of a cluster have a machine of their own: one of them is asked.
        """
        if device not in self._hardware:
            self._hardware[device] = self.where_the_work_is(functools.partial(_hardware_of, device))
        return self._hardware[device]

    @cached_property
    def _client(self) -> Any:
        from .dask import connected, submitted

        cluster = self.config.cluster
        return self._held.enter_context(submitted(cluster) if cluster else connected(self.config.address))

    def _parallel(self, jobs: dict[int, Job]) -> Iterator[Done]:
        import joblib

        from .worker import Numbered

        loky = self.config.name == "loky"
        numbered = [Numbered(i, job, self.log_file, watch=loky) for i, job in jobs.items()]
        if not loky:
            from .dask import results

            yield from results(self._client, numbered, self.config.cluster)
            return
        with joblib.parallel_config("loky", n_jobs=self.config.jobs, inner_max_num_threads=1):
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            yield from parallel(joblib.delayed(job)() for job in numbered)


def _hardware_of(device: str) -> dict[str, str]:
    from ..machine import choose_device, hardware

    return hardware(choose_device(device))


def _worker_died(error: BaseException) -> bool:
    names = {k.__name__ for k in type(error).__mro__}
    return bool(
        names & {"TerminatedWorkerError", "BrokenProcessPool", "KilledWorker", "ShutdownExecutorError"}
    )
