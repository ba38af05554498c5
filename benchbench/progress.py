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


class Reporter:
    """One progress display; call it as progress(done, total, note)."""

    def __init__(self, title: str, bars: Progress | None) -> None:
        self.title = title
        self._bars = bars
        self._task: TaskID | None = None
        self._last_line = self._started = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(self.title, total=total, note="")
            self._bars.update(self._task, completed=done, total=total, note=_plain(note))
        now = time.monotonic()
        if done >= total or now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            rate = done / max(now - self._started, 1e-9)
            pace = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
            left = f", {span((total - done) / rate)} left of this stage" if 0 < done < total else ""
            # Beside a bar, the line is for the run's log file only, where `bench status` finds it.
            level = logging.INFO if self._bars is None else logging.DEBUG
            log.log(level, "%s: %d of %d (%s%s) %s", self.title, done, total, pace, left, note)


def span(seconds: float) -> str:
    """A duration as one says it, to two units at most."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


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
