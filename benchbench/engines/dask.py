"""The Dask engine's clusters: a scheduler that is there, or one made through dask-jobqueue."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from ..errors import BenchError
from .cluster import GPU, ClusterConfig

log = logging.getLogger("benchbench")
INSTALL = "pip install 'benchbench-retina[cluster]'"
CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}
WAIT_S = 600.0
"""How long workers of a scheduler that is there may take to come; a cluster's own wait is in its settings."""
LINE_EVERY_S = 60.0


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
    try:
        import dask_jobqueue
    except ImportError as error:
        raise BenchError("dask-jobqueue is not installed.", fix=INSTALL) from error
    try:
        cluster = getattr(dask_jobqueue, CLASSES[config.scheduler])(**config.settings())
    except (OSError, RuntimeError, ValueError) as error:
        raise BenchError(f"The {config.scheduler} cluster cannot be made: {error}", fix=_HOW_TO) from error
    with cluster, client_class(cluster, set_as_default=False) as client:
        log.debug("each of %d jobs is submitted as:\n%s", config.workers, cluster.job_script())
        cluster.scale(jobs=config.workers)
        _wait(client, _patience(config), "look at the queue, or give wait_hours in the cluster's settings")
        yield client


def joblib_settings(config: ClusterConfig | None) -> dict[str, Any]:
    """Settings of joblib's Dask backend: one GPU slot for each job, and patience where all workers were preempted."""
    slots = {"resources": {GPU: 1}} if config and config.gpus else {}
    return {"wait_for_workers_timeout": _patience(config), **slots}


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
