"""Devices by name: what exists is accepted, everything else is refused before any work."""

from __future__ import annotations

import pytest

from benchbench.errors import BenchError
from benchbench.machine import choose_device


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
