"""What a submission holds, and how a run becomes one.

A submission is a folder (or a zip archive of it) about one encoder and one spec::

    submission.json      the encoder's card, weights sha256, plugin, contamination declaration, one entry per cell
    predictions/         <dataset>__<task>__<protocol>__s<seed>.csv.gz: hashed image id and scores
    cost.json            what the submitter measured and what the encoder's authors declared
    environment.json     versions, hardware and the command

The numbers that a leaderboard shows come from the predictions alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..errors import BenchError, did_you_mean
from ..results import EncoderRecord, Row, Run, RunInfo
from ..store import atomic_write
from .answers import answering_rows
from .freeze import test_table, test_tables
from .guard import has_hidden_characters, score_columns
from .spec import Date, Sha256, Slug, Spec, SpecPanel, Strict, hashed, own_slug

if TYPE_CHECKING:
    import numpy as np

SUBMISSION_SCHEMA = 2
MAX_COST_LINES, MAX_COST_COLUMNS = 300, 40


def _visible(text: str) -> str:
    if has_hidden_characters(text):
        raise ValueError("holds control or invisible characters")
    if text and not text.strip():
        raise ValueError("holds nothing but spaces")
    return text


Line = Annotated[str, Field(max_length=300), AfterValidator(_visible)]
Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_visible)]
Paragraph = Annotated[str, Field(max_length=4000), AfterValidator(_visible)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]


class Submitter(Strict):
    """Who answers for the submission."""

    name: Name
    contact: Line = ""


class Pretraining(Strict):
    """One data set of the pre-training."""

    name: Name
    images: Annotated[int, Field(ge=0)] | None
    source: Line


class EncoderCard(Strict):
    """The encoder as it was used."""

    name: Name
    title: Name
    architecture: Line
    embed_dim: Annotated[int, Field(gt=0, lt=10**7)]
    parameters: Annotated[int, Field(gt=0)] | None
    preprocess: Line
    pooling: Line
    precision: Literal["fp32", "bf16", "fp16"]
    licence: Line
    citation: Paragraph
    weights_status: Literal["verified", "unknown", "package", "downloaded", "untrained"]
    weights_sha256: Sha256 | None
    """None for an encoder with random weights only."""
    pretraining: Annotated[tuple[Pretraining, ...], Field(max_length=100)]
    gpu_days: Annotated[float, Field(ge=0)] | None
    hardware: Line
    compute_source: Line


class Plugin(Strict):
    """The distribution that brought the encoder."""

    distribution: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$", max_length=60)]


class Contamination(Strict):
    """Whether the encoder saw a data set of the spec before: one declaration per data set."""

    dataset: Name
    status: Literal["seen", "clean", "unknown"]
    source: Line


class Result(Strict):
    """One cell: which predictions file it is, and what they were made from."""

    panel: Slug
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    cell_id: Hex
    image_fingerprint: Hex
    split_fingerprint: Hex
    label_fingerprint: Hex
    protocol_version: Line
    protocol_plugin: Line
    config: Annotated[str, Field(max_length=4000)]
    stamps: Line
    claimed: float | None
    """The submitter's own value: compared with the re-scored one by `bench validate`, and shown nowhere."""


class Submission(Strict):
    """submission.json."""

    schema_version: Annotated[int, Field(ge=1)]
    spec: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*@[0-9.]+$", max_length=170)]
    spec_sha256: Sha256
    submitted: Date
    submitter: Submitter
    encoder: EncoderCard
    plugin: Plugin
    contamination: Annotated[tuple[Contamination, ...], Field(max_length=200)]
    results: Annotated[tuple[Result, ...], Field(min_length=1, max_length=2000)]
    supersedes: Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9._/-]*$")] = ""
    """Identifier of the submitter's earlier entry that this one replaces."""
    notes: Paragraph = ""

    @property
    def folder(self) -> str:
        """Where the submission lives below its spec's folder; its identifier."""
        digest = self.encoder.weights_sha256
        precision = "" if self.encoder.precision == "fp32" else f".{self.encoder.precision}"
        # a double underscore parts submitter and encoder and stands for an encoder's slash, so a submitter has none:
        # its underscores become hyphens, its slashes single underscores
        submitter = own_slug(re.sub("/+", "_", self.submitter.name.replace("_", "-")))
        who = f"{submitter}__{own_slug(self.encoder.name)}{precision}"
        return f"{who}/{digest[:12] if digest else 'random-weights'}"


class Cost(Strict):
    """cost.json: the encoder's lines of the run's cost.csv. Nothing of it can be recomputed here, so all of it is shown
    as the submitter's statement."""

    machine: Line
    table: Annotated[
        tuple[Annotated[Mapping[Name, Line], Field(max_length=MAX_COST_COLUMNS)], ...],
        Field(max_length=MAX_COST_LINES),
    ]


