"""Conformance of datasets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import DatasetInfo
from ..errors import PLUGIN_FAULTS, DataError

if TYPE_CHECKING:
    from .conformance import Finding

    Run = Callable[..., list[Finding]]

COLUMNS = ("image_id", "path", "patient_id", "eye", "split")
SIMULATED = 60
"""Number of images the kit asks a simulator for."""


def check_dataset(info: DatasetInfo, run: Run) -> list[Finding]:
    """All checks of one dataset, on its own simulated files."""
    title = f"dataset {info.name}"
    findings = run(f"{title}: the card is complete", lambda: _card(info))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / info.name
        root.mkdir()
        findings += run(f"{title}: an empty folder is reported as missing data", lambda: _refuses(info, root))
        if info.simulate is not None:
            findings += run(f"{title}: it reads what it simulates", lambda: _roundtrip(info, root))
    return findings


def _card(info: DatasetInfo) -> Iterator[str]:
    for field in ("title", "citation"):
        if not str(getattr(info, field)).strip():
            yield f"`{field}` is empty"
    if info.modality not in ("cfp", "oct"):
        yield f"`modality` is {info.modality!r}, not cfp or oct"
    if not info.access.steps or not info.access.licence.strip() or not info.access.layout.strip():
        yield "`access` must state the licence, the steps to get the data, and the layout of the folder"
    names = [t.name for t in info.tasks]
    if len(set(names)) != len(names):
        yield f"task names occur twice: {', '.join(names)}"
    for task in info.tasks:
        if task.kind == "multilabel":
            if len(task.columns) != len(task.classes):
                yield f"task {task.name}: one column per class is needed"
        elif not task.column or len(task.classes) < 2:
            yield f"task {task.name}: a column and two or more classes are needed"


def _refuses(info: DatasetInfo, root: Path) -> Iterator[str]:
    try:
        info.load(root, _defaults(info))
    except DataError as error:
        if str(root) not in str(error):
            yield "the error does not name the folder that was looked in"
    except PLUGIN_FAULTS as error:
        yield f"it raises {type(error).__name__}, not DataError"
    else:
        yield "an empty folder is loaded without an error"


def _defaults(info: DatasetInfo) -> dict[str, str]:
    return {option.name: option.default for option in info.options}


def _roundtrip(info: DatasetInfo, root: Path) -> Iterator[str]:
    import pandas as pd

    from ..datasets.model import SIMULATED_MARKER

    assert info.simulate is not None
    info.simulate(root, SIMULATED, 0)
    if not (root / SIMULATED_MARKER).is_file():
        yield f"the simulator must leave a file {SIMULATED_MARKER} in the root"
    frame: Any = info.load(root, _defaults(info))
    if not isinstance(frame, pd.DataFrame):
        yield f"`load` returned {type(frame).__name__}, not a pandas DataFrame"
        return
    missing = [c for c in COLUMNS if c not in frame.columns]
    if missing:
        yield f"columns are missing: {', '.join(missing)}"
        return
    if not all(isinstance(i, str) for i in frame["image_id"]):
        yield "image_id is not text: write str(...), so that the same image has the same id everywhere"
    if not len(frame) or frame["image_id"].duplicated().any():
        yield "the table is empty, or image_id is not unique"
    absent = [p for p in frame["path"] if not Path(p).is_file()]
    if absent:
        yield f"{len(absent)} paths are no files, for instance {absent[0]}"
    if bad := sorted(set(frame["split"]) - {"train", "val", "test", ""}):
        yield f"unknown splits: {bad}"
    for task in info.tasks:
        yield from _labels(info, frame, task.name)


def _labels(info: DatasetInfo, frame: Any, name: str) -> Iterator[str]:
    import numpy as np

    task = info.task(name)
    try:
        labels = task.labels(frame)
    except KeyError as error:
        yield f"task {name}: column {error} is not in the table"
        return
    known = labels[~np.isnan(labels)]
    allowed = 2 if task.kind in ("binary", "multilabel") else len(task.classes)
    if not len(known):
        yield f"task {name}: no simulated image is labelled"
    elif not np.isin(known, np.arange(allowed)).all():
        yield f"task {name}: labels are not the codes 0..{allowed - 1}"
