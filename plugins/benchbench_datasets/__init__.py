"""First-party datasets of benchbench."""

from __future__ import annotations

from benchbench import DatasetInfo, hookimpl

from . import idrid


@hookimpl
def benchbench_datasets() -> list[DatasetInfo]:
    """Every dataset of this package."""
    return [idrid.INFO]
