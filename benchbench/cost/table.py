"""The comparison table: cost rows in, lines of text cells out. Pure; no torch.

Each line is one quantity with one cell per encoder, the subject encoder against the best of the others, and,
where there is one, the published value with what is wrong with it. Values of different provenance never share a
line: a line is measured here, computed from the architecture, or declared by the authors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .protocols import PREFIX
from .published import COLUMNS, PUBLISHED, SOURCE, Published
from .rows import CostRow

Group = Literal["declared", "computed", "measured", "protocols"]
GROUP_TITLES: dict[str, str] = {
    "declared": "Declared by the authors",
    "computed": "Computed from the architecture",
    "measured": "Measured on this machine, with random weights",
    "protocols": "Time of the protocols per task, as recorded in this run",
}
SAME = 0.05
"""Ratios closer to 1 than this are called equal."""


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
    detail: str = ""
    """Device, precision, batch, repeats, spread, versions."""


@dataclass(frozen=True)
class CostLine:
    """One quantity for all encoders."""

    quantity: str
    title: str
    group: Group
    cells: tuple[CostCell, ...]
    """In the order of the table's encoders."""
    versus: str
    """The subject against the best of the others, for instance ``2.7x faster``; empty where it cannot be said."""
    published: tuple[str, ...] = ()
    """Published value per encoder, empty strings where there is none."""
    published_versus: str = ""
    erratum: str = ""


@dataclass(frozen=True)
class SweepPoint:
    """Throughput at one batch size."""

    encoder: str
    batch: int
    cell: CostCell


@dataclass(frozen=True)
class CostTable:
    """What the report and the terminal show."""

    encoders: tuple[str, ...]
    titles: tuple[str, ...]
    subject: str
    """Encoder of the `versus` column."""
    lines: tuple[CostLine, ...]
    sweep: tuple[SweepPoint, ...]
    notes: tuple[str, ...]
    """Sentences to print below the table."""
    published_source: str = ""
    """Source of the published values; empty when no encoder of the table is in it."""
    machine: Mapping[str, CostCell] = field(default_factory=dict)
    """Rate of matrix products by precision."""

    def group(self, name: str) -> tuple[CostLine, ...]:
        """The lines of one group."""
        return tuple(line for line in self.lines if line.group == name)


@dataclass(frozen=True)
class _Quantity:
    title: str
    group: Group
    better: Literal["lower", "higher"]
    words: tuple[str, str]
    """What the subject is when it is better, and when it is worse."""


_LESS, _SMALLER, _FASTER = ("less", "more"), ("smaller", "larger"), ("faster", "slower")
QUANTITIES: dict[str, _Quantity] = {
    "pretraining_images": _Quantity("Pre-training images", "declared", "lower", _LESS),
    "pretraining_gpu_days": _Quantity("Pre-training compute", "declared", "lower", _LESS),
    "pretraining_price": _Quantity("Price of that compute", "declared", "lower", _LESS),
    "pretraining_energy": _Quantity("Energy of that compute", "declared", "lower", _LESS),
    "pretraining_carbon": _Quantity("Carbon of that energy", "declared", "lower", _LESS),
    "pretraining_coal": _Quantity("As much carbon as from burning", "declared", "lower", _LESS),
    "hardware": _Quantity("Pre-training hardware", "declared", "lower", _LESS),
    "checkpoint_bytes": _Quantity("Published checkpoint", "declared", "lower", _SMALLER),
    "parameters": _Quantity("Parameters", "computed", "lower", _LESS),
    "flops": _Quantity("Operations per image", "computed", "lower", _LESS),
    "encoder_bytes": _Quantity("Encoder on disk (fp32)", "computed", "lower", _SMALLER),
    "embedding_bytes_fp32": _Quantity("A million embeddings (fp32)", "computed", "lower", _SMALLER),
    "embedding_bytes_fp16": _Quantity("A million embeddings (fp16)", "computed", "lower", _SMALLER),
    "throughput_best": _Quantity("Model alone, best batch", "measured", "higher", _FASTER),
    "matrix_share": _Quantity(
        "Share of the machine's matrix rate", "measured", "higher", ("higher", "lower")
    ),
    "latency_p50": _Quantity("Latency at batch 1, median", "measured", "lower", _FASTER),
    "latency_p90": _Quantity("Latency at batch 1, 90th percentile", "measured", "lower", _FASTER),
    "latency_p99": _Quantity("Latency at batch 1, 99th percentile", "measured", "lower", _FASTER),
    "end_to_end": _Quantity("From files, decoding ahead", "measured", "higher", _FASTER),
    "end_to_end_single": _Quantity("From files, one by one", "measured", "higher", _FASTER),
    "prepare": _Quantity("Decode and resize alone", "measured", "higher", _FASTER),
    "memory_host": _Quantity("Peak memory of the process", "measured", "lower", _LESS),
    "memory_device": _Quantity("Peak memory on the device", "measured", "lower", _LESS),
    "energy": _Quantity("Energy per image", "measured", "lower", _LESS),
    "probe": _Quantity("Linear probe", "measured", "lower", _FASTER),
}


