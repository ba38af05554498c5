from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.api import EncoderInfo, Preprocess
from benchbench.cost import CostConfig, energy, footprint, memory
from benchbench.cost.bench import EncoderBench
from benchbench.cost.energy import Energy, measure_energy
from benchbench.cost.memory import Peak, measure_alone, measure_peak
from benchbench.cost.photograph import photograph_jpeg
from benchbench.cost.setup import Setup
from benchbench.cost.timing import Effort
from benchbench.errors import BenchError
from benchbench.inference import EmbedRequest, Runner


@pytest.fixture
def no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """codecarbon as if it were not installed."""
    monkeypatch.setitem(sys.modules, "codecarbon", None)


def rapl(folder: Path, zones: dict[str, int], wrap: int = 1_000_000_000) -> None:
    for name, joules in zones.items():
        (folder / name).mkdir(exist_ok=True)
        kind = "core" if name.count(":") == 2 else "psys" if name == "intel-rapl:9" else "package-0"
        (folder / name / "name").write_text(kind + "\n")
        (folder / name / "energy_uj").write_text(str(joules))
        (folder / name / "max_energy_range_uj").write_text(str(wrap))


def test_rapl_adds_the_processor_packages_and_not_the_zones_inside_them(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 10_000_000, "intel-rapl:1": 0, "intel-rapl:0:0": 5})

    def work() -> None:
        rapl(tmp_path, {"intel-rapl:0": 13_000_000, "intel-rapl:1": 1_500_000, "intel-rapl:0:0": 9_000_000})

    (energy,) = measure_energy(work, "cpu", tmp_path)
    assert energy.joules == pytest.approx(4.5)
    assert energy.measured


def test_the_board_as_a_whole_contains_the_packages_and_is_not_added_to_them(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 0, "intel-rapl:9": 0})
    (energy,) = measure_energy(
        lambda: rapl(tmp_path, {"intel-rapl:0": 2_000_000, "intel-rapl:9": 5_000_000}), "cpu", tmp_path
    )
    assert energy.joules == pytest.approx(2.0)


def test_the_energy_of_a_gpu_is_never_that_of_the_processor(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 0})
    found = measure_energy(lambda: rapl(tmp_path, {"intel-rapl:0": 2_000_000}), "cuda:99", tmp_path)
    assert [(e.meter, e.joules) for e in found] == [("NVML energy counter", None)]


def test_a_counter_that_wraps_around_is_followed(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 9_000_000}, wrap=10_000_000)
    (energy,) = measure_energy(
        lambda: rapl(tmp_path, {"intel-rapl:0": 1_000_000}, 10_000_000), "cpu", tmp_path
    )
    assert energy.joules == pytest.approx(2.0)


def test_a_counter_that_stands_still_is_no_measurement_of_zero(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 7})
    (energy,) = measure_energy(lambda: None, "cpu", tmp_path)
    assert energy.joules is None
    assert "did not move" in energy.reason


def test_a_counter_that_vanishes_during_the_work_fails_nothing(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 7})
    (energy,) = measure_energy(lambda: (tmp_path / "intel-rapl:0" / "energy_uj").unlink(), "cpu", tmp_path)
    assert energy.joules is None
    assert "RAPL" in energy.reason


@pytest.mark.usefixtures("no_estimate")
def test_without_any_meter_every_reason_is_given_and_the_work_is_done_once(tmp_path: Path) -> None:
    done: list[int] = []
    found = measure_energy(lambda: done.append(1), "cpu", tmp_path)
    assert done == [1]
    assert [e.joules for e in found] == [None, None]
    assert all(e.reason for e in found)
    assert "pip install 'benchbench-retina[energy]'" in found[1].reason


@pytest.mark.usefixtures("no_estimate")
def test_work_that_no_meter_would_see_is_not_done_where_nobody_needs_it(tmp_path: Path) -> None:
    done: list[int] = []
    found = measure_energy(lambda: done.append(1), "cpu", tmp_path, unmetered=False)
    assert done == []
    assert all(e.reason for e in found)
    rapl(tmp_path, {"intel-rapl:0": 0})
    measure_energy(lambda: done.append(1), "cpu", tmp_path, unmetered=False)
    assert done == [1]


@pytest.mark.parametrize("moment", ["__init__", "stop"])
def test_an_error_without_words_is_named_by_its_type(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NotImplementedError

    tracker = type("Tracker", (), {"__init__": lambda *a, **k: None, "start": lambda s: None, moment: fails})
    monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=tracker))
    estimate = measure_energy(lambda: None, "cpu", tmp_path)[-1]
    assert estimate.reason == "codecarbon estimate: NotImplementedError"


def test_an_estimate_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tracker:
        final_emissions_data = types.SimpleNamespace(energy_consumed=0.002)

        def __init__(self, **options: object) -> None:
            assert options["save_to_file"] is False

        def start(self) -> None: ...

        def stop(self) -> None: ...

    monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=Tracker))
    estimate = measure_energy(lambda: None, "cpu", tmp_path)[-1]
    assert estimate.joules == pytest.approx(7200)
    assert not estimate.measured
    assert "estimate" in estimate.meter


def test_errors_of_the_work_itself_pass_through(tmp_path: Path) -> None:
    rapl(tmp_path, {"intel-rapl:0": 7})
    with pytest.raises(ZeroDivisionError):
        measure_energy(lambda: 1 / 0, "cpu", tmp_path)


def card(load: object) -> EncoderInfo:
    return EncoderInfo("a", "a", "a", 1, Preprocess("p", 16), "", load, None, "", "")  # type: ignore[arg-type]


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 1, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


