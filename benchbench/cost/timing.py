"""How long a step takes: warm-up, synchronisation, many repeats, median and spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

MIN_FOR_PERCENTILE = {50: 3, 90: 10, 99: 100}
"""A percentile is only stated when at least one step lies beyond it."""
SETTLED = 0.05
"""Warm-up is over when three consecutive steps lie within this share of each other."""
NOISY_SPREAD = 0.05
NOISY = "NOISY"
"""Begins the note of a value that is not to be trusted to a few per cent."""
NOISY_LOAD = 0.10


@dataclass(frozen=True)
class Effort:
    """How long a value may take."""

    seconds: float
    """Time at least this long in all ..."""
    steps: int
    """... and this many steps, ..."""
    longest: float
    """... but stop after this many seconds, once there are three steps."""
    warm_up: float
    """Warm up no longer than this many seconds; one step at least."""


QUICK = Effort(seconds=5.0, steps=10, longest=15.0, warm_up=5.0)
FULL = Effort(seconds=60.0, steps=100, longest=180.0, warm_up=30.0)


@dataclass(frozen=True)
class Timing:
    """Seconds of each timed step, in order."""

    steps: tuple[float, ...]
    warm_up_steps: int

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.steps)

    @property
    def spread(self) -> float:
        """Interquartile range as a share of the median; NaN below three steps."""
        if len(self.steps) < 3:
            return math.nan
        low, _, high = statistics.quantiles(self.steps, n=4, method="inclusive")
        return (high - low) / self.median

    def percentile(self, percent: int) -> float | None:
        """Seconds below which `percent` % of the steps lie; None with too few steps to say."""
        if len(self.steps) < MIN_FOR_PERCENTILE[percent]:
            return None
        ordered = sorted(self.steps)
        return ordered[min(len(ordered) - 1, math.ceil(percent / 100 * len(ordered)) - 1)]


def time_steps(
    step: Callable[[], object],
    effort: Effort,
    *,
    synchronise: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time a step after a warm-up.

    Args:
        step: The work; on a GPU it may return before the device is done.
        effort: How long to warm up and to time.
        synchronise: Waits until the device is done; called before and after every step, inside the timed span.
        clock: Seconds, monotonic.
    """

    def one() -> float:
        synchronise()
        start = clock()
        step()
        synchronise()
        return clock() - start

    warm: list[float] = []
    while not _settled(warm) and not (warm and sum(warm) >= effort.warm_up):
        warm.append(one())
    timed: list[float] = []
    while not _enough(timed, effort):
        timed.append(one())
    return Timing(tuple(timed), len(warm))


def _settled(steps: list[float]) -> bool:
    last = steps[-3:]
    return len(last) == 3 and max(last) - min(last) <= SETTLED * min(last)


def _enough(steps: list[float], effort: Effort) -> bool:
    total = sum(steps)
    if len(steps) >= 3 and total >= effort.longest:
        return True
    return len(steps) >= effort.steps and total >= effort.seconds


class LoadMeter:
    """The share of the machine's processor time that others took while this process measured (Linux)."""

    def __init__(self) -> None:
        self._start = (_machine_seconds(), time.process_time())

    def foreign_share(self) -> float | None:
        """0 to 1, time stolen by the hypervisor included; None where the system does not tell."""
        machine, own = self._start
        now = _machine_seconds()
        if machine is None or now is None:
            return None
        busy, total = now[0] - machine[0], now[1] - machine[1]
        others = busy - (time.process_time() - own)
        return min(1.0, max(0.0, others / total)) if total > 0 else None


def _machine_seconds() -> tuple[float, float] | None:
    """(busy, all) processor seconds since the start of the machine."""
    import os

    try:
        with open("/proc/stat") as stream:
            fields = [int(f) for f in stream.readline().split()[1:9]]
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / tick, sum(fields) / tick


def noise_note(spread: float, foreign: float | None) -> str:
    """A sentence when the value should not be trusted to a few per cent; empty otherwise."""
    notes = []
    if not math.isnan(spread) and spread > NOISY_SPREAD:
        notes.append(f"{NOISY}: spread {spread:.0%} is above {NOISY_SPREAD:.0%}")
    if foreign is not None and foreign > NOISY_LOAD:
        notes.append(f"{NOISY}: other work took {foreign:.0%} of the processors")
    return "; ".join(notes)
