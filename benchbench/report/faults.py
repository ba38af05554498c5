"""What could not be made, and why: a fault in one section or figure costs that part, never the whole report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import BenchError

T = TypeVar("T")

Faults = dict[str, str]
"""Name of a part -> why it could not be made. Sections go by their anchor, figures by ``figures/<name>``."""


def attempt(part: str, faults: Faults, make: Callable[[], T], otherwise: T) -> T:
    """What `make` returns; where it fails, `otherwise`, and the reason in `faults`."""
    try:
        return make()
    except Exception as error:  # whatever it is, the other parts are still worth reading
        faults[part] = reason(error)
        return otherwise


def reason(error: Exception) -> str:
    """A fault in words: an error that was written for the reader as it is, any other with its kind."""
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
