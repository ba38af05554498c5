"""One part of the analysis that fails must not cost the rest of the report: the results were paid for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .model import Lint

T = TypeVar("T")
D = TypeVar("D")


def attempt(problems: list[Lint], part: str, work: Callable[[], T], otherwise: D) -> T | D:
    """The result of `work`, or `otherwise` where it raises; then `problems` gains a line that says what is missing."""
    try:
        return work()
    except Exception as error:
        reason = getattr(error, "what", "") or f"{type(error).__name__}: {error}"
        message = f"This part of the report could not be computed and is missing: {reason}"
        problems.append(Lint("warning", "analysis_failed", message, part))
        return otherwise
