"""Cluster settings: what is asked for reaches the batch scheduler's job scripts, and mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench.engines import EngineConfig
from benchbench.engines.cluster import ClusterConfig, read_cluster_file
from benchbench.engines.dask import CLASSES
from benchbench.errors import BenchError, SuiteError
from benchbench.suite import parse_suite

FILES = Path(__file__).parents[2] / "docs/how-to/files"
WANTED = {
    "slurm": ["#SBATCH --cpus-per-task=8", "#SBATCH --gres=gpu:1", "#SBATCH --mem=60G", "#SBATCH -p gpu"],
    "pbs": ["#PBS -l select=1:ncpus=8:mem=64gb:ngpus=1", "#PBS -q gpu", "#PBS -l walltime=04:00:00"],
    "sge": ["#$ -pe smp 8", "#$ -l h_vmem=8G", "#$ -l gpu=1", "#$ -q gpu", "#$ -l h_rt=04:00:00"],
}


def script(config: ClusterConfig) -> str:
    """The script that dask-jobqueue would submit for a worker."""
    pytest.importorskip("distributed")
    jobqueue = pytest.importorskip("dask_jobqueue")
    job_class: Any = getattr(jobqueue, CLASSES[config.scheduler]).job_cls
    return str(job_class(scheduler="tcp://head:8786", name="worker", **config.settings()).job_script())


@pytest.mark.parametrize("scheduler", ["slurm", "pbs", "sge"])
def test_the_shipped_files_ask_the_scheduler_for_cores_memory_gpu_and_time(scheduler: str) -> None:
    text = script(read_cluster_file(FILES / f"{scheduler}.yaml"))
    assert [line for line in WANTED[scheduler] if line not in text] == []
    assert "--resources GPU=1" in text
    assert "--nthreads 1" in text
    assert "export BENCHBENCH_STORE=" in text


def test_a_job_with_several_gpus_has_a_worker_for_each() -> None:
    text = script(ClusterConfig(scheduler="slurm", gpus=4, cores=32))
    assert "--nworkers 4" in text
    assert "--nthreads 1" in text
    assert "--cpus-per-task=32" in text
    assert "--gres=gpu:4" in text


def test_a_job_without_gpu_offers_no_gpu_slot() -> None:
    text = script(ClusterConfig(scheduler="slurm"))
    assert "GPU" not in text
    assert "gres" not in text


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("scheduler: slurm\nworker: 2\n", 2, "worker"),
        ("scheduler: slurm\nworkers: 0\n", 2, "workers"),
        ("scheduler: lsf\n", 1, "scheduler"),
        ("scheduler: slurm\nmemory: plenty\n", 2, "memory"),
        ("- scheduler\n", 1, "mapping"),
    ],
)
def test_a_wrong_cluster_file_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        read_cluster_file(path)
    assert caught.value.where == f"{path}:{line}"
    assert said in caught.value.what


def test_a_missing_cluster_file_is_called_a_cluster_file_before_anything_is_planned(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="There is no such cluster file"):
        EngineConfig.parse(f"dask:{tmp_path / 'none.yaml'}", None)


SUITE = """\
title: t
encoders: [resnet50]
tasks: [idrid/grade]
protocols: [linear_probe]
"""


def test_a_suite_may_say_what_cluster_it_wants() -> None:
    suite = parse_suite(SUITE + "cluster: {scheduler: pbs, workers: 3, gpus: 2}\n").suite
    engine = EngineConfig.parse("dask", None, suite.cluster)
    assert engine.cluster == ClusterConfig(scheduler="pbs", workers=3, gpus=2)
    with pytest.raises(BenchError, match="needs a scheduler or a cluster"):
        EngineConfig.parse("dask", None, parse_suite(SUITE).suite.cluster)
