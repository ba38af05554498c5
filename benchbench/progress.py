"""Progress: a bar with rate and time left on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

log = logging.getLogger("benchbench")
LINE_EVERY_S = 10.0
_BESIDE_A_BAR = logging.DEBUG
"""Beside a bar, lines are for the run's log file only, where `bench status` finds them."""


class Reporter:
    """How far one stage is; call it as progress(done, total, note).

    What the first call says is done may stem from an earlier run: the pace counts from there, once there is more.
    Another total, or less done than before, is another piece of work with a pace of its own.
    """

    of = "stage"
    says_the_end = True

    def __init__(self, title: str, bars: Progress | None) -> None:
        self.title = title
        self._bars = bars
        self._level = logging.INFO if bars is None else _BESIDE_A_BAR
        self._task: TaskID | None = None
        self._last_line = self._started = time.monotonic()
        self._said = self._started
        self._before: tuple[int, int] | None = None
        self._origin = (0, self._started)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(self.title, total=total, note="")
            self._bars.update(self._task, completed=done, total=total, note=_plain(note))
        now = time.monotonic()
        if self._before is None or total != self._before[1] or done < self._before[0]:
            self._origin, self._started = (done, now), self._said
        self._before, self._said = (done, total), now
        begun, since = self._origin
        if (done >= total and self.says_the_end) or now - self._last_line >= self._line_every_s(now):
            self._last_line = now
            if done <= begun:
                begun, since = 0, self._started
            rate = (done - begun) / max(now - since, 1e-9)
            pace = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
            left = f", {span((total - done) / rate)} left of this {self.of}" if 0 < done < total else ""
            log.log(self._level, "%s: %d of %d (%s%s) %s", self.title, done, total, pace, left, note)

    def _line_every_s(self, now: float) -> float:
        """Work of a day says less often how far it is than work of a minute."""
        return max(LINE_EVERY_S, 0.01 * (now - self._started))


def span(seconds: float) -> str:
    """A duration as one says it, to two units at most."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class CellReporter(Reporter):
    """How far one long cell is, in plain lines; that it ended is for the stage to say."""

    of = "cell"
    says_the_end = False

    def __init__(self, title: str) -> None:
        super().__init__(title, None)
        if sys.stderr.isatty():
            self._level = _BESIDE_A_BAR


def _plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")


@contextlib.contextmanager
def reporting(title: str) -> Iterator[Reporter]:
    """A progress display for one stage."""
    if not sys.stderr.isatty():
        yield Reporter(title, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield Reporter(title, bars)
