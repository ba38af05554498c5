"""First-party protocols of benchbench."""

from __future__ import annotations

from benchbench.api import ProtocolInfo
from benchbench.hookspecs import hookimpl

from .linear_probe import LINEAR_PROBE


@hookimpl
def benchbench_protocols() -> list[ProtocolInfo]:
    """How an encoder can be judged on a task."""
    return [LINEAR_PROBE]
