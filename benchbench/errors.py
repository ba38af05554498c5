"""Errors that a reader can act on: what happened, where, and what to do next.

Every error that reaches a user is a `BenchError`. The command line prints it as one short block without a
traceback (``--debug`` shows the traceback) and exits with its `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_CELLS_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUTS_MISSING = 3
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """Something the user can mend.

    Args:
        what: One sentence that says what is wrong.
        where: File, line, entry point or object it was found in.
        fix: The next command or step.
        details: Further lines, for instance all bad files together.
    """

    exit_code = EXIT_USAGE

    def __init__(self, what: str, *, where: str = "", fix: str = "", details: Iterable[str] = ()) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        self.details = tuple(details)
        super().__init__(self.block())

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (joblib, Dask); keyword-only arguments need telling how.
        return (_rebuild, (type(self), self.what, self.where, self.fix, self.details))

    def block(self) -> str:
        """The error as the lines that a terminal prints."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        lines.extend(f"  - {line}" for line in self.details)
        if self.fix:
            lines.append(f"  what to do: {self.fix}")
        return "\n".join(lines)


def _rebuild(kind: type[BenchError], what: str, where: str, fix: str, details: tuple[str, ...]) -> BenchError:
    return kind(what, where=where, fix=fix, details=details)


class SuiteError(BenchError):
    """The suite file, or a value in it, is wrong."""


class PluginError(BenchError):
    """A plugin is broken, unknown, or breaks its contract."""


class DataError(BenchError):
    """A dataset folder, label table or image is missing or wrong."""

    exit_code = EXIT_INPUTS_MISSING


class WeightsError(BenchError):
    """A checkpoint is missing or is not what the encoder expects."""

    exit_code = EXIT_INPUTS_MISSING


class StoreError(BenchError):
    """The store cannot be read or written."""


class AuditError(BenchError):
    """A leak or contamination that the suite forbids."""


class CellError(BenchError):
    """One cell could not be computed; the other cells go on."""

    exit_code = EXIT_CELLS_FAILED


PLUGIN_FAULTS: tuple[type[BaseException], ...] = (Exception, SystemExit)
"""What a plugin may raise without ending more than its own work: research code often calls exit() or parse_args()."""


def reason_of(error: BaseException, who: str) -> str:
    """Why something failed, for a person: our own errors as they are, any other with its type and `who` raised it."""
    if isinstance(error, BenchError):
        return error.block()
    if isinstance(error, SystemExit):
        return f"{who} called exit({error.code}); argparse's parse_args() inside it does that, too."
    return f"{who} failed: {type(error).__name__}: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""
