from __future__ import annotations

import dataclasses
import math

import pytest

from benchbench.cost.timing import Effort, LoadMeter, Timing, noise_note, time_steps

EFFORT = Effort(seconds=1.0, steps=10, longest=5.0, warm_up=0.5)


class FakeDevice:
    """A device that works while the host goes on; its clock is the only time there is."""

    def __init__(self, seconds: list[float], host: float = 0.001) -> None:
        self.now, self.busy_until, self.host = 0.0, 0.0, host
        self.seconds, self.steps = seconds, 0

    def step(self) -> None:
        cost = self.seconds[min(self.steps, len(self.seconds) - 1)]
        self.steps += 1
        self.now += self.host  # the call returns at once
        self.busy_until = max(self.busy_until, self.now) + cost

    def synchronise(self) -> None:
        self.now = max(self.now, self.busy_until)

    def clock(self) -> float:
        return self.now

    def time(self, effort: Effort = EFFORT) -> Timing:
        return time_steps(self.step, effort, synchronise=self.synchronise, clock=self.clock)


def test_a_device_that_works_behind_the_hosts_back_gets_its_true_time() -> None:
    timing = FakeDevice([0.05]).time()
    assert timing.median == pytest.approx(0.051)
    assert timing.spread == pytest.approx(0, abs=1e-9)


def test_without_synchronisation_only_the_call_is_seen() -> None:
    device = FakeDevice([0.05])
    short = dataclasses.replace(EFFORT, seconds=0.01)
    assert time_steps(device.step, short, clock=device.clock).median == pytest.approx(0.001)


def test_slow_first_steps_are_warm_up_and_do_not_count() -> None:
    timing = FakeDevice([3.0, 0.09, 0.05]).time(dataclasses.replace(EFFORT, warm_up=10))
    assert timing.warm_up_steps == 5
    assert max(timing.steps) == pytest.approx(0.051)


def test_warm_up_ends_after_its_time_even_if_steps_do_not_settle() -> None:
    device = FakeDevice([0.1 * (1 + i % 2) for i in range(500)])
    assert device.time().warm_up_steps == 4


def test_enough_steps_and_enough_time_are_taken() -> None:
    quick, slow = FakeDevice([0.001]).time(), FakeDevice([0.3]).time()
    assert sum(quick.steps) >= 1.0
    assert len(slow.steps) == 10
    assert len(FakeDevice([2.0]).time().steps) == 3


def test_median_spread_and_percentiles_follow_their_definitions() -> None:
    timing = Timing(tuple(float(i) for i in range(1, 101)), 0)
    assert timing.median == 50.5
    assert timing.spread == pytest.approx(49.5 / 50.5)
    assert [timing.percentile(p) for p in (50, 90, 99)] == [50, 90, 99]


def test_percentiles_that_few_steps_cannot_tell_are_not_told() -> None:
    assert Timing((1.0,) * 9, 0).percentile(90) is None
    assert Timing((1.0,) * 99, 0).percentile(99) is None
    assert math.isnan(Timing((1.0, 2.0), 0).spread)


def test_noise_is_said_and_quiet_is_not() -> None:
    assert noise_note(0.04, 0.05) == ""
    assert noise_note(math.nan, None) == ""
    assert "spread 6%" in noise_note(0.06, None)
    assert "other work took 20%" in noise_note(0.01, 0.2)


def test_the_share_of_other_work_comes_from_the_machines_own_counters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine, own = [(100.0, 1000.0), (115.0, 1020.0)], [50.0, 55.0]
    monkeypatch.setattr("benchbench.cost.timing._machine_seconds", lambda: machine.pop(0))
    monkeypatch.setattr("time.process_time", lambda: own.pop(0))
    assert LoadMeter().foreign_share() == pytest.approx((15 - 5) / 20)


def test_a_machine_without_counters_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.cost.timing._machine_seconds", lambda: None)
    assert LoadMeter().foreign_share() is None
