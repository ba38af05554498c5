"""Cost rows as they are shown: values with units for people, and how each was had."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .rows import CostRow
from .timing import NOISY


@dataclass(frozen=True)
class CostCell:
    """One value as it is shown."""

    text: str
    """Value with unit, or an em dash."""
    value: float | None
    unit: str
    provenance: str
    reason: str = ""
    """Why there is none, or who declares it."""
    noisy: bool = False
    """The machine was busy or the repeats differ: not to be trusted to a few per cent."""
    spread: str = ""
    """How far the repeats are apart, for instance ``1.2%``; empty where there is one value only."""
    detail: str = ""
    """Device, precision, batch, repeats, spread, versions."""


def cell_of(row: CostRow) -> CostCell:
    """A row as it is shown."""
    if row.unit == "text":  # the declared hardware
        text = row.note or "—"
        return CostCell(text, None, "", row.provenance if row.note else "unmeasured", row.reason)
    if row.provenance == "unmeasured":
        return CostCell("—", None, row.unit, row.provenance, row.reason)
    noisy = NOISY in row.note
    spread = "" if math.isnan(row.spread) else f"{row.spread:.1%}"
    text = format_value(row.value, row.unit)
    if row.quantity == "throughput_best":
        text += f" (batch {row.batch})"
    if row.provenance == "estimated":
        text += " (estimate)"
    return CostCell(text, row.value, row.unit, row.provenance, row.reason, noisy, spread, detail(row))


def detail(row: CostRow) -> str:
    """How a value was had, in one line."""
    parts = [row.device, row.precision, row.backend if row.backend not in ("", "torch") else ""]
    parts.append(f"batch {row.batch}" if row.batch else "")
    parts.append(f"{row.threads} threads" if row.threads else "")
    parts.append(_repeats(row))
    parts.append(f"spread {row.spread:.1%}" if not math.isnan(row.spread) else "")
    said = "; ".join(note_parts(row.note))
    return "; ".join(p for p in (", ".join(p for p in parts if p), said, row.versions) if p)


def note_parts(note: str) -> tuple[str, ...]:
    """What a note says; of several causes of noise of one kind the largest."""
    found: dict[str, str] = {}
    for part in note.split("; ") if note else ():
        kind = re.sub(r"\d+", "", part) if part.startswith(NOISY) else part
        if kind not in found or _percent(part) > _percent(found[kind]):
            found[kind] = part
    return tuple(found.values())


def _percent(text: str) -> int:
    number = re.search(r"(\d+)%", text)
    return int(number[1]) if number else 0


def _repeats(row: CostRow) -> str:
    """What was made of the repeats: not every value is their median."""
    n = row.repeats
    if n < 2:
        return ""
    known = {
        "throughput_best": f"median of the runs, {n} steps in all",
        "run_to_run": f"slowest less fastest of {n} runs, as a share of their median",
        "matrix_share": "from the best throughput and the operations",
        "latency_p90": f"90th percentile of {n} steps",
        "latency_p99": f"99th percentile of {n} steps",
    }
    return known.get(row.quantity, f"median of {n}")


def format_value(value: float, unit: str) -> str:
    """A value for people: three significant digits, bytes as GiB and GB."""
    if unit in ("B", "B/million"):
        return _bytes(value)
    if unit == "parameters":
        return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value:,.0f}"
    if unit == "images":
        return f"{value:,.0f} images"
    if unit == "FLOP/image":
        return f"{value / 1e9:.3g} GFLOP"
    if unit == "FLOP/s":
        return f"{value / 1e12:.3g} TFLOP/s" if value >= 1e12 else f"{value / 1e9:.3g} GFLOP/s"
    if unit == "share":
        return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
    return f"{_significant(value)} {unit}"


def _significant(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bytes(value: float) -> str:
    if value < 1e7:
        return f"{value / 2**20:.3g} MiB ({value / 1e6:.3g} MB)"
    return f"{value / 2**30:.3g} GiB ({value / 1e9:.3g} GB)"
