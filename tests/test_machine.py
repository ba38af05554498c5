"""Devices by name: what exists is accepted, everything else is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.engines import EngineConfig
from benchbench.errors import BenchError
from benchbench.machine import choose_device, usable_cores, visible_gpus


@pytest.mark.parametrize("name", ["foo", "cuda:", "cuda:x", "CPU", "mps", ""])
def test_a_device_that_does_not_exist_is_refused_with_what_does(name: str) -> None:
    with pytest.raises(BenchError, match="use auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_gpu_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(BenchError, match="the last one is 1"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("files", "chosen", "count"),
    [
        (["nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"], None, 4),
        (["nvidia0", "nvidia1"], "1", 1),
        (["nvidia0"], "", 0),
        (["nvidia0", "nvidia1"], "-1", 0),
        (["nvidia0", "nvidia1"], "1,-1,0", 1),
        (["null"], None, 0),
    ],
)
def test_gpus_are_counted_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], chosen: str | None, count: int
) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus(tmp_path) == count


def test_loky_has_one_worker_for_each_gpu_and_else_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus, workers in ((3, 3), (0, usable_cores())):
        monkeypatch.setattr("benchbench.machine.visible_gpus", lambda n=gpus: n)
        assert EngineConfig.parse("loky", None).jobs == workers
    assert EngineConfig.parse("loky", 5).jobs == 5
