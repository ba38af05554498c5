"""Speeds that were measured before, found in the store: for the expected cost of a suite."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from ..errors import BenchError
from ..store import Store
from .rows import CostRow, read_cost

_QUANTITY = "throughput"
log = logging.getLogger("benchbench")


def measured_speeds(store: Store) -> dict[tuple[str, str], tuple[float, str]]:
    """(encoder, precision) -> (images per second on a GPU, on what): the newest measurement, its fastest batch.

    All are of one model of GPU, the one that was measured last: hours of several cannot be added up.
    """
    measured: list[CostRow] = []
    for artefact in sorted(store.artefacts(("cost",)), key=lambda a: a.created):
        rows = [r for r in _readable(artefact.folder / "cost.csv") if _is_speed(r)]
        measured += sorted(rows, key=lambda r: r.value)
    return {
        (r.encoder, r.precision): (r.value, f"{r.precision}, batch {r.batch}, {r.versions}")
        for r in measured
        if _gpu(r) == _gpu(measured[-1])
    }


def _readable(path: Path) -> tuple[CostRow, ...]:
    """Rows of a file; none where it is not there, or another version wrote it: nothing here depends on them."""
    try:
        return read_cost(path)
    except FileNotFoundError:
        return ()
    except (BenchError, OSError, ValueError, csv.Error) as error:
        log.debug("speeds in %s are left out: %s", path, error)
        return ()


def _is_speed(row: CostRow) -> bool:
    on_gpu = row.device.startswith("cuda") and row.provenance == "measured"
    return on_gpu and row.quantity == _QUANTITY and row.value > 0


def _gpu(row: CostRow) -> str:
    """As `machine_line` begins, without the number of the host's cores."""
    return row.versions.partition(";")[0].rpartition(",")[0]