class Environment(Strict):
    """environment.json."""

    command: Paragraph
    started: Line
    finished: Line
    git_commit: Line
    versions: Annotated[Mapping[Name, Line], Field(max_length=100)]
    hardware: Annotated[Mapping[Name, Line], Field(max_length=100)]


@dataclass(frozen=True)
class Bundle:
    """A submission with its scores, ready to be written or scored."""

    submission: Submission
    cost: Cost
    environment: Environment
    scores: Mapping[tuple[str, int], np.ndarray]
    """(panel, seed) -> (n, K), in the order of the spec's test images."""
    digest: str = ""
    """sha256 over names and bytes of its files, where it was read from files."""


# ------------------------------------------------------------------------------------------- from a run


@dataclass(frozen=True)
class Declaration:
    """What a run does not say about a submission."""

    submitter: str
    submitted: str
    """Date, ``YYYY-MM-DD``."""
    plugin: tuple[str, str]
    """Distribution and version that brought the encoder."""
    contact: str = ""
    supersedes: str = ""
    notes: str = ""


def encoder_record(run: Run, encoder: str) -> EncoderRecord:
    """The record of one encoder of a run.

    Raises:
        BenchError: the run has no such encoder; it names those that it has.
    """
    names = [e.name for e in run.info.encoders]
    if encoder not in names:
        raise BenchError(
            f"The run has no encoder {encoder!r}. {did_you_mean(encoder, names)}".strip(),
            where=str(run.folder),
            fix=f"use one of: {', '.join(names)}",
        )
    return run.info.encoder(encoder)


def bundle_of(run: Run, encoder: str, spec: Spec, declaration: Declaration) -> Bundle:
    """The submission of one encoder of a run.

    Raises:
        BenchError: the run does not answer the whole spec, or a value does not fit a submission.
    """
    record = encoder_record(run, encoder)
    rows = answering_rows(run, encoder, spec)
    tables = test_tables(run)
    scores, results = {}, []
    for panel, seed in ((p, s) for p in spec.panels for s in p.seeds):
        row = rows[panel.id, seed]
        table = test_table(tables, run, row)
        scores[panel.id, seed] = _scores(table, spec, panel, row)
        results.append(_result(run.info, row, panel, _claim(table, row)))
    submission = Submission(
        schema_version=SUBMISSION_SCHEMA,
        spec=spec.name,
        spec_sha256=spec.sha256,
        submitted=declaration.submitted,
        submitter=Submitter(name=declaration.submitter, contact=declaration.contact),
        encoder=_card(record),
        plugin=Plugin(distribution=declaration.plugin[0], version=declaration.plugin[1]),
        contamination=declared_contamination(record, spec),
        results=tuple(results),
        supersedes=declaration.supersedes,
        notes=declaration.notes,
    )
    return Bundle(submission, _cost(run, encoder), _environment(run), scores)


def _scores(table: Any, spec: Spec, panel: SpecPanel, row: Row) -> np.ndarray:
    import numpy as np

    ids = [hashed(row.dataset, "image", str(i)) for i in table["image_id"]]
    position = {image: i for i, image in enumerate(ids)}
    images = spec.images(panel)
    if len(position) != len(images) or any(image not in position for image in images):
        raise BenchError(
            f"The test images of {row.task} are not those of {spec.name}.",
            fix="run the suite with the split and the data that the spec was frozen with",
        )
    order = [position[image] for image in images]
    return np.stack([np.atleast_1d(s) for s in table["scores"]]).astype(np.float64)[order]


def _claim(table: Any, row: Row) -> float | None:
    """The submitter's own value of one cell, by the code of the report."""
    import numpy as np

    from ..analysis.cases import Cases
    from ..analysis.judge import Rules, judge

    labels = np.stack([np.atleast_1d(np.asarray(y, dtype=np.float64)) for y in table["y_true"]])
    scores = np.stack([np.atleast_1d(s) for s in table["scores"]]).astype(np.float64)
    labels = labels if row.kind == "multilabel" else labels[:, 0]
    nobody = np.full(len(labels), "", dtype=object)
    cases = Cases(("", "", "", ()), labels, None, False, nobody, {"this": {0: scores}}, {}, {}, {})
    classes = tuple(str(k) for k in range(scores.shape[1]))
    return judge(cases, "", "", row.metric, classes, Rules(None, 0.05, None)).estimates[0].value


def _result(info: RunInfo, row: Row, panel: SpecPanel, claimed: float | None) -> Result:
    protocol = info.protocol(row.protocol)
    return Result(
        panel=panel.id,
        seed=row.seed,
        cell_id=row.cell_id,
        image_fingerprint=info.dataset(row.dataset).image_fingerprint,
        split_fingerprint=row.split_fingerprint,
        label_fingerprint=row.label_fingerprint,
        protocol_version=protocol.version,
        protocol_plugin=protocol.plugin,
        config=row.config,
        stamps=row.stamps,
        claimed=None if claimed is None else round(claimed, 6),
    )


