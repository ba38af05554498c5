"""The Dask engine's clusters: a scheduler that is there, or one made through dask-jobqueue."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any

from ..errors import BenchError
from .cluster import GPU, ClusterConfig

log = logging.getLogger("benchbench")
INSTALL = "pip install 'benchbench-retina[cluster]'"
CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
WAIT_S = 600.0
"""How long workers of a scheduler that is there may take to come; a cluster's own wait is in its settings."""
LINE_EVERY_S = 60.0
POLL_S = 2.0
COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "sge": "qsub"}
DEATHS = 10
"""So many workers may die on a job before it is given up: preemption is no fault of the job."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A dask.distributed client of the scheduler at an address, with a worker or more.

    Raises:
        BenchError: Dask is not installed, no scheduler answers, or no worker comes within `WAIT_S`.
    """
    client_class = _distributed().Client
    try:
        client = client_class(address, timeout="20s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BenchError(
            f"No Dask scheduler answers at {address}: {error}",
            fix="start one with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`",
        ) from error
    with client:
        _wait(client, WAIT_S, f"dask worker {address} --nthreads 1")
        yield client


@contextlib.contextmanager
def submitted(config: ClusterConfig) -> Iterator[Any]:
    """A client of a cluster whose jobs are submitted now and withdrawn at the end.

    Raises:
        BenchError: dask-jobqueue is not installed, the scheduler refuses the jobs, or none of them starts in time.
    """
    client_class = _distributed().Client
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    except ImportError as error:
        raise BenchError("dask-jobqueue is not installed.", fix=INSTALL) from error
    finally:
        # It takes the signal for itself when it is imported, and would end an interrupted run as if it were done.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)
    if not shutil.which(COMMANDS[config.scheduler]):
        raise BenchError(f"There is no {COMMANDS[config.scheduler]} here, which submits jobs.", fix=_HOW_TO)
    try:
        cluster = getattr(dask_jobqueue, CLASSES[config.scheduler])(**config.settings())
    except (OSError, RuntimeError, ValueError) as error:
        raise BenchError(f"The {config.scheduler} cluster cannot be made: {error}", fix=_HOW_TO) from error
    cluster.scheduler.allowed_failures = DEATHS
    with cluster, client_class(cluster, set_as_default=False) as client:
        log.debug("each of %d jobs is submitted as:\n%s", config.workers, cluster.job_script())
        cluster.scale(jobs=config.workers)
        _wait(client, _patience(config), "look at the queue, or give wait_hours in the cluster's settings")
        yield client


def results(client: Any, jobs: Iterable[Callable[[], Any]], config: ClusterConfig | None) -> Iterator[Any]:
    """What the jobs return, as they finish; each takes a GPU slot where workers have them.

    Everything is handed to the scheduler at once, so that workers that leave the queue later find work as well.
    Where all workers have gone (preempted, or at the end of their wall time) new ones are asked for and waited for.

    Raises:
        BenchError: no worker has come back for as long as the first may take to come, or the scheduler is gone.
    """
    distributed = _distributed()
    slots = {"resources": {GPU: 1}} if config and config.gpus else {}
    waiting = {client.submit(_called, job, pure=False, **slots) for job in jobs}
    patience = _Patience(client, config)
    try:
        while waiting:
            done = set()
            with _scheduler_is_there(), client.as_current():
                with contextlib.suppress(TimeoutError):
                    done = distributed.wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED").done
                if not done:
                    patience.look()
            waiting -= done
            for future in done:
                if future.cancelled():
                    raise _gone("it took the work back")
                yield future.result()
    finally:
        with contextlib.suppress(Exception):  # of a scheduler that is gone nothing can be taken back
            client.cancel(list(waiting))


@contextlib.contextmanager
def _scheduler_is_there() -> Iterator[None]:
    try:
        yield
    except (CancelledError, OSError) as error:
        raise _gone(str(error) or type(error).__name__) from error


def _gone(why: str) -> BenchError:
    return BenchError(
        f"The Dask scheduler is gone: {why}",
        fix="start it again if it is your own; the same command carries on",
    )


def _called(job: Callable[[], Any]) -> Any:
    return job()


class _Patience:
    """Notices that no worker is left, says so, asks a batch scheduler for new ones, and gives up in the end."""

    def __init__(self, client: Any, config: ClusterConfig | None) -> None:
        self.client, self.config = client, config
        self.alone_since: float | None = None
        self.said = 0.0

    def look(self) -> None:
        """To be called now and then."""
        now = time.monotonic()
        if self.client.ncores():
            self.alone_since = None
            return
        if self.alone_since is None:
            self.alone_since = now
        if now - self.alone_since > _patience(self.config):
            raise BenchError(
                f"All workers have gone, and none has come for {_patience(self.config) / 60:.0f} minutes.",
                fix="start workers, or look at the queue; the same command carries on",
            )
        if now - self.said >= LINE_EVERY_S:
            self.said = now
            log.warning("all workers have gone: waiting for new ones")
            if self.config and self.client.cluster is not None:
                self.client.cluster.scale(jobs=self.config.workers)


def _patience(config: ClusterConfig | None) -> float:
    return config.wait_hours * 3600 if config else WAIT_S


_HOW_TO = "compare your settings with docs/how-to/slurm.md, and run where the scheduler's commands are"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise BenchError("The dask engine is not installed.", fix=INSTALL) from error
    return distributed


def _wait(client: Any, seconds: float, fix: str) -> None:
    """Wait for the first worker; the others are given work as they come."""
    started = time.monotonic()
    while True:
        left = seconds - (time.monotonic() - started)
        if left <= 0:
            raise BenchError(f"No worker has come within {seconds / 60:.0f} minutes.", fix=fix)
        try:
            client.wait_for_workers(1, timeout=min(left, LINE_EVERY_S))
            return
        except TimeoutError:
            log.info("waiting for workers: none yet, %.0f minutes left", max(left - LINE_EVERY_S, 0) / 60)
