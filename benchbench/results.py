"""The files of a run: rows, predictions and run.json; their schemas, writers and readers.

Everything downstream (analysis, report, leaderboard) is a function of these files alone.

* ``rows.csv``: one `Row` per cell and target task, with its complete identity.
* ``predictions.parquet``: one record per cell, target task and image; columns in `PREDICTION_COLUMNS`.
* ``timings.csv``: ``cell_id,stage,seconds``, kept apart because it differs from run to run.
* ``run.json``: one `RunInfo`.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BenchError
from .spreadsheet import records_text, restored

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
_COPY_AGAIN = "run the suite again (finished cells come from the store), or copy the run's folder again"

PREDICTION_COLUMNS = ("cell_id", "task", "split", "image_id", "group", "y_true", "scores")
"""``split`` is "test" or "validation"; ``group`` the patient (or "" where unknown); ``y_true`` the class code
(NaN: not labelled, validation only); ``scores`` a list of K probabilities (K = 1 for binary tasks).
Where a file holds a multi-label task, every ``y_true`` of it is a list: one 0, 1 or NaN per label."""

STAMPS = {
    "SYNTHETIC": "the images are simulated",
    "UNTRAINED": "the encoder's weights are random",
    "DEMO": "the protocol was shortened for a demonstration",
    "UNKNOWN_WEIGHTS": "the checkpoint's sha256 is not the official one",
    "CONTAMINATED": "the encoder saw this dataset in pre-training",
}


@dataclass(frozen=True)
class Row:
    """The tidy result of one cell on one target task. Empty strings where a failed cell has no value."""

    suite: str
    cell_id: str
    status: str
    """"done", "failed" or "missing" (an input is not there)."""
    reason: str
    encoder: str
    """Full name, with ``:variant`` unless it is the default."""
    weights_sha256: str
    weights_status: str
    """"verified", "unknown", "package", "downloaded" or "untrained"."""
    preprocess: str
    pooling: str
    precision: str
    dataset: str
    task: str
    """Target: full name of the task that the predictions are about."""
    kind: str
    metric: str
    """Declared primary metric of the target."""
    source_task: str
    """Task it was trained on; equal to `task` in-domain."""
    protocol: str
    """Display name, unique within the suite: protocol name plus preset or label."""
    protocol_kind: str
    """Name of the protocol plugin."""
    config: str
    """Resolved settings as JSON."""
    deterministic: bool
    seed: int
    axes: str
    """Extra axes as JSON object, for instance {"fraction": "0.1"}."""
    split_fingerprint: str
    label_fingerprint: str
    n_train: int
    n_validation: int
    n_test: int
    stamps: str
    """Names from `STAMPS`, separated by blanks."""
    device: str
    details: str
    """What the protocol remembered, as JSON object. No timings: rows of equal work are equal, byte for byte."""
    schema_version: int = SCHEMA_VERSION

    @property
    def stamp_set(self) -> frozenset[str]:
        """The stamps as a set."""
        return frozenset(self.stamps.split())

    @property
    def axis(self) -> dict[str, str]:
        """The extra axes as a mapping."""
        return dict(json.loads(self.axes or "{}"))


@dataclass(frozen=True)
class TaskRecord:
    """What the report needs to know of a task."""

    name: str
    title: str
    kind: str
    classes: tuple[str, ...]
    metric: str
    provenance: str = ""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """split -> class name -> images."""


@dataclass(frozen=True)
class DatasetRecord:
    """What the report needs to know of a dataset as it was used."""

    name: str
    title: str
    modality: str
    images: int
    patients: int | None
    simulated: bool
    split: str
    split_fingerprint: str
    image_fingerprint: str
    label_fingerprint: Mapping[str, str]
    """Per task."""
    cluster: str | None
    paired_eyes: bool
    licence: str
    redistributable: bool
    citation: str
    tasks: tuple[TaskRecord, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncoderRecord:
    """What the report needs to know of an encoder as it was used."""

    name: str
    title: str
    architecture: str
    embed_dim: int
    parameters: int | None
    preprocess: str
    pooling: str
    precision: str
    licence: str
    citation: str
    weights_status: str
    weights_sha256: str
    pretraining: tuple[tuple[str, int | None, str], ...] = ()
    """(data set, images, source), as its card names them."""
    seen: tuple[tuple[str, str], ...] = ()
    """(data set of the run that was part of its pre-training under any name, where that is stated)."""
    declared_clean: tuple[str, ...] = ()
    gpu_days: float | None = None
    hardware: str = ""
    compute_source: str = ""


@dataclass(frozen=True)
class ProtocolRecord:
    """What the report needs to know of a protocol as it was used."""

    name: str
    kind: str
    title: str
    description: str
    config: Mapping[str, Any]
    deterministic: bool
    version: str = ""
    """Raised when the same inputs give other scores; empty in runs from before it was recorded."""
    plugin: str = ""
    """Distribution and version of a third party's plugin that brought it; empty for benchbench's own."""


@dataclass(frozen=True)
class AuditFinding:
    """One finding of the audit."""

    severity: str
    """"leak", "warning" or "note"."""
    code: str
    message: str
    dataset: str = ""
    encoder: str = ""
    images: tuple[str, ...] = ()
    state: str = ""
    """Of a contamination: "in pretraining", "declared clean" or "unknown"."""


@dataclass(frozen=True)
class ImagePass:
    """What one pass over the images of a dataset took in this invocation; seconds."""

    dataset: str
    encoders: int
    """Encoders that embedded the images of this pass; 0 where they were only prepared, for training."""
    files: int
    """Files decoded, each once for all encoders; 0 where prepared images were in the store."""
    prepare: float
    """Reading, decoding and resizing, summed over threads."""
    wait: float
    """The networks stood still because no image was ready."""
    transfer: float
    model: float
    write: float


@dataclass(frozen=True)
class Deviation:
    """What `decode: fast` changes: the distance of embeddings from those of exact decoding."""

    encoder: str
    dataset: str
    images: int
    mean: float | None
    """Cosine distance, mean over the images; None where it could not be measured."""
    largest: float | None
    reason: str = ""


@dataclass(frozen=True)
class RunInfo:
    """run.json: how the run came about, in full."""

    suite: str
    title: str
    question: str
    statistics: Mapping[str, Any]
    suite_resolved: Mapping[str, Any]
    command: str
    started: str
    finished: str
    status: str
    """"running", "done", "failed" (some cells failed, or an error ended the run) or "interrupted"."""
    versions: Mapping[str, str]
    hardware: Mapping[str, str]
    git_commit: str
    plugins: tuple[tuple[str, str], ...]
    datasets: tuple[DatasetRecord, ...]
    encoders: tuple[EncoderRecord, ...]
    protocols: tuple[ProtocolRecord, ...]
    audit: tuple[AuditFinding, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage of this invocation."""
    memory_mib: Mapping[str, float] = field(default_factory=dict)
    """Largest resident memory of the run's own process by the end of each stage, in MiB."""
    workers_mib: Mapping[str, float] = field(default_factory=dict)
    """The same of each worker process, by host and process."""
    cells: Mapping[str, int] = field(default_factory=dict)
    """How many cells were computed, cached, failed, missing."""
    passes: tuple[ImagePass, ...] = ()
    """Passes over images of this invocation."""
    deviations: tuple[Deviation, ...] = ()
    """Of every encoder with ``decode: fast``, by dataset."""
    demo: bool = False
    host: str = ""
    process: int = 0
    """Which process on which host; for looking at a run that goes on."""
    schema_version: int = SCHEMA_VERSION

    def task(self, name: str) -> TaskRecord:
        """The record of the task called `name` (``dataset/task``)."""
        for d in self.datasets:
            for t in d.tasks:
                if f"{d.name}/{t.name}" == name:
                    return t
        raise KeyError(name)

    def dataset(self, name: str) -> DatasetRecord:
        """The record of the dataset called `name`."""
        return next(d for d in self.datasets if d.name == name)

    def encoder(self, name: str) -> EncoderRecord:
        """The record of the encoder called `name`."""
        return next(e for e in self.encoders if e.name == name)

    def protocol(self, name: str) -> ProtocolRecord:
        """The record of the protocol called `name`, as in `Row.protocol`."""
        return next(p for p in self.protocols if p.name == name)


