"""Datasets whose label is the name of a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Task
from benchbench.datasets.reading import Problems, find_entry, image_files, table

if TYPE_CHECKING:
    import pandas as pd


def read_class_folders(
    base: Path,
    classes: Mapping[str, int],
    dataset: str,
    column: str = "label",
    *,
    split: str = "",
    prefix: str = "",
    patient: Callable[[str], str] = lambda stem: "",
) -> list[dict[str, object]]:
    """Records of ``base/<folder>/*``, the folder giving the class code; `prefix` goes before the file's stem as id.

    Raises:
        DataError: a class folder is missing or empty; all of them are named.
    """
    problems = Problems(dataset)
    records: list[dict[str, object]] = []
    for name, value in classes.items():
        folder = find_entry(base, name)
        if folder is None or not folder.is_dir():
            problems.add(f"the class folder {name!r} is missing")
            continue
        found = image_files(folder)
        if not found:
            problems.add(f"the class folder {name!r} holds no image")
        for path in found.values():
            records.append(
                {
                    "image_id": f"{prefix}{folder.name}/{path.stem}",
                    "path": path,
                    "split": split,
                    "patient_id": patient(path.stem),
                    column: float(value),
                }
            )
    problems.stop(where=str(base))
    return records


def class_table(records: list[dict[str, object]], column: str = "label") -> pd.DataFrame:
    """The contract's table of one label column."""
    return table(records, [column])


def one_against_rest(classes: tuple[str, ...], provenance: str, column: str = "label") -> tuple[Task, ...]:
    """A binary task per class, named after it."""
    return tuple(
        Task(
            name.casefold().replace(" ", "_").replace("-", "_"),
            f"{name} against all others",
            "binary",
            ("other", name),
            column,
            positive=(k,),
            provenance=provenance,
        )
        for k, name in enumerate(classes)
    )
