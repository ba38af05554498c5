"""CSV files that a spreadsheet may open: no text in them may run as a formula, and readers get it back."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|[\t\n])")


def neutral(text: str) -> str:
    """`text`, led by an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """What `neutral` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def csv_text(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """CSV of plain values; None and NaN are empty cells, numbers keep every digit."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(v) for v in header])
    writer.writerows([_cell(v) for v in line] for line in lines)
    return buffer.getvalue()


def records_text(kind: type, records: Iterable[Any]) -> str:
    """CSV of dataclasses of one kind, a column for each field."""
    names = [f.name for f in dataclasses.fields(kind)]
    return csv_text(names, ([getattr(r, name) for name in names] for r in records))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))  # numpy's own repr names its type
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")  # a bare \r ends a line for some readers
    return neutral(text)
