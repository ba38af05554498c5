"""Reading anyone's table of labels and scores."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbench.errors import did_you_mean
from benchbench.statistics.inputs import FloatArray, StatisticsError

# Names are compared without case, spaces and signs: "Patient ID", "patient_id" and "PatientID" are one name.
LABEL_NAMES = ("label", "labels", "ytrue", "y", "truth", "target", "outcome", "class", "groundtruth")
PATIENT_NAMES = ("patient", "patientid", "subject", "subjectid", "cluster", "clusterid", "group", "groupid")
ID_NAMES = ("id", "imageid", "image", "imagename", "file", "filename", "path", "case", "caseid")
OTHER_NAMES = (
    *("eye", "laterality", "split", "fold", "seed", "age", "sex", "gender", "site", "centre", "center"),
    *("index", "row", "rownumber", "date", "year", "visit", "grade", "weight", ""),
)
"""Columns that describe a case and are no score."""
_TRUE = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class ScoreTable:
    """Columns of a predictions file.

    Attributes:
        labels: 0 and 1, shape (n,).
        scores: Shape (n, k).
        names: Names of the score columns, k of them.
        patients: Patient of each row, shape (n,); None where the file names none.
        label_column, patient_column: Columns these came from.
        ids: Name of each case, shape (n,); None where the file names none.
        ignored: (column, why it is not compared) of every other column.
    """

    labels: FloatArray
    scores: FloatArray
    names: tuple[str, ...]
    patients: np.ndarray | None
    label_column: str
    patient_column: str | None
    ids: np.ndarray | None
    ignored: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Text:
    """Cells of a file as text, with the line each row ends on."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    separator: str

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at].strip() for row in self.rows]

    def number(self, cell: str) -> float | None:
        try:
            return float(cell.replace(",", ".") if self.separator != "," else cell)
        except ValueError:
            return None


