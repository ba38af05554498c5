"""The comparison table: cost rows in, lines of text cells out. Pure; no torch.

Each line is one quantity with one cell per encoder, the subject encoder against the best of the others, and,
where there is one, the published value with what is wrong with it. Values of different provenance never share a
line: a line is measured here, computed from the architecture, or declared by the authors.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import BenchError
from .cells import CostCell, cell_of, format_value, note_parts
from .protocols import PREFIX
from .published import COLUMNS, PUBLISHED, SOURCE, Published
from .rows import CostRow, Unmeasured, row_of
from .timing import NOISY

Group = Literal["declared", "computed", "measured", "protocols", "tests"]
GROUP_TITLES: dict[str, str] = {
    "declared": "Declared by the authors",
    "computed": "Computed from the architecture",
    "measured": "Measured on this machine, with random weights",
    "protocols": "Time and energy of the protocols per task, as recorded when each cell was computed",
    "tests": "Wins",
}
SAME = 0.05
"""Ratios closer to 1 than this are called equal."""


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
    how: str = ""
    """What was timed or counted, where that is the same for every encoder."""
    versus_published: str = ""
    """The subject against the best of the encoders of the published comparison, where `versus` is not that already."""


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
    conditions: tuple[str, ...] = ()
    """What the measured values were had on: machine and versions, device, precision, threads."""
    missing: tuple[str, ...] = ()
    """Why values are missing, one sentence for each reason."""

    @property
    def opponents(self) -> str:
        """Whom `versus_published` compares the subject with."""
        return ", ".join(self.names[name] for name in COLUMNS if name != self.subject and name in self.names)

    @property
    def names(self) -> dict[str, str]:
        """Short titles by encoder, for sentences."""
        return dict(zip(self.encoders, _short(self.titles), strict=True))

    def line(self, quantity: str) -> CostLine | None:
        """The line of one quantity."""
        return next((line for line in self.lines if line.quantity == quantity), None)

    def sweep_of(self, encoder: str) -> tuple[SweepPoint, ...]:
        """Throughput of one encoder by batch size."""
        return tuple(sorted((p for p in self.sweep if p.encoder == encoder), key=lambda p: p.batch))

    def group(self, name: str) -> tuple[CostLine, ...]:
        """The lines of one group."""
        return tuple(line for line in self.lines if line.group == name)


@dataclass(frozen=True)
class _Quantity:
    title: str
    group: Group
    better: Literal["lower", "higher"]
    words: tuple[str, str]
    """What the subject is when it is better, and when it is worse; empty where nothing is compared."""


_LESS, _SMALLER, _FASTER = ("less", "more"), ("smaller", "larger"), ("faster", "slower")
_ALONE = ("", "")
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
    "run_to_run": _Quantity("Difference between runs of it", "measured", "lower", _ALONE),
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
    "memory_rise": _Quantity("Peak memory of the network alone", "measured", "lower", _LESS),
    "memory_device": _Quantity("Peak memory on the device", "measured", "lower", _LESS),
    "energy": _Quantity("Energy per image", "measured", "lower", _LESS),
    "probe": _Quantity("Linear probe", "measured", "lower", _FASTER),
    "wins": _Quantity("Paired tests, Holm-corrected", "tests", "higher", _ALONE),
}


def cost_table(
    rows: Iterable[CostRow],
    encoders: Sequence[str | Any],
    *,
    subject: str | None = None,
    constants: Sequence[tuple[str, str]] = (),
    wins: Mapping[str, str] | None = None,
) -> CostTable:
    """The comparison table of some encoders.

    Args:
        rows: Rows of cost.csv.
        encoders: Full names, or records with `name` and `title` (such as `results.EncoderRecord`), in column order.
        subject: Encoder of the `versus` column; default: the first.
        constants: (name, value) of the constants behind money and carbon (`config.constants`), for the notes.
        wins: What an encoder's paired tests came to in this run, in words, by full name.

    Raises:
        BenchError: `subject` is not one of the encoders.
    """
    names = tuple(e if isinstance(e, str) else str(e.name) for e in encoders)
    titles = tuple(e if isinstance(e, str) else str(e.title) for e in encoders)
    short = dict(zip(names, _short(titles), strict=True))
    rows = [*rows]
    by_key = {(r.encoder, r.quantity): r for r in [*rows, *_derived(rows)] if r.quantity != "throughput"}
    subject = subject or (names[0] if names else "")
    if names and subject not in names:
        raise BenchError(
            f"There is no encoder {subject!r} in this table to be the subject of the comparison.",
            fix=f"choose one of: {', '.join(names)}",
        )
    lines = []
    protocols = dict.fromkeys(q for name, q in by_key if q.startswith(PREFIX) and name in names)
    for quantity in (*QUANTITIES, *protocols):
        found = [by_key.get((name, quantity)) for name in names]
        reasons_count = kind_of(quantity).group in ("measured", "protocols")
        if any(r and (r.provenance != "unmeasured" or reasons_count) for r in found):
            lines.append(_line(quantity, found, short, subject))
    if set(names) & set(COLUMNS):
        lines.append(_wins_line(wins or {}, names, subject))
    sweep = tuple(
        SweepPoint(r.encoder, r.batch, cell_of(r))
        for r in rows
        if r.quantity == "throughput" and r.encoder in names
    )
    shows_published = any(line.published for line in lines)
    notes = (*_shared(rows, short), *_notes(lines, sweep, constants, shows_published))
    missing = _missing(lines, sweep, short)
    return CostTable(names, titles, subject, tuple(lines), sweep, notes, _conditions(rows, names), missing)


def kind_of(quantity: str) -> _Quantity:
    """How a quantity is shown; the protocols' own are named ``protocol/<protocol>/<stage>``."""
    if quantity.startswith(PREFIX):
        protocol, _, stage = quantity.removeprefix(PREFIX).rpartition("/")
        words = _LESS if stage in ("energy", "prepare") else _FASTER
        return _Quantity(f"{protocol}: {stage.replace('_', ' ')}", "protocols", "lower", words)
    return QUANTITIES[quantity]


