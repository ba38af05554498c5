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
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from ..api import Access, DatasetInfo, Task
from ..errors import DataError, PluginError
from ..plugins import Registry
from .card import CARD, TABLE, read_card, read_tasks
from .columns import (
    EYES,
    NAMES,
    SPLITS,
    bare,
    codes,
    column_of,
    image_column,
    label_text,
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

OWN = "a folder of your own"
"""`Access.route` of these datasets."""


def known_names(registry: Registry) -> set[str]:
    """Names and aliases of the plugins' datasets."""
    return set(registry.datasets) | {a for d in registry.datasets.values() for a in d.aliases}


def local_names(registry: Registry, data_root: Path | None) -> list[str]:
    """Folders of the data root that hold a usable labels.csv and are no plugin's dataset."""
    if data_root is None or not data_root.is_dir():
        return []
    known = known_names(registry)
    folders = sorted(f for f in data_root.iterdir() if f.is_dir() and f.name not in known)
    tables = [(f.name, path) for f in folders if (path := _table_of(f)) is not None]
    return [name for name, path in tables if image_column(table_header(path))]


def with_local_datasets(registry: Registry, data_root: Path | None, wanted: Iterable[str]) -> Registry:
    """The registry together with those of the `wanted` names that are folders of the data root with a labels.csv.

    Other folders are not looked at: whatever is wrong with them is no concern of this suite.
    """
    known = known_names(registry)
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
    try:
        path = find_entry(folder, TABLE)
    except OSError:  # a folder that may not be looked into, such as lost+found
        return None
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
    card = read_card(folder / CARD)
    tasks, notes = read_tasks(frame, card, folder)
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
        spellings.setdefault(re.sub(r"\.0+$", "", patient).casefold(), set()).add(patient)
    pairs = [" and ".join(map(repr, sorted(s))) for s in spellings.values() if len(s) > 1]
    more = f" ({len(pairs)} such cases)" if len(pairs) > 1 else ""
    return (
        [f"the patients {pairs[0]} count as different persons{more}; spell one person one way"]
        if pairs
        else []
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
