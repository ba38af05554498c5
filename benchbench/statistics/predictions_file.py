"""Reading anyone's table of labels and scores."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbench.errors import did_you_mean
from benchbench.statistics.inputs import FloatArray, StatisticsError

LABEL_NAMES = ("label", "y_true", "y", "truth", "target", "outcome", "class", "ground_truth")
PATIENT_NAMES = ("patient", "patient_id", "patientid", "subject", "subject_id", "cluster", "group")
IGNORED_NAMES = ("id", "image", "image_id", "file", "filename", "path", "eye", "split", "")


@dataclass(frozen=True)
class ScoreTable:
    """Columns of a predictions file.

    Attributes:
        labels: Shape (n,).
        scores: Shape (n, k).
        names: Names of the score columns, k of them.
        patients: Patient of each row, shape (n,); None where the file names none.
        label_column, patient_column: Columns these came from.
    """

    labels: FloatArray
    scores: FloatArray
    names: tuple[str, ...]
    patients: np.ndarray | None
    label_column: str
    patient_column: str | None


def read_scores(
    path: Path,
    label: str | None = None,
    patient: str | None = None,
    scores: Sequence[str] = (),
    delimiter: str | None = None,
) -> ScoreTable:
    """Labels, scores and patients of a text table with one row per case.

    Args:
        path: Comma, semicolon or tab separated, first row holding column names. With semicolons or tabs, decimal
            commas are read as such.
        label: Column of labels 0 and 1; None looks for the usual names.
        patient: Column of patients; None looks for the usual names, and takes rows as patients without one.
        scores: Columns to compare; () takes every other column of numbers.
        delimiter: Separator; None guesses it from the first row.
    """
    header, rows, separator = _read(path, delimiter)
    label_column = _column(header, label, LABEL_NAMES, path, "label")
    if label_column is None:
        raise StatisticsError(
            "no column of labels was found.",
            where=str(path),
            fix=f"name it: --label COLUMN, one of {', '.join(header)}",
        )
    patient_column = _column(header, patient, PATIENT_NAMES, path, "patient")
    names = tuple(scores) or tuple(
        name
        for name in header
        if name not in (label_column, patient_column) and name.lower() not in IGNORED_NAMES
    )
    for name in names:
        _column(header, name, (), path, "scores")
    if not names:
        raise StatisticsError(
            "no column of scores was found.", where=str(path), fix="add one column of scores per system"
        )
    columns = {name: [row[header.index(name)] for row in rows] for name in (label_column, *names)}
    patients = None
    if patient_column is not None:
        patients = np.array([row[header.index(patient_column)].strip() for row in rows])
    return ScoreTable(
        _numbers(columns[label_column], label_column, path, separator),
        np.stack([_numbers(columns[name], name, path, separator) for name in names], axis=1),
        names,
        patients,
        label_column,
        patient_column,
    )


def _read(path: Path, delimiter: str | None) -> tuple[list[str], list[list[str]], str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StatisticsError(
            "the file cannot be read as text.", where=f"{path}: {error}", fix="save the table as CSV in UTF-8"
        ) from None
    first = text.split("\n", 1)[0]
    separator = delimiter or max(",;\t|", key=first.count)
    lines = [
        row for row in csv.reader(text.splitlines(), delimiter=separator) if any(cell.strip() for cell in row)
    ]
    if len(lines) < 2:
        raise StatisticsError(
            "the file holds no cases.", where=str(path), fix="write column names first, then one row per case"
        )
    header = [name.strip() for name in lines[0]]
    if len(header) < 2:
        raise StatisticsError(
            f"only one column was found, {header[0]!r}.",
            where=str(path),
            fix="name the separator: --delimiter ';'",
        )
    for number, row in enumerate(lines[1:], start=2):
        if len(row) != len(header):
            raise StatisticsError(
                f"row {number} has {len(row)} cells, but there are {len(header)} columns.",
                where=str(path),
                fix="quote cells that hold the separator, or name it: --delimiter",
            )
    return header, lines[1:], separator


def _column(
    header: list[str], asked: str | None, usual: tuple[str, ...], path: Path, option: str
) -> str | None:
    if asked is None:
        return next((name for name in header if name.lower() in usual), None)
    if asked not in header:
        hint = did_you_mean(asked, header)
        raise StatisticsError(
            f"there is no column {asked!r}.",
            where=str(path),
            fix=hint or f"--{option} takes: {', '.join(header)}",
        )
    return asked


def _numbers(cells: list[str], name: str, path: Path, separator: str) -> FloatArray:
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        text = cell.strip().replace(",", ".") if separator != "," else cell.strip()
        try:
            values[i] = float(text)
        except ValueError:
            what = "is empty" if not text else f"holds {cell.strip()!r}, which is not a number"
            raise StatisticsError(
                f"column {name!r} {what}.",
                where=f"{path}, row {i + 2}",
                fix="mend the row, or name the score columns: --scores COLUMN (repeat it for each)",
            ) from None
    return values
