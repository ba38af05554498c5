"""What a cluster is asked for: the `cluster` of a suite, or a file of its own (``--engine dask:cluster.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import SuiteError
from ..yamlfile import read_yaml

GPU = "GPU"
"""Name of the worker resource that stands for one GPU; every job takes one where workers have GPUs."""


class ClusterConfig(BaseModel):
    """Jobs of a batch scheduler, each of which starts Dask workers: one per GPU, or one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    scheduler: Literal["slurm", "pbs", "sge"]
    workers: int = Field(1, ge=1, le=10_000, description="Jobs to ask for.")
    cores: int = Field(4, ge=1, description="Processor cores of a job.")
    memory: str = Field(
        "16GB", pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$", description="Memory of a job, such as 64GB."
    )
    gpus: int = Field(0, ge=0, description="GPUs of a job; one worker process for each.")
    queue: str | None = Field(None, description="Queue or partition.")
    walltime: str = Field("04:00:00", description="Longest life of a job, HH:MM:SS.")
    wait_hours: float = Field(24.0, gt=0, description="How long to wait for the first worker.")
    extra_directives: tuple[str, ...] = Field((), description="Further lines for the scheduler.")
    prologue: tuple[str, ...] = Field((), description="Shell lines before the worker starts.")

    @property
    def processes(self) -> int:
        """Worker processes of one job."""
        return max(1, self.gpus)

    def settings(self) -> dict[str, Any]:
        """Arguments of dask-jobqueue's cluster class for this scheduler."""
        settings: dict[str, Any] = {
            "cores": self.processes,  # one thread a worker: one piece of work at a time, which uses the cores
            "processes": self.processes,
            "memory": self.memory,
            "walltime": self.walltime,
            # The batch scheduler limits memory. Dask's own limit would pause workers whose memory is full of
            # buffers that are kept for the next image, and wait for ever.
            "worker_extra_args": ["--memory-limit", "0", *(["--resources", f"{GPU}=1"] if self.gpus else [])],
            "job_script_prologue": list(self.prologue),
            "job_extra_directives": [*_REQUESTS[self.scheduler](self), *self.extra_directives],
        }
        if self.scheduler == "slurm":
            settings["job_cpu"] = self.cores
        if self.scheduler == "pbs":
            gpus = f":ngpus={self.gpus}" if self.gpus else ""
            memory = self.memory.replace(" ", "").replace("i", "").lower()
            settings["resource_spec"] = f"select=1:ncpus={self.cores}:mem={memory}{gpus}"
        if self.queue:
            settings["queue"] = self.queue
        return settings


def _slurm(config: ClusterConfig) -> list[str]:
    return [f"--gres=gpu:{config.gpus}"] if config.gpus else []


def _pbs(config: ClusterConfig) -> list[str]:
    return []  # everything is in the resource specification


def _sge(config: ClusterConfig) -> list[str]:
    """The usual names; a site that has others says so in `extra_directives`, which come later and win."""
    number, unit = config.memory.replace(" ", "").rstrip("iB")[:-1], config.memory.rstrip("iB")[-1]
    per_core = f"-l h_vmem={float(number) / config.cores:.3g}{unit}"  # SGE counts memory per slot
    return [f"-pe smp {config.cores}", per_core, *([f"-l gpu={config.gpus}"] if config.gpus else [])]


_REQUESTS = {"slurm": _slurm, "pbs": _pbs, "sge": _sge}


def read_cluster_file(path: Path) -> ClusterConfig:
    """A cluster file, checked; unknown keys and wrong values are a `SuiteError` with file and line."""
    source = read_yaml(path, "cluster file", fix="start from one of the files in docs/how-to/slurm.md")
    try:
        return ClusterConfig.model_validate(source.value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SuiteError(
            f"{name}: {first['msg']}."
            if name
            else "A cluster file is a mapping with the keys scheduler, workers, ...",
            where=source.where(first["loc"]),
            fix=f"its keys are {', '.join(ClusterConfig.model_fields)}; see docs/how-to/slurm.md",
        ) from error
