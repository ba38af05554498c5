"""Your own images without code: a folder of the data root that holds images and a ``labels.csv``.

``D/my_clinic/labels.csv`` makes a dataset ``my_clinic``. Its columns: ``image`` (path below the folder, or below its
``images/``; the suffix may be left out), optionally ``patient``, ``eye`` and ``split``; every further column of few
values is a task of that name. A ``dataset.yaml`` beside it may name title, modality, licence, and for each task its
kind and classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..api import Access, DatasetInfo, Task
from ..errors import DataError, PluginError, SuiteError
from ..plugins import Registry
from ..yamlfile import read_yaml
from .reading import IMAGE_SUFFIXES, Problems, code, read_table, table

if TYPE_CHECKING:
    import pandas as pd

TABLE = "labels.csv"
CARD = "dataset.yaml"
RESERVED = ("image", "patient", "eye", "split")
MAX_CLASSES = 40
_EMPTY = frozenset({"", "nan", "na", "n/a", "none"})
_NEGATIVE = frozenset(
    {"no", "normal", "healthy", "negative", "false", "control", "absent", "none", "non-referable"}
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_EYES = {"od": "OD", "r": "OD", "right": "OD", "os": "OS", "l": "OS", "left": "OS", "": ""}


def local_names(registry: Registry, data_root: Path | None) -> list[str]:
    """Folders of the data root that hold a usable labels.csv and are no plugin's dataset."""
    if data_root is None or not data_root.is_dir():
        return []
    known = set(registry.datasets) | {a for d in registry.datasets.values() for a in d.aliases}
    tables = (p for p in data_root.glob(f"*/{TABLE}") if p.is_file())  # reading a pipe would never end
    found = sorted(p.parent for p in tables if p.parent.name not in known)
    return [folder.name for folder in found if "image" in _header(folder / TABLE)]


def with_local_datasets(registry: Registry, data_root: Path | None, wanted: Iterable[str]) -> Registry:
    """The registry together with those of the `wanted` names that are folders of the data root with a labels.csv.

    Other folders are not looked at: whatever is wrong with them is no concern of this suite.
    """
    known = set(registry.datasets) | {a for d in registry.datasets.values() for a in d.aliases}
    own = {}
    for name in dict.fromkeys(wanted):
        if data_root is not None and name not in known and _is_own(data_root, name):
            own[name] = local_dataset(data_root / name)
    return dataclasses.replace(registry, datasets={**registry.datasets, **own}) if own else registry


def _is_own(data_root: Path, name: str) -> bool:
    """Whether `name` is a folder directly below the data root (and no path to elsewhere) with a labels.csv."""
    return name not in ("", ".", "..") and Path(name).name == name and (data_root / name / TABLE).is_file()


def find_dataset(registry: Registry, name: str, data_root: Path | None) -> DatasetInfo:
    """A plugin's dataset, or a folder of the data root with a labels.csv; raises `PluginError` or `DataError`."""
    try:
        return registry.dataset(name)
    except PluginError:
        if data_root is not None and _is_own(data_root, name):
            return local_dataset(data_root / name)
        raise


def local_dataset(folder: Path) -> DatasetInfo:
    """The card of a folder with a labels.csv.

    Raises:
        DataError: no column ``image``, no usable label column, or a dataset.yaml that does not fit.
    """
    frame = read_table(folder / TABLE, ("image",), folder.name)
    if repeated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(
            f"{folder.name}: labels.csv has two columns of the same name: {', '.join(repeated)}.",
            where=str(folder / TABLE),
            fix="rename or remove one of them",
        )
    card = _read_card(folder / CARD)
    tasks = tuple(_tasks(frame, card, folder))
    if not tasks:
        raise DataError(
            f"{folder.name}: labels.csv has no label column.",
            where=str(folder / TABLE),
            details=[f"columns: {', '.join(frame.columns)}"],
            fix="add a column, for instance `label`, with one class name or number per image",
        )
    has_patients = "patient" in frame and bool((frame["patient"] != "").any())
    parts = {_SPLITS.get(str(s).casefold(), "") for s in frame["split"]} if "split" in frame else set()
    return DatasetInfo(
        name=folder.name,
        title=card.title or folder.name,
        modality=card.modality,
        tasks=tasks,
        access=Access(
            route="a folder of your own",
            licence=card.licence,
            redistributable=False,
            steps=("Put images and labels.csv into one folder of the data root.",),
            layout=f"{folder.name}/\n  labels.csv     image,patient,eye,split,<label>,...\n  images/ ...",
        ),
        citation=card.citation,
        load=functools.partial(_load, tasks=tasks),
        cluster="patient_id" if has_patients else None,
        paired_eyes=not has_patients and card.several_images_per_patient,
        default_split="official" if {"train", "test"} <= parts else "grouped_stratified",
    )


def _header(path: Path) -> list[str]:
    with path.open("rb") as stream:
        first = stream.readline(65536).decode("utf-8-sig", errors="replace")
    return [c.strip().strip('"') for c in first.replace(";", ",").replace("\t", ",").split(",")]


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
    tasks: dict[str, TaskCard | None] = {}


