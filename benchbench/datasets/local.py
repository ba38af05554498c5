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
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..api import Access, DatasetInfo, Task
from ..errors import DataError, PluginError, SuiteError
from ..plugins import Registry
from ..yamlfile import read_yaml
from .columns import (
    EYES,
    MAX_CLASSES,
    NAMES,
    SPLITS,
    Labels,
    bare,
    codes,
    column_of,
    image_column,
    label_text,
    may_tell_patients_apart,
    read_labels,
    tidy,
)
from .reading import (
    Problems,
    code,
    content,
    find_entry,
    find_image,
    image_files,
    numbered_table,
    table,
    table_header,
)

if TYPE_CHECKING:
    import pandas as pd

TABLE = "labels.csv"
CARD = "dataset.yaml"
OWN = "a folder of your own"
"""`Access.route` of these datasets."""
_YAML_WORDS = frozenset({"no", "yes", "on", "off", "true", "false", "null", "y", "n"})


def local_names(registry: Registry, data_root: Path | None) -> list[str]:
    """Folders of the data root that hold a usable labels.csv and are no plugin's dataset."""
    if data_root is None or not data_root.is_dir():
        return []
    known = set(registry.datasets) | {a for d in registry.datasets.values() for a in d.aliases}
    folders = sorted(f for f in data_root.iterdir() if f.is_dir() and f.name not in known)
    tables = [(f.name, path) for f in folders if (path := _table_of(f)) is not None]
    return [name for name, path in tables if image_column(table_header(path))]


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
    plain = name not in ("", ".", "..") and Path(name).name == name
    return plain and _table_of(data_root / name) is not None


def _table_of(folder: Path) -> Path | None:
    """The labels.csv of a folder, in any case; None where there is none."""
    path = find_entry(folder, TABLE)
    return path if path is not None and path.is_file() else None  # reading a pipe would never end


def find_dataset(registry: Registry, name: str, data_root: Path | None) -> DatasetInfo:
    """A plugin's dataset, or a folder of the data root with a labels.csv; raises `PluginError` or `DataError`."""
    try:
        return registry.dataset(name)
    except PluginError as error:
        if data_root is not None and _is_own(data_root, name):
            return local_dataset(data_root / name)
        raise PluginError(
            error.what, where=error.where, fix=own_hint(error.fix, name, data_root), details=error.details
        ) from None


def own_hint(fix: str, name: str, data_root: Path | None) -> str:
    """What to do where no dataset is called `name`, which may be meant as a folder of one's own."""
    if Path(name).name != name or name in ("", ".", ".."):
        return fix
    if data_root is None:
        return (
            f"{fix}; if it is a folder of your own, say where it lies: --data-root D or BENCHBENCH_DATA=D, "
            f"where D/{name}/{TABLE} is"
        )
    folder = data_root / name
    if folder.is_dir():
        sheets = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in (".xlsx", ".xls", ".ods"))
        if sheets:
            return f"save {folder / sheets[0]} as CSV, under the name {TABLE} and in the same folder"
        return f"write the table {folder / TABLE}; the folder holds: {content(folder)}"
    if data_root.name == name and _table_of(data_root) is not None:
        return f"the data root is one level too deep: use --data-root {data_root.absolute().parent}"
    inside = [f for f in sorted(data_root.glob("*")) if f.is_dir() and _is_own(f, name)]
    if inside:
        return f"the data root is one level too high: use --data-root {inside[0]}"
    return (
        f"{fix}; if it is a folder of your own: --data-root D, where D/{name}/{TABLE} lies; "
        f"{data_root} now holds: {content(data_root)}"
    )


def local_dataset(folder: Path) -> DatasetInfo:
    """The card of a folder with a labels.csv.

    Raises:
        DataError: no column ``image``, no usable label column, or a dataset.yaml that does not fit.
    """
    frame, _ = _read(folder)
    card = _read_card(folder / CARD)
    tasks, notes = _tasks(frame, card, folder)
    if not tasks:
        raise DataError(
            f"{folder.name}: {TABLE} has no label column" + (" that can be a task." if notes else "."),
            where=str(folder / TABLE),
            details=notes or [f"columns: {', '.join(frame.columns)}"],
            fix="give each image one class name or number in a column, for instance `label`",
        )
    has_patients = "patient" in frame and bool((frame["patient"] != "").any())
    if has_patients:
        notes += _patients_spelled_twice(frame["patient"].tolist())
    parts = {SPLITS.get(str(s).casefold(), "") for s in frame["split"]} if "split" in frame else set()
    return DatasetInfo(
        name=folder.name,
        title=card.title or folder.name,
        modality=card.modality,
        tasks=tuple(tasks),
        access=Access(
            route=OWN,
            licence=card.licence,
            redistributable=False,
            steps=("Put images and labels.csv into one folder of the data root.",),
            layout=f"{folder.name}/\n  labels.csv     image,patient,eye,split,<label>,...\n  images/ ...",
        ),
        citation=card.citation,
        load=functools.partial(_load, tasks=tuple(tasks)),
        cluster="patient_id" if has_patients else None,
        paired_eyes=not has_patients and card.several_images_per_patient,
        default_split="official" if parts & {"train", "test"} else "grouped_stratified",
        notes=tuple(notes),
    )