@dataclass(frozen=True)
class Run:
    """A run's folder, read."""

    folder: Path
    info: RunInfo
    rows: tuple[Row, ...]
    predictions: pd.DataFrame


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows.csv atomically."""
    from .store import atomic_write

    atomic_write(path, records_text(Row, rows).encode())


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read rows.csv; raises `BenchError` naming the line and column that does not fit."""
    kinds = {f.name: f.type for f in dataclasses.fields(Row)}
    parse: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": float,
        "bool": lambda s: s == "true",
        "str": restored,
    }
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = set(kinds) - set(reader.fieldnames or [])
        if missing:
            raise BenchError(
                f"rows.csv lacks the columns {', '.join(sorted(missing))}.",
                where=str(path),
                fix="run the suite again with this version of benchbench",
            )
        for record in reader:
            if None in record or None in record.values():  # what csv puts for columns too many or too few
                raise BenchError(
                    f"rows.csv has a line that does not have the {len(reader.fieldnames or ())} columns of its header: "
                    "the file was cut short or edited.",
                    where=f"{path}:{reader.line_num}",
                    fix=_COPY_AGAIN,
                )
            try:
                rows.append(Row(**{k: parse[str(kinds[k])](record[k]) for k in kinds}))
            except (ValueError, TypeError) as error:
                raise BenchError(
                    f"rows.csv has a value that does not fit: {error}.", where=f"{path}:{reader.line_num}"
                ) from error
    return tuple(rows)