def _card(record: EncoderRecord) -> EncoderCard:
    digest = record.weights_sha256
    same = ("name", "title", "architecture", "embed_dim", "parameters", "preprocess", "pooling", "precision")
    more = ("licence", "citation", "weights_status", "gpu_days", "hardware", "compute_source")
    return EncoderCard(
        **{key: getattr(record, key) for key in (*same, *more)},
        weights_sha256=digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
        pretraining=tuple(Pretraining(name=n, images=i, source=_short(s)) for n, i, s in record.pretraining),
    )


def declared_contamination(record: EncoderRecord, spec: Spec) -> tuple[Contamination, ...]:
    """What the encoder's card says about every data set of the spec; what it does not mention is unknown."""
    seen = {name: source for name, _, source in record.pretraining} | dict(record.seen)
    found = []
    for dataset in spec.datasets:
        if dataset.name in seen:
            status, source = "seen", seen[dataset.name]
        elif dataset.name in record.declared_clean:
            status, source = "clean", "the encoder's authors"
        else:
            status, source = "unknown", ""
        found.append(Contamination(dataset=dataset.name, status=status, source=_short(source)))  # type: ignore[arg-type]
    return tuple(found)


def _cost(run: Run, encoder: str) -> Cost:
    path = run.folder / "cost.csv"
    lines: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            lines = [r for r in csv.DictReader(stream) if r.get("encoder") == encoder]
    table = tuple(
        {_short(k, 100): _short(v) for k, v in record.items() if k and k != "encoder"} for record in lines
    )
    machine = ", ".join(f"{k} {v}" for k, v in _hardware(run).items())
    return Cost(machine=_short(machine), table=table[:MAX_COST_LINES])


def _environment(run: Run) -> Environment:
    info = run.info
    return Environment(
        command=without_folders(info.command),
        started=info.started,
        finished=info.finished,
        git_commit=info.git_commit,
        versions={_short(k, 100): _short(v) for k, v in info.versions.items()},
        hardware=_hardware(run),
    )


def _hardware(run: Run) -> dict[str, str]:
    """The run's hardware, without the build suffix of the kernel: it names a site, not a version."""
    found = {_short(k, 100): _short(without_folders(v)) for k, v in run.info.hardware.items()}
    return {k: re.sub(r"(\d+\.\d+)[^\s]*", r"\1", v) if k == "system" else v for k, v in found.items()}


def without_folders(text: str) -> str:
    """Text whose absolute paths keep their last part only: folders name people and machines."""
    return re.sub(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\'\"=]+)+[/\\]([^\s/\\'\"]*)", r".../\1", text)


def _short(text: object, length: int = 300) -> str:
    plain = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(text))
    return plain if len(plain) <= length else plain[: length - 3] + "..."


# ------------------------------------------------------------------------------------------- to files


def bundle_files(bundle: Bundle, spec: Spec) -> dict[str, bytes]:
    """The files of a submission, by name; equal bundles give equal bytes."""
    files = {
        "submission.json": _json(bundle.submission),
        "cost.json": _json(bundle.cost),
        "environment.json": _json(bundle.environment),
    }
    for panel in spec.panels:
        for seed in panel.seeds:
            text = scores_csv(spec.images(panel), bundle.scores[panel.id, seed])
            files[panel.file(seed)] = gzip.compress(text.encode(), mtime=0)
    return files


def bundle_place(bundle: Bundle, root: Path) -> Path:
    """The folder of a submission in a leaderboard's folder."""
    return root / "submissions" / bundle.submission.spec / bundle.submission.folder


def write_bundle(bundle: Bundle, spec: Spec, root: Path) -> Path:
    """Write a submission to its place in a leaderboard's folder.

    Raises:
        BenchError: the place is taken by another submission.
    """
    folder = bundle_place(bundle, root)
    files = bundle_files(bundle, spec)
    if folder.exists():
        present = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        if present != files:
            raise BenchError(
                "These weights were submitted before, with other predictions or another card.",
                where=str(folder),
                fix="an entry never changes: remove the folder if it was not published yet, else submit new weights "
                "or wait for the next version of the spec",
            )
        return folder
    for name, data in files.items():
        atomic_write(folder / name, data)
    return folder


def scores_csv(images: Iterable[str], scores: np.ndarray) -> str:
    """A predictions file: one line per image, numbers that read back to the same doubles."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", *score_columns(scores.shape[1])])
    for image, row in zip(images, scores.tolist(), strict=True):
        writer.writerow([image, *map(repr, row)])
    return buffer.getvalue()


def _json(record: Strict) -> bytes:
    return (json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()
