"""The tasks of somebody's own table: what its columns say, and what a dataset.yaml beside it adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..api import Task
from ..errors import DataError, SuiteError
from ..yamlfile import read_yaml
from .columns import MAX_CLASSES, NAMES, Labels, may_tell_patients_apart, read_labels

if TYPE_CHECKING:
    import pandas as pd

TABLE = "labels.csv"
CARD = "dataset.yaml"
_PERHAPS_PATIENTS = "if they tell patients apart, call the column `patient`"
_MANY = 10  # more classes than most grading schemes have
_YAML_WORDS = frozenset({"no", "yes", "on", "off", "true", "false", "null", "y", "n"})


class TaskCard(BaseModel):
    """What dataset.yaml may say of a task."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    title: str | None = None
    kind: Literal["binary", "ordinal", "multiclass"] | None = None
    classes: tuple[str, ...] = ()


class DatasetCard(BaseModel):
    """A dataset.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
    title: str | None = None
    modality: Literal["cfp", "oct"] = "cfp"
    licence: str = "not stated"
    citation: str = ""
    several_images_per_patient: bool = False
    balance: str = ""
    """The task whose classes a new split balances; the first column of labels without it."""
    tasks: dict[str, TaskCard | None] = {}


def read_card(path: Path) -> DatasetCard:
    """A dataset.yaml, empty where there is none; every fault is a `DataError` with file and line."""
    if not path.exists():
        return DatasetCard()
    try:
        source = read_yaml(path, CARD, fix="write it as a file, or remove it")
    except SuiteError as error:
        raise DataError(error.what, where=error.where, fix=error.fix, details=error.details) from error
    try:
        return DatasetCard.model_validate(source.value)
    except ValidationError as error:
        faults = [_fault(e) for e in error.errors()]
        raise DataError(
            "dataset.yaml is not understood.",
            where=source.where(error.errors()[0]["loc"]),
            details=faults,
            fix=f"its keys are {', '.join(DatasetCard.model_fields)}; modality is cfp or oct; "
            "tasks maps a column to its kind, classes and title, for instance "
            "label: {kind: ordinal, classes: [none, mild, severe]}. Several labels of one image are several columns of "
            "0 and 1; measurements are not judged",
        ) from error


def _fault(error: Any) -> str:
    fault = f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
    if isinstance(error["input"], bool) and error["type"] == "string_type":
        fault += '; YAML reads yes, no, on and off as true and false: put them in quotes, ["no", "yes"]'
    return fault


def read_tasks(frame: pd.DataFrame, card: DatasetCard, folder: Path) -> tuple[list[Task], list[str]]:
    """The tasks, the one that balances a new split first, and what a person should know about the columns."""
    declared = card.tasks
    if unknown := [c for c in (*declared, *filter(None, [card.balance])) if c not in frame.columns]:
        raise DataError(
            f"dataset.yaml names {', '.join(map(repr, unknown))}, which is no column of {TABLE}.",
            where=str(folder / CARD),
            details=[f"columns: {', '.join(frame.columns)}"],
            fix="write the column as the table does",
        )
    tasks, notes = [], []
    for column in [c for c in frame.columns if c not in NAMES or c in declared]:
        if declared and column not in declared:
            notes.append(_left_alone(column, frame, "dataset.yaml does not name it"))
            continue
        labels = read_labels(column, frame[column].tolist())
        settings = declared.get(column) or TaskCard()
        if column in declared:
            _check_declared(column, settings, labels, folder)
        elif labels.why:
            notes.append(_left_alone(column, frame, labels.why))
            continue
        classes = settings.classes or labels.classes
        kind = settings.kind or ("binary" if len(classes) == 2 else "multiclass")
        if labels.doubt and not settings.classes:
            notes.append(labels.doubt)
        if "patient" not in frame and not settings.classes and len(classes) > _MANY:
            notes.append(f"{column!r} became a task of {len(classes)} classes: {_PERHAPS_PATIENTS}")
        if kind == "binary" and not settings.classes and not labels.numbers:
            notes.append(f"{column!r}: the positive class is {classes[1]!r}, the other {classes[0]!r}")
        title = settings.title or column.replace("_", " ")
        provenance = f"column {column!r} of {folder.name}/{TABLE}"
        tasks.append(Task(column, title, kind, classes, column, provenance=provenance))
    if card.balance and not any(t.column == card.balance for t in tasks):
        raise DataError(
            f"dataset.yaml balances the split by {card.balance!r}, which is no task.",
            where=str(folder / CARD),
            details=notes,
            fix=f"choose one of: {', '.join(t.name for t in tasks)}",
        )
    return sorted(tasks, key=lambda t: t.column != card.balance), notes


def _left_alone(column: str, frame: pd.DataFrame, why: str) -> str:
    values = frame[column].tolist()
    note = f"{column!r} is left alone ({len({v for v in values if v})} different values): {why}"
    if "patient" not in frame and may_tell_patients_apart(values) and not why.startswith("measurements"):
        note += f"; most of its values come several times: {_PERHAPS_PATIENTS}"
    return note


def _check_declared(column: str, settings: TaskCard, labels: Labels, folder: Path) -> None:
    """A task that dataset.yaml names must be one, in an order that is known."""
    where = str(folder / CARD)
    if labels.why and not settings.classes:
        raise DataError(
            f"The column {column!r}, which dataset.yaml declares, cannot be a task: {labels.why}.",
            where=where,
            fix="correct the column, or name its classes",
        )
    classes = settings.classes or labels.classes
    if settings.kind == "ordinal" and not settings.classes and not labels.numbers:
        raise DataError(
            f"The grades of {column!r} are words, whose order is not known.",
            where=where,
            fix="name them from the lowest to the highest, for instance "
            f"{column}: {{kind: ordinal, classes: [{', '.join(map(_quoted, classes))}]}} in the right order",
        )
    if "/" in column or not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"The column {column!r} cannot be a task with {len(classes)} classes.",
            where=where,
            fix=f"a task has 2 to {MAX_CLASSES} classes, and no slash in its name",
        )
    if settings.kind and (settings.kind == "binary") != (len(classes) == 2):
        raise DataError(
            f"The task {column!r} cannot be of kind {settings.kind!r} with {len(classes)} classes.",
            where=where,
            fix="binary needs two classes; ordinal and multiclass more",
        )


def _quoted(name: str) -> str:
    """A class name as YAML reads it back: plain where it is a word."""
    return (
        name
        if name.isidentifier() and name.casefold() not in _YAML_WORDS
        else json.dumps(name, ensure_ascii=False)
    )
