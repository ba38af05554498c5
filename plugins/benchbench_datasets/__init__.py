"""First-party datasets of benchbench."""

from __future__ import annotations

from benchbench import DatasetInfo, hookimpl

from . import (
    aptos2019,
    class_sets,
    idrid,
    medmnist_sets,
    messidor2,
    oct5k,
    oct2017,
    oct_signatures,
    octdl,
    octid,
    olives,
    papila,
    retfound_splits,
    table_sets,
)


@hookimpl
def benchbench_datasets() -> list[DatasetInfo]:
    """Every dataset of this package."""
    return [
        aptos2019.INFO,
        idrid.INFO,
        messidor2.INFO,
        table_sets.BRSET,
        papila.INFO,
        class_sets.GLAUCOMA_FUNDUS,
        table_sets.ORIGA,
        table_sets.AREDS,
        class_sets.RETINA4,
        class_sets.JSIEC,
        oct_signatures.INFO,
        oct2017.INFO,
        octid.INFO,
        octdl.INFO,
        oct5k.INFO,
        olives.INFO,
        medmnist_sets.RETINAMNIST,
        medmnist_sets.OCTMNIST,
        *retfound_splits.INFOS,
    ]
