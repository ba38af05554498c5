"""Your own images without code: a folder of the data root that holds images and a ``labels.csv``.

``D/my_clinic/labels.csv`` makes a dataset ``my_clinic``. Its columns: ``image`` (path below the folder, or below its
``images/``; the suffix may be left out), optionally ``patient``, ``eye`` and ``split``, in any case and a few other
spellings such as ``Patient ID``; every further column of few values is a task of that name. A ``dataset.yaml`` beside
it may name title, modality, licence, and for each task its kind and classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..api import Access, DatasetInfo, Task
from ..errors import DataError, PluginError, SuiteError
from ..plugins import Registry
from ..yamlfile import read_yaml
from .reading import (
    Problems,
    code,
    find_entry,
    find_image,
    image_files,
    read_table,
    table,
    table_header,
)

if TYPE_CHECKING:
    import pandas as pd

TABLE = "labels.csv"
CARD = "dataset.yaml"
MAX_CLASSES = 40
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    # column: further headers that mean the same, compared without case, blanks and signs
    "image": ("filename", "imagename", "imageid", "imagefile", "file"),
    "patient": (
        "patientid",
        "patientno",
        "patientnumber",
        "subject",
        "subjectid",
        "participant",
        "participantid",
    ),
    "eye": ("laterality",),
    "split": (),
}
_EMPTY = frozenset({"", "nan", "na", "n/a"})
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
    return [folder.name for folder in found if _column_of("image", table_header(folder / TABLE))]


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
    frame = _read(folder)
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


def _read(folder: Path) -> pd.DataFrame:
    """labels.csv with `image`, `patient`, `eye` and `split` under these names, whatever the table calls them.

    Raises:
        DataError: no column of images, a column twice, or one that looks like the patient's and is not known as such.
    """
    path = folder / TABLE
    frame = read_table(path, (), folder.name)
    columns = list(frame.columns)
    named = {found: name for name in _COLUMNS if (found := _column_of(name, columns))}
    known = set(named.values())
    if "image" not in known:
        raise DataError(
            f"{folder.name}: no column of {TABLE} says which image a row is about.",
            where=str(path),
            details=[f"columns: {', '.join(columns)}"],
            fix="call the column with the file names `image`",
        )
    doubtful = [c for c in columns if c not in named and "patient" in _bare(c)]
    if doubtful and "patient" not in known:
        raise DataError(
            f"{folder.name}: the column {doubtful[0]!r} may hold the patients, whose images must stay together.",
            where=str(path),
            fix="call it `patient` if it does; if not, give it a name without that word, or remove it",
        )
    frame = frame.rename(columns=named)
    if repeated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(
            f"{folder.name}: {TABLE} has two columns of the same name: {', '.join(repeated)}.",
            where=str(path),
            fix="rename or remove one of them",
        )
    return frame


def _column_of(name: str, columns: Sequence[str]) -> str:
    """The header that stands for `name`: the name itself, else one of its other spellings, else empty."""
    for wanted in (name, *_COLUMNS[name]):
        for column in columns:
            if _bare(column) == wanted:
                return column
    return ""


def _bare(header: str) -> str:
    return "".join(c for c in header.casefold() if c.isalnum())


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
        source = read_yaml(path, CARD, fix="write it as a file, or remove it")
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
            fix=f"its keys are {', '.join(DatasetCard.model_fields)}; modality is cfp or oct; "
            "tasks maps a column to its kind, classes and title, for instance "
            "label: {kind: ordinal, classes: [none, mild, severe]}",
        ) from error


def _tasks(frame: pd.DataFrame, card: DatasetCard, folder: Path) -> list[Task]:
    declared = card.tasks
    unknown = [c for c in declared if c not in frame.columns]
    if unknown:
        raise DataError(
            f"dataset.yaml names the task(s) {', '.join(map(str, unknown))}, which are no columns of labels.csv.",
            where=str(folder / CARD),
            details=[f"columns: {', '.join(frame.columns)}"],
        )
    tasks = []
    for column in declared or [c for c in frame.columns if c not in _COLUMNS]:
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
    """Class names in code order: numbers that occur, ascending; words sorted, with negative-sounding ones first.

    Words that differ only in case are one class, spelled as it comes first.
    """
    words: dict[str, str] = {}
    for value in values:
        words.setdefault(_tidy(value).casefold(), _tidy(value))
    found = [w for key, w in words.items() if key not in _EMPTY]
    numbers = [w for w in found if w.casefold() != "none"]  # beside numbers it means "not labelled"
    if numbers and all(map(_is_number, numbers)):
        whole = all(float(w).is_integer() and 0 <= float(w) < MAX_CLASSES for w in numbers)
        return tuple(sorted(numbers, key=float)) if whole else ()
    return tuple(sorted(found, key=lambda w: (w.casefold() not in _NEGATIVE, w)))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _tidy(cell: object) -> str:
    """A cell as text, with ``1.0`` as ``1``."""
    text = str(cell).strip()
    return format(float(text), "g") if _is_number(text) else text


def _codes(classes: tuple[str, ...]) -> Mapping[str, float]:
    """Cell -> class code. A table may hold the names of the classes, or the codes of classes with names."""
    codes = {} if any(map(_is_number, classes)) else {str(k): float(k) for k in range(len(classes))}
    return {name: float(k) for k, name in enumerate(classes)} | codes


def _load(root: Path, options: Mapping[str, str], tasks: tuple[Task, ...] = ()) -> pd.DataFrame:
    problems = Problems(root.name)
    records: list[dict[str, object]] = []
    find = _finder(root)
    codes = {t.column: _codes(t.classes) for t in tasks}
    for line, row in enumerate(_read(root).to_dict("records"), 2):
        where, name = f"{TABLE}, line {line}", str(row["image"])
        path = find(name)
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
        for column, allowed in codes.items():
            record[column] = code(_tidy(row[column]), allowed, problems, f"{where}: {column}")
        records.append(record)
    problems.stop(
        where=str(root), fix=f"correct {TABLE} or add the missing files, then: bench data verify {root.name}"
    )
    return table(records, [t.column for t in tasks])


def _finder(root: Path) -> Callable[[str], Path | None]:
    """The file of an image cell: below the folder or its images/, never outside; the suffix may be missing."""
    bases = [b for b in (root, find_entry(root, "images")) if b is not None]
    listed = functools.cache(image_files)

    def find(name: str) -> Path | None:
        asked = PurePosixPath(name.replace("\\", "/"))
        if not asked.name or asked.is_absolute() or ".." in asked.parts:
            return None
        with contextlib.suppress(OSError):  # a cell may hold more than a file name can be long
            for base in bases:
                if (base / asked).is_file():
                    return base / asked
            for base in bases:
                folder = find_entry(base, str(asked.parent))
                files = listed(folder) if folder is not None and folder.is_dir() else {}
                if (found := find_image(files, asked.name)) is not None:
                    return found
        return None

    return find
