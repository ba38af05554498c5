"""A job in a worker process: its log goes to the run's log, and the worker ends when its parent is gone."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..logs import RunLog
from ..machine import peak_memory_mib
from ..processor import prepare_process
from ..store import default_root

log = logging.getLogger("benchbench")

PARENT_CHECK_S = 2.0


@dataclass(frozen=True)
class Done:
    """What a worker sends back."""

    position: int
    result: Any
    worker: str
    """Host and process."""
    peak_mib: float | None
    """Largest resident memory of the worker so far; None where the system does not tell."""


@dataclass(frozen=True)
class Numbered:
    """A job that brings its position back with its result."""

    position: int
    job: Callable[[], Any]
    log_file: Path | None = None
    watch: bool = False

    def __call__(self) -> Done:
        _prepare_once()
        if self.watch:
            watch_parent()
        with RunLog(self.log_file).attached() if self.log_file else contextlib.nullcontext():
            host, result, peak = socket.gethostname(), self.job(), peak_memory_mib()
            if peak:
                log.debug("worker on %s: peak memory so far %.0f MiB", host, peak)
            return Done(self.position, result, f"{host}, process {os.getpid()}", peak)


@functools.cache
def _prepare_once() -> None:
    """The settings that `bench` makes for its own process; before the job imports torch."""
    prepare_process(default_root() / "lib")


@functools.cache
def watch_parent() -> None:
    """End this process soon after its parent has died: nobody will take its results any more.

    A parent killed by SIGKILL cannot tell its workers to stop, and they would hold the GPU and go on for hours.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_S)
        log.error("the process that gave out the work is gone: this worker stops")
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