@pytest.fixture
def energy_bench(monkeypatch: pytest.MonkeyPatch) -> EncoderBench:
    setup = Setup(CostConfig(measure="quick"), "cpu", 1, None)
    monkeypatch.setattr("benchbench.cost.setup.QUICK", Effort(0.01, 1, 0.1, 0.01))
    return EncoderBench(EmbedRequest(card(lambda w, d: Linear().eval()), None, ""), setup)


@pytest.mark.parametrize(("foreign", "noisy"), [(0.5, True), (0.0, False), (None, False)])
def test_energy_on_a_busy_machine_is_marked(
    foreign: float | None, noisy: bool, energy_bench: EncoderBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def metered(work: Callable[[], object], *_: object, **__: object) -> tuple[Energy, ...]:
        work()
        return (Energy("a meter", 8.0, True),)

    monkeypatch.setattr(footprint, "measure_energy", metered)
    monkeypatch.setattr(footprint.LoadMeter, "foreign_share", lambda self: foreign)
    (row,) = footprint.energy_rows(energy_bench)
    assert row.note.startswith("a meter")
    assert ("NOISY" in row.note) == noisy


def test_the_meter_starts_when_the_device_has_finished_the_warm_up(
    energy_bench: EncoderBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that works only when it is waited for, as a GPU does with what it was handed."""
    queued: list[int] = []
    joules = 0.0

    def metered(work: Callable[[], object], *_: object, **__: object) -> tuple[Energy, ...]:
        before = joules
        work()
        return (Energy("a meter", joules - before, True),)

    def synchronise(setup: Setup) -> None:
        nonlocal joules
        joules += sum(queued)  # one joule an image
        queued.clear()

    monkeypatch.setattr(footprint, "measure_energy", metered)
    monkeypatch.setattr(Setup, "synchronise", synchronise)
    monkeypatch.setattr(Runner, "__call__", lambda self, batch: queued.append(len(batch)))
    (row,) = footprint.energy_rows(energy_bench)
    assert row.value == pytest.approx(1.0)


CAN_RESET = Path("/proc/self/clear_refs").exists()


@pytest.mark.skipif(not CAN_RESET, reason="Linux only")
def test_peak_memory_sees_what_the_work_took_and_gave_back() -> None:
    size = 300_000_000
    before = measure_peak(lambda: lambda: None, "cpu")
    if before.host is None:
        pytest.skip(before.host_reason)
    during = measure_peak(lambda: lambda: np.ones(size, np.uint8).sum(), "cpu")
    after = measure_peak(lambda: lambda: None, "cpu")
    assert during.host is not None
    assert after.host is not None
    assert during.rise is not None
    assert during.host - before.host > 0.8 * size
    assert during.host - after.host > 0.8 * size
    assert 0.8 * size < during.rise < 1.2 * size
    assert during.device is None
    assert during.device_reason


class Holder(torch.nn.Module):
    """Keeps 200 MB of weights and returns one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(50_000_000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weights[: len(x), None] * x.mean()


@pytest.mark.skipif(not CAN_RESET, reason="Linux only")
def test_what_this_process_holds_does_not_count_as_a_networks_peak_memory() -> None:
    def peak() -> Peak:
        load = lambda weights, device: Holder().eval()  # noqa: E731
        return measure_alone(EmbedRequest(card(load), None, ""), "cpu", 1)

    alone = peak()
    if alone.rise is None or alone.host is None:
        pytest.skip(alone.host_reason)
    ballast = np.ones(600_000_000, np.uint8)
    beside = peak()
    assert beside.host is not None
    assert ballast.sum()
    assert 1.6e8 < alone.rise < 3e8
    assert abs(beside.host - alone.host) < 1e8


def test_a_process_that_is_stuck_is_killed_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        started.write_text(str(os.getpid()))
        time.sleep(120)
        return torch.nn.Identity()

    def wait(futures: list[Future[Peak]], limit: float) -> object:
        """Counts from the middle of the work, however long the process takes to start."""
        while not (started.exists() and started.read_text()) and not futures[0].done():
            time.sleep(0.05)
        return real(futures, limit)

    real = memory.wait
    monkeypatch.setattr(memory, "wait", wait)
    monkeypatch.setattr(memory, "TIME_LIMIT_S", 0.5)
    with pytest.raises(BenchError, match=r"limit of 0\.5 s") as caught:
        measure_alone(EmbedRequest(card(load), None, ""), "cpu", 1)
    assert caught.value.fix
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_a_system_that_does_not_tell_its_peak_memory_is_said_so(tmp_path: Path) -> None:
    peak = measure_peak(lambda: lambda: None, "cpu", tmp_path / "no proc here")
    assert peak.host is None
    assert peak.host_reason


def test_the_synthetic_photograph_is_as_hard_to_decode_as_a_real_one() -> None:
    data = photograph_jpeg(4288, 2848)
    assert 250_000 < len(data) < 600_000  # IDRiD's photographs of this size have 362 kB on average
    assert photograph_jpeg(640, 427, 1) == photograph_jpeg(640, 427, 1) != photograph_jpeg(640, 427, 2)


def test_the_meters_stop_when_the_work_fails(monkeypatch, tmp_path: Path) -> None:
    stopped = []
    monkeypatch.setattr(energy._Rapl, "stop", lambda self: stopped.append(self))

    def work() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        measure_energy(work, "cpu", tmp_path, estimate=False)
    assert len(stopped) == 1
