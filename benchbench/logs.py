"""The run's log: a file beside the results, written by the run and by its workers."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("benchbench")


class RunLog(logging.FileHandler):
    """Appends lines to a run's log. A full disk or a missing folder costs lines, never the run; it is said once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setFormatter(logging.Formatter(f"%(asctime)s {os.getpid()} %(levelname)s %(message)s"))
        self.setLevel(logging.DEBUG)
        self._said = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # opening the file is outside of what logging itself guards
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Instead of logging's traceback: the lines that are lost are not worth one."""
        if not self._said:
            self._said = True
            with contextlib.suppress(OSError):
                print(f"The log cannot be written: {sys.exc_info()[1]}", file=sys.stderr)

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Let everything that benchbench logs go to this file, from debug level on."""
        before = log.level
        log.addHandler(self)
        log.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            log.removeHandler(self)
            log.setLevel(before)
            with contextlib.suppress(OSError):
                self.close()