def read_scores(
    path: Path,
    label: str | None = None,
    patient: str | None = None,
    scores: Sequence[str] = (),
    delimiter: str | None = None,
    positive: str | None = None,
) -> ScoreTable:
    """Labels, scores and patients of a text table with one row per case.

    Args:
        path: Comma, semicolon or tab separated, first row holding column names; UTF-8, UTF-16 or Windows text. Lines
            that start with # and Excel's "sep=;" are understood. With semicolons or tabs, decimal commas are read
            as such.
        label: Column of labels; None looks for the usual names.
        patient: Column of patients; None looks for the usual names, and takes rows as patients without one.
        scores: Columns to compare; () takes every other column of numbers that is not known to be something else.
        delimiter: Separator; None guesses it from the first row.
        positive: Label of the positive class, all others being negative; None reads 0 and 1, or false and true.

    Raises:
        StatisticsError: What cannot be read, with file, line and column.
    """
    text = _read(path, delimiter)
    label_column = _column(text, label, LABEL_NAMES, "label")
    if label_column is None:
        raise StatisticsError(
            "no column of labels was found.",
            where=str(path),
            fix=f"name it: --label COLUMN, one of {', '.join(text.header)}",
        )
    patient_column = _column(text, patient, PATIENT_NAMES, "patient")
    for name in scores:
        _column(text, name, (), "scores")
    rest = [name for name in text.header if name not in (label_column, patient_column, *scores)]
    labels = _labels(text, label_column, positive)
    reasons = {name: _not_a_score(text, name) for name in rest}
    names = tuple(scores) or tuple(name for name in rest if not reasons[name])
    if not names:
        raise StatisticsError(
            "no column of scores was found.",
            where=str(path),
            fix="add one column of scores per system, or name them: --scores COLUMN",
        )
    id_column = next((name for name in rest if _plain(name) in ID_NAMES), None)
    return ScoreTable(
        labels,
        np.stack([_numbers(text, name) for name in names], axis=1),
        names,
        None if patient_column is None else np.array(text.column(patient_column)),
        label_column,
        patient_column,
        None if id_column is None else np.array(text.column(id_column)),
        tuple((name, reasons[name] or "not named by --scores") for name in rest if name not in names),
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


def _read(path: Path, delimiter: str | None) -> _Text:
    content = _decoded(path)
    declared = re.match(r"sep=(.)[ \t]*\r?\n", content, flags=re.IGNORECASE)
    lines_before = 0
    if declared:
        content, lines_before = content[declared.end() :], 1
        delimiter = delimiter or declared[1]
    separator = delimiter or _separator(content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator)
    rows, lines = [], []
    for row in reader:
        if any(cell.strip() for cell in row) and not row[0].startswith("#"):
            rows.append(row)
            lines.append(reader.line_num + lines_before)
    if len(rows) < 2:
        raise StatisticsError(
            "the file holds no cases.", where=str(path), fix="write column names first, then one row per case"
        )
    header = [name.strip() for name in rows[0]]
    _check_shape(path, header, rows[1:], lines[1:])
    return _Text(path, header, rows[1:], lines[1:], separator)


def _separator(content: str) -> str:
    """What stands equally often in the first two lines; names may hold commas, and numbers decimal ones."""
    lines = (line for line in content.splitlines() if line.strip() and not line.startswith("#"))
    first = next(lines, "")
    second = next(lines, first)
    return max(",;\t|", key=lambda sign: (0 < first.count(sign) == second.count(sign), first.count(sign)))


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StatisticsError(
            "the file cannot be read.", where=f"{path}: {error.strerror}", fix="check the path"
        ) from None
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise StatisticsError("the file is not text.", where=str(path), fix="save the table as CSV in UTF-8")


def _check_shape(path: Path, header: list[str], rows: list[list[str]], lines: list[int]) -> None:
    if len(header) < 2:
        raise StatisticsError(
            f"only one column was found, {header[0]!r}.",
            where=str(path),
            fix="name the separator: --delimiter ';'",
        )
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise StatisticsError(
            f"two columns are called {twice[0]!r}.", where=str(path), fix="give each column its own name"
        )
    for number, row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            raise StatisticsError(
                f"row {number} has {len(row)} cells, but there are {len(header)} columns.",
                where=str(path),
                fix="quote cells that hold the separator, or name it: --delimiter",
            )


def _column(text: _Text, asked: str | None, usual: tuple[str, ...], option: str) -> str | None:
    if asked is None:
        return next((name for name in text.header if _plain(name) in usual), None)
    if asked not in text.header:
        hint = did_you_mean(asked, text.header)
        raise StatisticsError(
            f"there is no column {asked!r}.",
            where=str(text.path),
            fix=hint or f"--{option} takes: {', '.join(text.header)}",
        )
    return asked


def _not_a_score(text: _Text, name: str) -> str:
    """Why a column is no system's scores; empty where it may be."""
    plain = _plain(name)
    if plain in ID_NAMES:
        return "names the case"
    if plain in OTHER_NAMES or re.fullmatch(r"unnamed\d*", plain) or plain in (*LABEL_NAMES, *PATIENT_NAMES):
        return "describes the case"
    numbers = [text.number(cell) for cell in text.column(name)]
    known = [n for n in numbers if n is not None]
    if 2 * len(known) < len(numbers):
        return "text"
    if len(known) == len(numbers) > 2 and np.array_equal(np.diff(known), np.ones(len(known) - 1)):
        return "row numbers"
    return ""


def _labels(text: _Text, name: str, positive: str | None) -> FloatArray:
    cells = [cell.casefold() for cell in text.column(name)]
    empty = next((i for i, cell in enumerate(cells) if cell in ("", "nan", "na")), None)
    if empty is not None:
        raise StatisticsError(
            f"column {name!r} is empty.",
            where=f"{text.path}, row {text.lines[empty]}",
            fix="fill in the label, or leave the row out",
        )
    seen = sorted(set(cells))
    if positive is not None:
        if positive.strip().casefold() not in seen:
            raise StatisticsError(
                f"no case is labelled {positive!r}.",
                where=f"{text.path}, column {name!r}",
                fix=f"--positive takes one of: {', '.join(seen[:10])}",
            )
        return np.array([float(cell == positive.strip().casefold()) for cell in cells])
    if set(seen) <= set(_TRUE):
        return np.array([_TRUE[cell] for cell in cells])
    numbers = [text.number(cell) for cell in cells]
    if any(n not in (0.0, 1.0) for n in numbers):
        raise StatisticsError(
            f"column {name!r} holds other labels than 0 and 1: {', '.join(seen[:10])}.",
            where=str(text.path),
            fix="say which of them is the positive class: --positive LABEL",
        )
    return np.array(numbers, dtype=np.float64)


def _numbers(text: _Text, name: str) -> FloatArray:
    values = np.empty(len(text.rows))
    for i, cell in enumerate(text.column(name)):
        number = text.number(cell)
        if number is None or not np.isfinite(number):
            what = "is empty" if not cell else f"holds {cell!r}, which is not a number"
            raise StatisticsError(
                f"column {name!r} {what}.",
                where=f"{text.path}, row {text.lines[i]}",
                fix="mend the row, or name the score columns: --scores COLUMN (repeat it for each)",
            )
        values[i] = number
    return values
