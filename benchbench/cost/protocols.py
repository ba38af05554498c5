"""Time and energy of each protocol per task, from what was recorded of its cells when they were computed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from ..results import Row
from .rows import CostRow, Unmeasured, row_of
from .timing import Timing

PREFIX = "protocol/"
"""Quantities are named ``protocol/<protocol>/<stage>``."""
STAGES = {
    "extract": "forward passes of the encoder over all images of the datasets, once for all tasks on them",
    "prepare": "decoding and resizing those images, summed over threads, once for all encoders that need them",
    "read": "reading embeddings, or prepared images, and labels",
    "total": "the whole cell; embeddings and prepared images are there before it begins",
    "epoch": "median of the epochs, validation included",
    "energy": "the whole cell, embeddings apart, and whatever else ran on the device meanwhile",
}
"""What a stage is, where its name does not say it."""
ORDER = ("prepare", "extract", "read", "standardise", "fit", "epoch", "select", "predict")
"""As the stages follow each other; others come after them, then the total and the energy."""
LAST = ("total", "energy")
EXTRACTION = ("prepare", "extract")

Key = tuple[str, str, str]
"""(encoder, protocol, stage)"""
Group = tuple[str, str]
"""(task, axes): the cells of a group differ in nothing but the seed."""


def protocol_rows(rows: Iterable[Row], records: Mapping[str, Mapping[str, Any]]) -> tuple[CostRow, ...]:
    """Seconds and joules per task by encoder, protocol and stage.

    Args:
        rows: Rows of a run.
        records: What was recorded of each cell (`work.cell_record`), by cell id. Cells that came from the store have
            the record of the run that computed them.

    The value is the mean over tasks of the median over seeds; the spread is the largest among the tasks, as the
    interquartile range over the median, where a task has three seeds or more.
    """
    found: dict[Key, dict[Group, list[float]]] = {}
    cells: dict[tuple[str, str], list[tuple[Row, Mapping[str, Any]]]] = {}
    seen: set[str] = set()
    for row in rows:
        if row.status != "done" or row.cell_id in seen or row.cell_id not in records:
            continue  # a cell with several targets was trained once
        seen.add(row.cell_id)
        record = records[row.cell_id]
        cells.setdefault((row.encoder, row.protocol), []).append((row, record))
        joules = _energy(record).get("joules")
        values = {**record["timings"], **({"energy": joules} if joules is not None else {})}
        for stage, value in values.items():
            if not isinstance(value, Real) or not math.isfinite(value):
                continue  # a record that another version, or a plugin, wrote
            groups = found.setdefault((row.encoder, row.protocol, stage), {})
            groups.setdefault((row.source_task, row.axes), []).append(float(value))
    out = []
    for (encoder, protocol), members in cells.items():
        stages = sorted((key[2] for key in found if key[:2] == (encoder, protocol)), key=_place)
        for stage in stages:
            key = (encoder, protocol, stage)
            out.append(_row(key, found[key], members))
        if "energy" not in stages:
            out.append(_no_energy(encoder, protocol, members))
    return tuple(out)


def _place(stage: str) -> tuple[int, int, str]:
    if stage in LAST:
        return 2, LAST.index(stage), stage
    return (0, ORDER.index(stage), stage) if stage in ORDER else (1, 0, stage)


def _row(key: Key, groups: dict[Group, list[float]], members: list[tuple[Row, Mapping[str, Any]]]) -> CostRow:
    encoder, protocol, stage = key
    row, record = members[0]
    repeats = min(len(values) for values in groups.values())
    spreads = [Timing(tuple(values), 0).spread for values in groups.values()]
    known = [s for s in spreads if not math.isnan(s)]
    counted = sum(len(values) for values in groups.values())
    notes = [f"mean over {len(groups)} tasks of the median over seeds" if len(groups) > 1 else ""]
    notes += [STAGES.get(stage, ""), f"{counted} of {len(members)} cells" if counted < len(members) else ""]
    notes.append(_energy(record).get("meter", "") if stage == "energy" else "")
    # Embeddings were computed with threads of their own, and perhaps elsewhere.
    where = record.get("extracted", {}) if stage in EXTRACTION else {"device": row.device, **record}
    return CostRow(
        encoder,
        f"{PREFIX}{protocol}/{stage}",
        statistics.mean(statistics.median(values) for values in groups.values()),
        {"energy": "J/task", "prepare": "thread-s/task"}.get(stage, "s/task"),
        "measured",
        device="cpu" if stage == "prepare" else str(where.get("device", "")),
        precision="" if stage == "prepare" else row.precision,
        threads=int(where.get("threads", 0)),
        repeats=repeats,
        spread=max(known, default=math.nan),
        versions=str(where.get("processor" if stage == "prepare" else "machine", "")),
        note="; ".join(n for n in notes if n),
    )


def _energy(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return record.get("energy") or {}


def _no_energy(encoder: str, protocol: str, members: list[tuple[Row, Mapping[str, Any]]]) -> CostRow:
    reasons = dict.fromkeys(str(_energy(r).get("reason", "")) for _, r in members)
    reason = "; ".join(r for r in reasons if r) or "was not recorded when these cells were computed"
    return row_of(encoder, f"{PREFIX}{protocol}/energy", Unmeasured(reason, "J/task"))