def _short(titles: Sequence[str]) -> tuple[str, ...]:
    """Titles up to their first comma or parenthesis, where that still tells them apart."""
    cut = [re.split(r" \(|, ", title)[0] for title in titles]
    return tuple(c if cut.count(c) == 1 else t for c, t in zip(cut, titles, strict=True))


def _line(quantity: str, rows: Sequence[CostRow | None], short: Mapping[str, str], subject: str) -> CostLine:
    kind, known = kind_of(quantity), PUBLISHED.get(quantity)
    cells = {
        name: cell_of(r) if r else CostCell("—", None, "", "unmeasured", "was not asked for")
        for name, r in zip(short, rows, strict=True)
    }
    published, published_versus, erratum = _published(known, tuple(short), subject)
    versus = _versus(kind, cells, subject)
    return CostLine(
        quantity,
        kind.title,
        kind.group,
        tuple(cells.values()),
        versus,
        published,
        published_versus,
        erratum,
        _how(kind.title, rows),
        _versus_published(kind, cells, subject, versus),
    )


def _versus_published(kind: _Quantity, cells: Mapping[str, CostCell], subject: str, versus: str) -> str:
    """The subject against the opponents of the published comparison only; empty where that is `versus` again."""
    if subject not in COLUMNS or not set(COLUMNS) < set(cells):
        return ""
    found = _versus(kind, {name: cells[name] for name in COLUMNS}, subject)
    return found if found != versus else ""


def _how(title: str, rows: Sequence[CostRow | None]) -> str:
    """What the notes of all values have in common, but for noise and what the title says already."""
    notes = [note_parts(r.note) for r in rows if r and r.provenance != "unmeasured" and r.unit != "text"]
    shared = [part for part in notes[0] if all(part in other for other in notes)] if notes else []
    return "; ".join(p for p in shared if not p.startswith(NOISY) and p not in title)


def _wins_line(wins: Mapping[str, str], names: tuple[str, ...], subject: str) -> CostLine:
    """Results of paired tests beside the published wins, which are something else."""
    why = "this run made no paired test of it"
    cells = tuple(
        CostCell(wins[n], None, "", "computed") if n in wins else CostCell("—", None, "", "unmeasured", why)
        for n in names
    )
    published, versus, erratum = _published(PUBLISHED["wins"], names, subject)
    kind = QUANTITIES["wins"]
    return CostLine("wins", kind.title, kind.group, cells, "", published, versus, erratum)


def _missing(
    lines: Sequence[CostLine], sweep: Sequence[SweepPoint], short: Mapping[str, str]
) -> tuple[str, ...]:
    """Every reason once for the encoders that it is about, with the quantities."""
    by_quantity: dict[tuple[str, str], dict[str, None]] = {}
    for line in lines:
        for name, cell in zip(short, line.cells, strict=True):
            if cell.provenance == "unmeasured":
                by_quantity.setdefault((line.title, cell.reason), {})[name] = None
    for point in sweep:
        if point.cell.provenance == "unmeasured":
            title = f"Model alone, {point.batch} images at once"
            by_quantity.setdefault((title, point.cell.reason), {})[point.encoder] = None
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (title, reason), who in by_quantity.items():
        found.setdefault((reason, tuple(who)), []).append(title)
    return tuple(
        f"{'; '.join(titles)}{_of(who, short)}: {reason.rstrip('.')}."
        for (reason, who), titles in found.items()
    )


