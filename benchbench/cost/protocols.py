"""Time of each protocol per task, from what a run recorded of its cells."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable
from pathlib import Path

from ..results import Row
from .rows import CostRow

PREFIX = "protocol/"
"""Quantities are named ``protocol/<protocol>/<stage>``; the stage ``total`` is the whole cell."""


def protocol_rows(rows: Iterable[Row], timings: Path) -> tuple[CostRow, ...]:
    """Seconds per task by encoder, protocol and stage.

    Args:
        rows: Rows of a run.
        timings: Its timings.csv (cell_id, stage, seconds); a file that is not there gives no rows.

    The value is the mean over tasks of the median over seeds and repeats. Cells that came from the store have the
    time that they took when they were computed. Energy was not metered during a run: see `bench speed`.
    """
    if not timings.is_file():
        return ()
    by_cell: dict[str, dict[str, float]] = {}
    with timings.open(newline="", encoding="utf-8") as stream:
        for record in csv.DictReader(stream):
            by_cell.setdefault(record["cell_id"], {})[record["stage"]] = float(record["seconds"])
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    how: dict[tuple[str, str, str], Row] = {}
    seen: set[str] = set()
    for row in rows:
        if row.status != "done" or row.cell_id in seen:  # a cell with several targets was trained once
            continue
        seen.add(row.cell_id)
        for stage, seconds in by_cell.get(row.cell_id, {}).items():
            key = (row.encoder, row.protocol, stage)
            how[key] = row
            found.setdefault(key, {}).setdefault(row.source_task, []).append(seconds)
    return tuple(_row(key, how[key], tasks) for key, tasks in found.items())


def _row(key: tuple[str, str, str], row: Row, tasks: dict[str, list[float]]) -> CostRow:
    encoder, protocol, stage = key
    cells = sum(len(values) for values in tasks.values())
    return CostRow(
        encoder,
        f"{PREFIX}{protocol}/{stage}",
        statistics.mean(statistics.median(values) for values in tasks.values()),
        "s/task",
        "measured",
        device=row.device,
        precision=row.precision,
        repeats=cells,
        spread=math.nan,
        note=f"mean over {len(tasks)} tasks, {cells} cells; as recorded when each cell was computed",
    )
