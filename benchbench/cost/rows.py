"""Values with the way they were had: cost.csv, its rows, writer and reader."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import BenchError
from ..spreadsheet import records_text, restored
from ..store import atomic_write

Provenance = Literal["measured", "estimated", "declared", "computed", "unmeasured"]
PROVENANCES: dict[str, str] = {
    "measured": "timed or metered on this machine",
    "estimated": "a model of the machine, not a meter",
    "declared": "stated by the encoder's authors",
    "computed": "follows from the architecture",
    "unmeasured": "not to be had here, for the reason given",
}


@dataclass(frozen=True)
class Measured:
    """A value that was had on a machine, and how."""

    value: float
    unit: str
    device: str
    precision: str
    batch: int
    threads: int
    repeats: int
    spread: float
    """Interquartile range of the repeats as a share of their median; NaN where there is one value only."""
    versions: str
    provenance: Provenance = "measured"
    note: str = ""


@dataclass(frozen=True)
class Unmeasured:
    """Why there is no value: said instead of a zero."""

    reason: str
    unit: str = ""


@dataclass(frozen=True)
class CostRow:
    """One value of one encoder; NaN, zero and empty strings where a field does not apply."""

    encoder: str
    """Full name, with ``:variant`` unless it is the default; empty for values of the machine itself."""
    quantity: str
    value: float
    """NaN if unmeasured."""
    unit: str
    provenance: Provenance
    reason: str = ""
    """Why the value is missing (unmeasured), or who states it (declared)."""
    device: str = ""
    precision: str = ""
    batch: int = 0
    threads: int = 0
    repeats: int = 0
    spread: float = math.nan
    versions: str = ""
    note: str = ""
    backend: str = ""

    def __post_init__(self) -> None:
        if self.provenance not in PROVENANCES:
            raise BenchError(
                f"There is no provenance {self.provenance!r}.", where=f"{self.encoder} {self.quantity}"
            )
        if math.isnan(self.value) != (self.provenance == "unmeasured"):
            raise BenchError(
                "A cost row has a value, or it is unmeasured with a reason; never both or neither.",
                where=f"{self.encoder} {self.quantity}",
            )
        if self.provenance == "unmeasured" and not self.reason:
            raise BenchError("An unmeasured value needs a reason.", where=f"{self.encoder} {self.quantity}")


def row_of(encoder: str, quantity: str, value: Measured | Unmeasured, backend: str = "") -> CostRow:
    """A value as a row of cost.csv."""
    if isinstance(value, Unmeasured):
        return CostRow(
            encoder, quantity, math.nan, value.unit, "unmeasured", reason=value.reason, backend=backend
        )
    fields = dataclasses.asdict(value)
    return CostRow(encoder=encoder, quantity=quantity, backend=backend, **fields)


def write_cost(path: Path, rows: Iterable[CostRow]) -> None:
    """Write cost.csv atomically."""
    atomic_write(path, records_text(CostRow, rows).encode())


def read_cost(path: Path) -> tuple[CostRow, ...]:
    """Read cost.csv; raises `BenchError` naming the line and column that does not fit."""
    kinds = {f.name: str(f.type) for f in dataclasses.fields(CostRow)}
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = set(kinds) - set(reader.fieldnames or [])
        if missing:
            raise BenchError(
                f"cost.csv lacks the columns {', '.join(sorted(missing))}.",
                where=str(path),
                fix="run the suite again with this version of benchbench",
            )
        for record in reader:
            where = f"{path}:{reader.line_num}"
            try:
                values = {name: _parse(kind, record[name]) for name, kind in kinds.items()}
                rows.append(CostRow(**values))
            except BenchError as error:
                raise BenchError(error.what, where=where) from error
            except (ValueError, TypeError, AttributeError) as error:
                raise BenchError(f"cost.csv has a value that does not fit: {error}.", where=where) from error
    return tuple(rows)


def _parse(kind: str, text: str) -> Any:
    if kind == "float":
        return float(text) if text else math.nan
    return int(text) if kind == "int" else restored(text)