def _of(who: Sequence[str], short: Mapping[str, str]) -> str:
    """Names in parentheses; nothing where it is all of them."""
    return f" ({', '.join(short[name] for name in who)})" if len(who) < len(short) else ""


def _shared(rows: Sequence[CostRow], short: Mapping[str, str]) -> tuple[str, ...]:
    """Encoders that have one measurement of the network between them: no two measurements agree in every digit."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.encoder in short and row.quantity == "throughput_best" and row.provenance == "measured":
            groups.setdefault(repr(dataclasses.replace(row, encoder="")), []).append(short[row.encoder])
    return tuple(
        f"The same network, measured once: {', '.join(members)}."
        for members in groups.values()
        if len(members) > 1
    )


def _conditions(rows: Sequence[CostRow], names: tuple[str, ...]) -> tuple[str, ...]:
    """One sentence for each way in which the encoders were measured, and the yardstick of the machine."""
    how: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.encoder in names and row.quantity == "throughput_best" and row.provenance == "measured":
            threads = f"{row.threads} threads" if row.threads != 1 else "1 thread"
            key = (row.device, row.precision, row.backend or "torch", threads, row.versions)
            how.setdefault(key, []).append(row.encoder)
    rates = [
        f"{row.precision} {format_value(row.value, row.unit)}"
        for row in rows
        if row.quantity == "matrix_rate" and row.provenance == "measured"
    ]
    found = [f"Measured on {', '.join(key[:4])}: {', '.join(who)}. {key[4]}." for key, who in how.items()]
    return (*found, f"Products of large matrices here: {', '.join(rates)}.") if rates else tuple(found)


def _published(
    known: Published | None, names: tuple[str, ...], subject: str
) -> tuple[tuple[str, ...], str, str]:
    if known is None or not set(names) & set(COLUMNS):
        return (), "", ""
    by_name = dict(zip(COLUMNS, known.values, strict=True))
    versus = known.versus if set(COLUMNS) <= set(names) and subject == COLUMNS[-1] else ""
    return tuple(by_name.get(name, "") for name in names), versus, known.erratum


def _versus(kind: _Quantity, cells: Mapping[str, CostCell], subject: str) -> str:
    """The subject against the best of the others among these cells."""
    values = {n: c.value for n, c in cells.items() if c.value is not None and c.value > 0}
    own = values.pop(subject, None)
    if own is None or not values or kind.words == _ALONE:
        return ""
    best = min(values.values()) if kind.better == "lower" else max(values.values())
    noisy = " (noisy)" if any(c.noisy for c in cells.values()) else ""
    return ratio(kind, own, best) + noisy


def ratio(kind: _Quantity, own: float, other: float) -> str:
    """One value against another in words, for instance ``2.7x faster``."""
    gain = other / own if kind.better == "lower" else own / other
    if abs(gain - 1) < SAME:
        return f"equal within {SAME:.0%}"
    factor, word = (gain, kind.words[0]) if gain > 1 else (1 / gain, kind.words[1])
    return f"{_factor(factor)} {word}"


def _factor(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 20 else f"{factor:.1f}x"


def _derived(rows: Sequence[CostRow]) -> list[CostRow]:
    """Values that follow from others: share of the matrix rate, and the declared hardware as a line."""
    rates = {r.precision: r for r in rows if r.quantity == "matrix_rate" and r.value > 0}
    flops = {r.encoder: r.value for r in rows if r.quantity == "flops" and r.value > 0}
    out = []
    for row in rows:
        if row.quantity == "pretraining_gpu_days":
            out.append(dataclasses.replace(row, quantity="hardware", unit="text"))
        if row.quantity == "throughput_best" and rates:
            out.append(_share(row, rates.get(row.precision), flops.get(row.encoder)))
    return out


def _share(row: CostRow, rate: CostRow | None, flops: float | None) -> CostRow:
    """The best throughput as a share of the rate of matrix products."""
    reason = row.reason
    if row.backend == "openvino":
        reason = reason or "the yardstick is torch's own matrix product"
    elif rate is None:
        reason = reason or f"there is no yardstick in {row.precision}"
    if reason or rate is None or not flops:
        why = reason or "its operations could not be counted"
        return row_of(row.encoder, "matrix_share", Unmeasured(why, "share"), row.backend)
    notes = "; ".join(n for n in (row.note, rate.note) if n)
    share = row.value * flops / rate.value
    return dataclasses.replace(
        row, quantity="matrix_share", value=share, unit="share", note=notes, spread=math.nan
    )


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
        notes.append(f"Published values: {SOURCE}.")
    return tuple(notes)
