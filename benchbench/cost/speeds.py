"""Speeds that were measured before, found in the store: for the expected cost of a suite."""

from __future__ import annotations

from ..store import Store
from .rows import read_cost

_QUANTITY = "throughput"


def measured_speeds(store: Store) -> dict[str, tuple[float, str]]:
    """encoder -> (images per second on a GPU, on what), the fastest batch of what the store remembers."""
    found: dict[str, tuple[float, str]] = {}
    for artefact in store.artefacts(("cost",)):
        path = artefact.folder / "cost.csv"
        if not path.is_file():
            continue
        for row in read_cost(path):
            on_gpu = row.device.startswith("cuda") and row.provenance == "measured"
            if row.quantity == _QUANTITY and on_gpu and row.value > found.get(row.encoder, (0.0, ""))[0]:
                source = f"{row.precision}, batch {row.batch}, {row.versions}"
                found[row.encoder] = (row.value, source)
    return found