def cost_table(
    rows: Iterable[CostRow],
    encoders: Sequence[str | Any],
    *,
    subject: str | None = None,
    constants: Sequence[tuple[str, str]] = (),
) -> CostTable:
    """The comparison table of some encoders.

    Args:
        rows: Rows of cost.csv.
        encoders: Full names, or records with `name` and `title` (such as `results.EncoderRecord`), in column order.
        subject: Encoder of the `versus` column; default: the first.
        constants: (name, value) of the constants behind money and carbon (`config.constants`), for the notes.
    """
    names = tuple(e if isinstance(e, str) else str(e.name) for e in encoders)
    titles = tuple(e if isinstance(e, str) else str(e.title) for e in encoders)
    rows = [*rows]
    by_key = {(r.encoder, r.quantity): r for r in [*rows, *_derived(rows)] if r.quantity != "throughput"}
    subject = subject if subject in names else (names[0] if names else "")
    lines = []
    protocols = dict.fromkeys(q for name, q in by_key if q.startswith(PREFIX) and name in names)
    for quantity in (*QUANTITIES, *protocols):
        found = [by_key.get((name, quantity)) for name in names]
        if any(r and (r.provenance != "unmeasured" or kind_of(quantity).group == "measured") for r in found):
            lines.append(_line(quantity, found, names, subject))
    sweep = tuple(
        SweepPoint(r.encoder, r.batch, cell_of(r))
        for r in rows
        if r.quantity == "throughput" and r.encoder in names
    )
    shows_published = any(line.published for line in lines)
    machine = {r.precision: cell_of(r) for r in rows if r.quantity == "matrix_rate"}
    notes = _notes(lines, sweep, constants, shows_published)
    source = SOURCE if shows_published else ""
    return CostTable(names, titles, subject, tuple(lines), sweep, notes, source, machine)


def kind_of(quantity: str) -> _Quantity:
    """How a quantity is shown; the protocols' own are named ``protocol/<protocol>/<stage>``."""
    if quantity.startswith(PREFIX):
        protocol, _, stage = quantity.removeprefix(PREFIX).rpartition("/")
        return _Quantity(f"{protocol}: {stage.replace('_', ' ')}", "protocols", "lower", _FASTER)
    return QUANTITIES[quantity]


def _line(quantity: str, rows: Sequence[CostRow | None], names: tuple[str, ...], subject: str) -> CostLine:
    kind, known = kind_of(quantity), PUBLISHED.get(quantity)
    cells = tuple(
        cell_of(r) if r else CostCell("—", None, "", "unmeasured", "was not asked for") for r in rows
    )
    published, versus, erratum = _published(known, names)
    return CostLine(
        quantity,
        kind.title,
        kind.group,
        cells,
        _versus(kind, cells, names, subject),
        published,
        versus,
        erratum,
    )


