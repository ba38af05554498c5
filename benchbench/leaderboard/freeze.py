"""From a finished run to the spec that it answers, with the labels beside it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BenchError
from ..results import ProtocolRecord, Row, Run
from ..store import atomic_write
from .spec import (
    LABEL_COLUMNS,
    VERSION,
    Spec,
    SpecDataset,
    SpecPanel,
    SpecTask,
    SpecTestSet,
    hashed,
    labels_file,
    slug,
)

if TYPE_CHECKING:
    import pandas as pd

SIMULATED = frozenset({"SYNTHETIC", "DEMO"})
"""Stamps that make a spec a demonstration."""


@dataclass(frozen=True)
class Frozen:
    """A spec, and the content of the labels file of each of its data sets."""

    spec: Spec
    labels: Mapping[str, bytes]


def panel_id(row: Row) -> str:
    """Name of the panel that a row belongs to, fit for a file name."""
    parts = [slug(row.task), slug(row.protocol)]
    if row.source_task != row.task:
        parts.append(f"from__{slug(row.source_task)}")
    parts += [f"{slug(k)}-{slug(v)}" for k, v in sorted(row.axis.items())]
    return "__".join(parts)


def freeze(run: Run, version: str) -> Frozen:
    """The spec that a finished run answers.

    Raises:
        BenchError: a panel has no finished cell, or `version` is not numbers with dots.
    """
    if not re.fullmatch(VERSION, version):
        raise BenchError(
            f"A spec cannot have the version {version!r}.", fix="use numbers, for instance --version 2 or 2.1"
        )
    rows = _rows_by_panel(run)
    tables = test_tables(run)
    tests = {name: test_table(tables, run, found[0]) for name, found in rows.items()}
    panels, test_sets = _panels(run, rows, tests)
    tasks = sorted({p.task for p in panels} | {p.source_task for p in panels})
    datasets = list(dict.fromkeys(t.rpartition("/")[0] for t in tasks))
    labels = {
        name: _labels(run, name, [p for p in panels if p.dataset == name], tests)
        for name in dict.fromkeys(p.dataset for p in panels)
    }
    stamps = {s for row in run.rows for s in row.stamp_set}
    spec = Spec(
        suite=slug(run.info.suite),
        version=version,
        title=run.info.title,
        question=run.info.question,
        demonstration=bool(stamps & SIMULATED),
        alpha=float(run.info.statistics.get("alpha", 0.05)),
        datasets=tuple(_dataset(run, name) for name in datasets),
        tasks=tuple(_task(run, name) for name in tasks),
        panels=panels,
        test_sets=test_sets,
        labels_sha256={name: hashlib.sha256(data).hexdigest() for name, data in labels.items()},
    )
    return Frozen(spec, labels)


def write_spec(frozen: Frozen, root: Path, private: Path | None = None) -> tuple[Path, tuple[str, ...]]:
    """Write a spec into a leaderboard's folder, with the labels that may be published.

    Args:
        root: The leaderboard.
        private: Folder for the labels that may not be published; None: they are not written.

    Returns:
        The spec's file, and the data sets whose labels are not beside it.

    Raises:
        BenchError: the same version exists with another content.
    """
    spec = frozen.spec
    path = root / "spec" / f"{spec.name}.json"
    if path.exists() and path.read_bytes() != _as_file(spec):
        raise BenchError(
            f"The spec {spec.name} exists and says something else; a frozen spec never changes.",
            where=str(path),
            fix="choose the next version, for instance --version " + str(int(spec.version.split(".")[0]) + 1),
        )
    withheld = []
    for name, data in frozen.labels.items():
        public = spec.dataset(name).redistributable or spec.demonstration
        if not public:
            withheld.append(name)
        folder = root / "spec" if public else private
        if folder is not None:
            atomic_write(folder / labels_file(spec, name), data)
    atomic_write(path, _as_file(spec))
    return path, tuple(withheld)


def _as_file(spec: Spec) -> bytes:
    text = json.dumps(spec.model_dump(mode="json"), indent=1, ensure_ascii=False)
    return (text + "\n").encode()


def test_tables(run: Run) -> Mapping[tuple[str, str], pd.DataFrame]:
    """Test predictions of a run by (cell, target task)."""
    frame = run.predictions[run.predictions["split"] == "test"]
    return {
        (str(c), str(t)): part
        for (c, t), part in frame.groupby(["cell_id", "task"], sort=False, observed=True)
    }


def test_table(tables: Mapping[tuple[str, str], pd.DataFrame], run: Run, row: Row) -> pd.DataFrame:
    """The test predictions of a finished row.

    Raises:
        BenchError: there are none, because a file of the run was cut or changed.
    """
    if (row.cell_id, row.task) not in tables:
        raise BenchError(
            f"There are no test predictions of {row.encoder} on {row.task} by {row.protocol}, "
            "though rows.csv says that they are done.",
            where=str(run.folder / "predictions.parquet"),
            fix="run the suite again (finished cells come from the store), or copy the run's folder again",
        )
    return tables[row.cell_id, row.task]


def _rows_by_panel(run: Run) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in run.rows:
        rows.setdefault(panel_id(row), []).extend([row] if row.status == "done" else [])
    empty = sorted(name for name, done in rows.items() if not done)
    if empty or not rows:
        raise BenchError(
            "A spec needs at least one finished cell of every task under every protocol.",
            where=str(run.folder),
            details=[f"{name}: nothing finished" for name in empty],
            fix="mend what failed in this run, or take these tasks out of the suite, and run it again",
        )
    return rows


def _panels(
    run: Run, rows: Mapping[str, list[Row]], tests: Mapping[str, pd.DataFrame]
) -> tuple[tuple[SpecPanel, ...], tuple[SpecTestSet, ...]]:
    panels: list[SpecPanel] = []
    test_sets: dict[tuple[str, ...], SpecTestSet] = {}
    for name, members in rows.items():
        row = members[0]
        protocol = _protocol(run, row)
        images = tuple(sorted(hashed(row.dataset, "image", str(i)) for i in tests[name]["image_id"]))
        if images not in test_sets:
            digest = hashlib.sha256("".join(images).encode()).hexdigest()[:8]
            test_sets[images] = SpecTestSet(
                name=f"{slug(row.dataset)}-{digest}", dataset=row.dataset, images=images
            )
        panels.append(
            SpecPanel(
                id=name,
                task=row.task,
                source_task=row.source_task,
                protocol=row.protocol,
                protocol_kind=row.protocol_kind,
                protocol_title=protocol.title,
                protocol_version=protocol.version,
                protocol_plugin=protocol.plugin,
                config=json.loads(row.config),
                deterministic=row.deterministic,
                axes=row.axis,
                seeds=tuple(sorted({r.seed for r in members})),
                test_set=test_sets[images].name,
            )
        )
    return tuple(panels), tuple(test_sets.values())


def _protocol(run: Run, row: Row) -> ProtocolRecord:
    record = run.info.protocol(row.protocol)
    if not record.version:
        raise BenchError(
            f"This run does not say which version of {row.protocol} it was made with.",
            where=str(run.folder / "run.json"),
            fix="run the suite again with this version of benchbench; what is in the store is not computed anew",
        )
    return record


def _labels(run: Run, dataset: str, panels: Iterable[SpecPanel], tests: Mapping[str, pd.DataFrame]) -> bytes:
    """Labels file of a data set: one line per task and image, sorted."""
    named = run.info.dataset(dataset).cluster is not None
    lines: set[tuple[str, str, str, str]] = set()
    for panel in panels:
        table = tests[panel.id]
        for image, group, label in zip(table["image_id"], table["group"], table["y_true"], strict=True):
            patient = hashed(dataset, "patient", str(group)) if named and group else ""
            lines.add((panel.task, hashed(dataset, "image", str(image)), patient, _label_text(label)))
    if len({line[:2] for line in lines}) != len(lines):
        raise BenchError(
            f"Two cells of this run disagree about the labels of {dataset}.",
            where=str(run.folder),
            fix="run the suite again with --fresh",
        )
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(LABEL_COLUMNS)
    writer.writerows(sorted(lines))
    return buffer.getvalue().encode()


def _label_text(label: object) -> str:
    import numpy as np

    return " ".join(format(v, "g") for v in np.atleast_1d(np.asarray(label, dtype=np.float64)))


def _dataset(run: Run, name: str) -> SpecDataset:
    record = run.info.dataset(name)
    shared = ("name", "title", "modality", "split", "split_fingerprint", "image_fingerprint", "licence")
    return SpecDataset(
        **{key: getattr(record, key) for key in shared},
        redistributable=record.redistributable,
        cluster=record.cluster,
        paired_eyes=record.paired_eyes,
        citation=record.citation,
    )


def _task(run: Run, name: str) -> SpecTask:
    record = run.info.task(name)
    dataset = run.info.dataset(name.rpartition("/")[0])
    return SpecTask(
        name=name,
        title=record.title,
        kind=record.kind,
        classes=record.classes,
        metric=record.metric,
        label_fingerprint=dataset.label_fingerprint[record.name],
        provenance=record.provenance,
    )
