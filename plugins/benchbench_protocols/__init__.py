"""First-party protocols of benchbench."""

from __future__ import annotations

from benchbench.api import ProtocolInfo
from benchbench.hookspecs import hookimpl

from .fine_tune import FINE_TUNE
from .linear_probe import LINEAR_PROBE
from .neighbours import KNN, PROTOTYPE


@hookimpl
def benchbench_protocols() -> list[ProtocolInfo]:
    """How an encoder can be judged on a task."""
    return [LINEAR_PROBE, KNN, PROTOTYPE, FINE_TUNE]