def _published(known: Published | None, names: tuple[str, ...]) -> tuple[tuple[str, ...], str, str]:
    if known is None or not set(names) & set(COLUMNS):
        return (), "", ""
    by_name = dict(zip(COLUMNS, known.values, strict=True))
    versus = known.versus if set(COLUMNS) <= set(names) else ""
    return tuple(by_name.get(name, "") for name in names), versus, known.erratum


def _versus(kind: _Quantity, cells: tuple[CostCell, ...], names: tuple[str, ...], subject: str) -> str:
    values = {n: c.value for n, c in zip(names, cells, strict=True) if c.value is not None and c.value > 0}
    own = values.pop(subject, None)
    if own is None or not values:
        return ""
    best = min(values.values()) if kind.better == "lower" else max(values.values())
    gain = best / own if kind.better == "lower" else own / best
    noisy = " (noisy)" if any(c.noisy for c in cells) else ""
    if abs(gain - 1) < SAME:
        return f"equal within {SAME:.0%}{noisy}"
    factor, word = (gain, kind.words[0]) if gain > 1 else (1 / gain, kind.words[1])
    return f"{_factor(factor)} {word}{noisy}"


def _factor(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 20 else f"{factor:.1f}x"


def _derived(rows: Sequence[CostRow]) -> list[CostRow]:
    """Values that follow from others: share of the matrix rate, and the declared hardware as a line."""
    rates = {r.precision: r for r in rows if r.quantity == "matrix_rate" and r.value > 0}
    flops = {r.encoder: r.value for r in rows if r.quantity == "flops"}
    out = []
    for row in rows:
        if row.quantity == "pretraining_gpu_days":
            out.append(dataclasses.replace(row, quantity="hardware", unit="text"))
        if row.quantity == "throughput_best" and row.precision in rates and row.encoder in flops:
            rate = rates[row.precision]
            share = row.value * flops[row.encoder] / rate.value
            notes = "; ".join(n for n in (row.note, rate.note) if n)
            out.append(
                dataclasses.replace(row, quantity="matrix_share", value=share, unit="share", note=notes)
            )
    return out


def cell_of(row: CostRow) -> CostCell:
    """A row as it is shown."""
    if row.unit == "text":  # the declared hardware
        text = row.note or "—"
        return CostCell(text, None, "", row.provenance if row.note else "unmeasured", row.reason)
    if row.provenance == "unmeasured":
        return CostCell("—", None, row.unit, row.provenance, row.reason)
    noisy = "NOISY" in row.note
    text = format_value(row.value, row.unit)
    if row.quantity == "throughput_best":
        text += f" (batch {row.batch})"
    if row.provenance == "estimated":
        text += " (estimate)"
    return CostCell(text, row.value, row.unit, row.provenance, row.reason, noisy, detail(row))


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
        return f"{value:.0%}"
    return f"{_significant(value)} {unit}"


def _significant(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bytes(value: float) -> str:
    if value < 1e7:
        return f"{value / 2**20:.3g} MiB ({value / 1e6:.3g} MB)"
    return f"{value / 2**30:.3g} GiB ({value / 1e9:.3g} GB)"


def _notes(
    lines: Sequence[CostLine],
    sweep: Sequence[SweepPoint],
    constants: Sequence[tuple[str, str]],
    shows_published: bool,
) -> tuple[str, ...]:
    notes = []
    if any(line.group == "measured" for line in lines):
        notes.append("Speed and memory were measured with random weights; they do not depend on the weights.")
    if any(cell.noisy for line in lines for cell in line.cells) or any(p.cell.noisy for p in sweep):
        notes.append(
            "Values marked noisy: the repeats differ by more than 5 %, or other work took more than 10 % of the "
            "processors. Measure again on a quiet machine before quoting them."
        )
    if constants and any(line.quantity == "pretraining_price" for line in lines):
        notes.append("Money and carbon: " + "; ".join(f"{name} {value}" for name, value in constants) + ".")
    if shows_published:
        notes.append(f"Published values: {SOURCE}. About wins: {PUBLISHED['wins'].erratum}")
    return tuple(notes)
