"""First-party datasets of benchbench."""

from __future__ import annotations

from benchbench import DatasetInfo, hookimpl

from . import aptos2019, idrid, messidor2, oct5k, oct2017, oct_signatures, octdl, octid, olives


@hookimpl
def benchbench_datasets() -> list[DatasetInfo]:
    """Every dataset of this package."""
    return [
        aptos2019.INFO,
        idrid.INFO,
        messidor2.INFO,
        oct2017.INFO,
        oct5k.INFO,
        oct_signatures.INFO,
        octdl.INFO,
        octid.INFO,
        olives.INFO,
    ]