def _read_card(path: Path) -> DatasetCard:
    if not path.exists():
        return DatasetCard()
    try:
        source = read_yaml(path, CARD)
    except SuiteError as error:
        raise DataError(error.what, where=error.where, fix=error.fix, details=error.details) from error
    try:
        return DatasetCard.model_validate(source.value)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise DataError(
            "dataset.yaml is not understood.",
            where=source.where(error.errors()[0]["loc"]),
            details=faults,
            fix=f"its keys are {', '.join(DatasetCard.model_fields)}; "
            f"tasks maps a column to {{{', '.join(TaskCard.model_fields)}}}",
        ) from error


def _tasks(frame: pd.DataFrame, card: DatasetCard, folder: Path) -> list[Task]:
    declared = card.tasks
    unknown = [c for c in declared if c not in frame.columns]
    if unknown:
        raise DataError(
            f"dataset.yaml names the task(s) {', '.join(unknown)}, which are no columns of labels.csv.",
            where=str(folder / CARD),
            details=[f"columns: {', '.join(frame.columns)}"],
        )
    tasks = []
    for column in declared or [c for c in frame.columns if c not in RESERVED]:
        settings = declared.get(column) or TaskCard()
        classes = settings.classes or _guess_classes(frame[column])
        if not 2 <= len(classes) <= MAX_CLASSES:
            continue
        kind = settings.kind or ("binary" if len(classes) == 2 else "multiclass")
        if (kind == "binary") != (len(classes) == 2):
            raise DataError(
                f"The task {column!r} cannot be of kind {kind!r} with {len(classes)} classes.",
                where=str(folder / CARD),
                fix="binary needs two classes; ordinal and multiclass more",
            )
        title = settings.title or column.replace("_", " ")
        tasks.append(
            Task(
                column, title, kind, classes, column, provenance=f"column {column!r} of {folder.name}/{TABLE}"
            )
        )
    return tasks


def _guess_classes(values: pd.Series) -> tuple[str, ...]:
    """Class names in code order: 0 to K-1 as they are; words sorted, with negative-sounding ones first."""
    words = {str(v).strip() for v in values} - {v for v in map(str, values) if v.strip().casefold() in _EMPTY}
    try:
        numbers = {float(w) for w in words}
    except ValueError:
        return tuple(sorted(words, key=lambda w: (w.casefold() not in _NEGATIVE, w)))
    if not numbers or any(not n.is_integer() or not 0 <= n < MAX_CLASSES for n in numbers):
        return ()
    return tuple(str(k) for k in range(int(max(numbers)) + 1))


def _load(root: Path, options: Mapping[str, str], tasks: tuple[Task, ...] = ()) -> pd.DataFrame:
    problems = Problems(root.name)
    records: list[dict[str, object]] = []
    frame = read_table(root / TABLE, ("image", *(t.column for t in tasks)), root.name)
    for line, row in enumerate(frame.to_dict("records"), 2):
        where, name = f"{TABLE}, line {line}", str(row["image"])
        path = _find_file(root, name)
        if path is None:
            problems.add(f"{where}: no image file for {name!r}")
            continue
        split, eye = str(row.get("split", "")).casefold(), str(row.get("eye", "")).casefold()
        if split and split not in _SPLITS:
            problems.add(f"{where}: split {row['split']!r} is none of train, val, test")
        if eye not in _EYES:
            problems.add(f"{where}: eye {row['eye']!r} is none of OD, OS")
        record: dict[str, object] = {
            "image_id": name,
            "path": path,
            "patient_id": str(row.get("patient", "")),
            "eye": _EYES.get(eye, ""),
            "split": _SPLITS.get(split, ""),
        }
        for task in tasks:
            numbered = all(c == str(k) for k, c in enumerate(task.classes))
            allowed = len(task.classes) if numbered else _either(task.classes, str(row[task.column]))
            record[task.column] = code(str(row[task.column]), allowed, problems, f"{where}: {task.column}")
        records.append(record)
    problems.stop(
        where=str(root), fix=f"correct {TABLE} or add the missing files, then: bench data verify {root.name}"
    )
    return table(records, [t.column for t in tasks])


def _either(classes: tuple[str, ...], cell: str) -> Mapping[str, int] | int:
    """Names where a table has names; a table may also hold the codes of named classes."""
    if cell.strip().replace(".0", "").isdigit() and cell.strip() not in classes:
        return len(classes)
    return {name: k for k, name in enumerate(classes)}


def _find_file(root: Path, name: str) -> Path | None:
    """The file of an image cell, below the folder or its images/, never outside."""
    for base in (root, root / "images"):
        for candidate in (
            name,
            *(name + s for suffix in sorted(IMAGE_SUFFIXES) for s in (suffix, suffix.upper())),
        ):
            path = base / candidate
            with contextlib.suppress(OSError):  # a cell may hold more than a file name can be long
                if path.is_file() and ".." not in Path(candidate).parts:
                    return path
    return None