def with_uniform_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with every ``y_true`` a list if any is: a column of a parquet file has one type."""
    import numpy as np

    if frame["y_true"].dtype != object:
        return frame
    return frame.assign(y_true=[np.atleast_1d(np.asarray(y, dtype=np.float64)) for y in frame["y_true"]])  # type: ignore[misc]


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write predictions.parquet atomically."""
    import io

    from .store import atomic_write

    buffer = io.BytesIO()
    with_uniform_labels(frame)[list(PREDICTION_COLUMNS)].to_parquet(buffer, index=False)
    atomic_write(path, buffer.getvalue())


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.parquet; raises `BenchError` where it is damaged or lacks a column."""
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these kinds
        raise BenchError(
            f"predictions.parquet is damaged or is not a parquet file: {str(error).splitlines()[0]}",
            where=str(path),
            fix=_COPY_AGAIN,
        ) from error
    missing = set(PREDICTION_COLUMNS) - set(frame.columns)
    if missing:
        raise BenchError(f"predictions.parquet lacks the columns {sorted(missing)}.", where=str(path))
    _check_scores(path, frame)
    return frame


def _check_scores(path: Path, frame: pd.DataFrame) -> None:
    """Refuse scores that are no finite numbers: a run never writes any, and nothing downstream can use them."""
    import pyarrow.compute as pc
    from pyarrow import parquet, types

    if frame.empty:
        return
    column = parquet.read_table(path, columns=["scores"])["scores"]  # as Arrow: one array, not one a row
    kind = column.type.value_type if types.is_list(column.type) else None
    if kind is None or not any(
        is_kind(kind) for is_kind in (types.is_floating, types.is_integer, types.is_null)
    ):
        raise BenchError(
            f"predictions.parquet holds {column.type} as scores, not lists of numbers.",
            where=str(path),
            fix=_COPY_AGAIN,
        )
    values = pc.list_flatten(column)
    if column.null_count or not pc.all(pc.fill_null(pc.is_finite(values), False)).as_py():
        bad = next(i for i, scores in enumerate(column.to_pylist()) if not _finite(scores))
        found = frame.iloc[bad]
        raise BenchError(
            "predictions.parquet holds scores that are missing, NaN or infinite, which a run never writes.",
            where=f"{path}, row {bad + 1}: cell {found['cell_id']}, {found['task']}, image {found['image_id']}",
            fix=_COPY_AGAIN,
        )


def _finite(scores: list[float | None] | None) -> bool:
    return scores is not None and all(s is not None and math.isfinite(s) for s in scores)


def to_json(record: Any) -> str:
    """A results dataclass as indented JSON with a stable key order."""
    return json.dumps(dataclasses.asdict(record), indent=1, ensure_ascii=False, default=str) + "\n"


def read_run(folder: Path) -> Run:
    """Read a run's folder; `folder` may be ``latest`` or any run folder."""
    from pydantic import TypeAdapter, ValidationError

    folder = folder.resolve()
    for name in ("run.json", "rows.csv", "predictions.parquet"):
        if not (folder / name).is_file():
            raise BenchError(
                f"{folder} is not the folder of a run: {name} is missing.",
                fix="give the folder that `bench run` printed, for instance reports/quickstart/latest",
            )
    try:
        info = TypeAdapter(RunInfo).validate_json((folder / "run.json").read_bytes())
    except ValidationError as error:
        raise BenchError(f"run.json cannot be read: {error}", where=str(folder / "run.json")) from error
    if info.schema_version > SCHEMA_VERSION:
        raise BenchError(
            f"This run was written by a newer benchbench (schema {info.schema_version}).",
            where=str(folder),
            fix="upgrade benchbench-retina",
        )
    return Run(folder, info, read_rows(folder / "rows.csv"), read_predictions(folder / "predictions.parquet"))
