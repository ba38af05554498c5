"""First-party datasets of benchbench."""

from __future__ import annotations

from benchbench import DatasetInfo, hookimpl

from . import aptos2019, idrid, messidor2


@hookimpl
def benchbench_datasets() -> list[DatasetInfo]:
    """Every dataset of this package."""
    return [aptos2019.INFO, idrid.INFO, messidor2.INFO]
