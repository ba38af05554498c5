"""The Dask engine's clusters: a scheduler that is there, or one made through dask-jobqueue from a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ..errors import BenchError, SuiteError

INSTALL = "pip install 'benchbench-retina[cluster]'"
SCHEDULERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """A dask.distributed client for a scheduler address or a cluster file."""
    try:
        from distributed import Client
    except ImportError as error:
        raise BenchError("The dask engine is not installed.", fix=INSTALL) from error
    from . import is_cluster_file

    if is_cluster_file(address):
        with _cluster(Path(address)) as cluster, Client(cluster, set_as_default=True) as client:
            yield client
        return
    try:
        client = Client(address, timeout="20s", set_as_default=True)
    except (OSError, TimeoutError, ValueError) as error:
        raise BenchError(
            f"No Dask scheduler answers at {address}: {error}",
            fix="start one with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`",
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def _cluster(path: Path) -> Iterator[Any]:
    config = read_cluster_file(path)
    try:
        import dask_jobqueue
    except ImportError as error:
        raise BenchError("dask-jobqueue is not installed.", fix=INSTALL) from error
    kind = getattr(dask_jobqueue, SCHEDULERS[config.scheduler])
    with kind(**config.settings()) as cluster:
        cluster.scale(jobs=config.workers)
        yield cluster


def read_cluster_file(path: Path) -> Any:
    """A cluster file, checked; unknown keys are errors with file and line."""
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

    from ..yamlfile import read_yaml

    class ClusterFile(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        scheduler: Literal["slurm", "pbs", "sge"]
        workers: int = Field(1, ge=1)
        cores: int = Field(4, ge=1)
        memory: str = "16GB"
        queue: str | None = None
        walltime: str = "04:00:00"
        gpus: int = Field(0, ge=0, description="GPUs per worker (slurm: --gres=gpu:N).")
        extra_directives: tuple[str, ...] = ()
        prologue: tuple[str, ...] = Field((), description="Shell lines before the worker starts.")

        def settings(self) -> dict[str, Any]:
            directives = list(self.extra_directives)
            if self.gpus and self.scheduler == "slurm":
                directives.append(f"--gres=gpu:{self.gpus}")
            settings: dict[str, Any] = {
                "cores": 1,  # one job at a time in each worker; the job itself uses the cores
                "processes": 1,
                "memory": self.memory,
                "walltime": self.walltime,
                "job_cpu": self.cores,
                "job_extra_directives": directives,
                "job_script_prologue": list(self.prologue),
            }
            if self.scheduler != "slurm":
                settings["resource_spec"] = f"ncpus={self.cores}" if self.scheduler == "pbs" else None
                settings.pop("job_cpu")
            if self.queue:
                settings["queue"] = self.queue
            return settings

    source = read_yaml(path)
    try:
        return ClusterFile.model_validate(source.value)
    except ValidationError as error:
        first = error.errors()[0]
        raise SuiteError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=source.where(first["loc"]),
            fix="see docs/how-to/slurm.md",
        ) from error