def _read(folder: Path) -> tuple[pd.DataFrame, list[int]]:
    """labels.csv with `image`, `patient`, `eye` and `split` under these names, and the line of each row.

    Raises:
        DataError: no column of images, a column twice, or one that looks like the patient's and is not known as such.
    """
    path = _table_of(folder) or folder / TABLE
    frame, lines = numbered_table(path, (), folder.name)
    columns = list(frame.columns)
    named = {found: name for name in NAMES if (found := column_of(name, frame))}
    known = set(named.values())
    if "image" not in known:
        raise DataError(
            f"{folder.name}: no column of {TABLE} says which image a row is about.",
            where=str(path),
            details=[f"columns: {', '.join(columns)}"],
            fix="call the column with the file names `image`",
        )
    doubtful = [c for c in columns if c not in named and "patient" in bare(c)]
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
    return frame, lines


def _patients_spelled_twice(patients: Sequence[str]) -> list[str]:
    """A note on identifiers that differ in case or in ``.0`` alone, which count as different patients."""
    spellings: dict[str, set[str]] = {}
    for patient in patients:
        spellings.setdefault(tidy(patient).casefold(), set()).add(patient)
    pairs = [" and ".join(map(repr, sorted(s))) for s in spellings.values() if len(s) > 1]
    more = f" ({len(pairs)} such cases)" if len(pairs) > 1 else ""
    return (
        [f"the patients {pairs[0]} count as different persons{more}; spell one person one way"]
        if pairs
        else []
    )


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


def _tasks(frame: pd.DataFrame, card: DatasetCard, folder: Path) -> tuple[list[Task], list[str]]:
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
    if "patient" not in frame and may_tell_patients_apart(values):
        note += (
            "; most of its values come several times: if they tell patients apart, call the column `patient`"
        )
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


def _load(root: Path, options: Mapping[str, str], tasks: tuple[Task, ...] = ()) -> pd.DataFrame:
    problems = Problems(root.name)
    records: list[dict[str, object]] = []
    find = _finder(root)
    allowed = {t.column: codes(t.classes) for t in tasks}
    frame, lines = _read(root)
    first: dict[Path, int] = {}
    strange: dict[str, list[int]] = {}
    for line, row in zip(lines, frame.to_dict("records"), strict=True):
        where, name = f"{TABLE}, line {line}", str(row["image"])
        path = find(name)
        if path is None:
            problems.add(f"{where}: no image file for {name!r}{_outside(name, root)}")
            continue
        if first.setdefault(path, line) != line:
            problems.add(f"{where}: {name!r} is the image of line {first[path]} again")
        split, eye = str(row.get("split", "")).casefold(), bare(str(row.get("eye", "")))
        if split and split not in SPLITS:
            strange.setdefault(f"split {row['split']!r} is none of train, val, test", []).append(line)
        if eye not in EYES:
            strange.setdefault(f"eye {row['eye']!r} is none of OD, OS", []).append(line)
        record: dict[str, object] = {
            "image_id": name,
            "path": path,
            "patient_id": str(row.get("patient", "")),
            "eye": EYES.get(eye, ""),
            "split": SPLITS.get(split, ""),
        }
        for column, known in allowed.items():
            record[column] = code(label_text(row[column], known), known, problems, f"{where}: {column}")
        records.append(record)
    for what, found in strange.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        problems.add(f"{TABLE}, line {found[0]}{more}: {what}")
    problems.stop(
        where=str(root), fix=f"correct {TABLE} or add the missing files, then: bench data verify {root.name}"
    )
    records.sort(key=lambda r: str(r["image_id"]))  # a table sorted anew is the same dataset
    return table(records, [t.column for t in tasks])


def _outside(name: str, root: Path) -> str:
    """What to write instead of a path that leads out of the folder, for a message."""
    asked = PureWindowsPath(name)
    if asked.root or asked.drive or ".." in asked.parts:
        return f"; write it relative to {root / 'images'}"
    return ""


def _finder(root: Path) -> Callable[[str], Path | None]:
    """The file of an image cell: below the folder or its images/, never outside; the suffix may be missing.

    A path that leads through a folder of the dataset's name is taken from there, as is one copied from a file
    manager: ``my_clinic/images/1.jpg``, ``C:\\data\\my_clinic\\images\\1.jpg``.
    """
    bases = [b for b in (root, find_entry(root, "images")) if b is not None]
    listed = functools.cache(image_files)

    def find(name: str) -> Path | None:
        asked = PurePosixPath(name.replace("\\", "/"))
        if not asked.name or ".." in asked.parts:
            return None
        starts = [i + 1 for i, part in enumerate(asked.parts[:-1]) if part == root.name]
        tails = [asked.parts[i:] for i in (starts if asked.is_absolute() else [0, *starts])]
        return next((found for tail in tails if (found := within(PurePosixPath(*tail)))), None)

    def within(asked: PurePosixPath) -> Path | None:
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
