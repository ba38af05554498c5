"""Cost rows as they are shown: values with units for people, and how each was had."""

from __future__ import annotations

import math
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
    parts.append(f"median of {row.repeats}" if row.repeats > 1 else "")
    parts.append(f"spread {row.spread:.1%}" if not math.isnan(row.spread) else "")
    return "; ".join(p for p in (", ".join(p for p in parts if p), row.note, row.versions) if p)


def format_value(value: float, unit: str) -> str:
    """A value for people: three significant digits, bytes as GiB and GB."""
    if unit in ("B", "B/million"):
        return _bytes(value)
    if unit in ("images", "parameters"):
        return f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:,.0f} images"
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
