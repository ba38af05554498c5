"""Specs: the frozen question that every submission of a leaderboard answers.

A spec names the tasks, the protocols with all their settings, and every test image by a hashed identifier. Labels lie
beside it, in one CSV file per data set, where the licence lets them be published; a maintainer may hold the others
elsewhere. A spec never changes: what it says is part of every submission, so a change needs a new version.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import BenchError, did_you_mean
from ..store import canonical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEC_SCHEMA = 2
VERSION = r"^[0-9]+(\.[0-9]+)*$"
LABEL_COLUMNS = ("task", "image", "patient", "label")

Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=150)]
HashedId = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]


def _real_date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is no day of the calendar") from error
    return text


Date = Annotated[str, Field(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"), AfterValidator(_real_date)]
"""A day, ``YYYY-MM-DD``."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Base of everything that is read from files: strict, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Versioned(BaseModel):
    """The one field of a file that says how to read the others."""

    schema_version: int


class SpecDataset(Strict):
    """A data set as the spec fixes it."""

    name: str
    title: str
    modality: str
    split: str
    split_fingerprint: str
    image_fingerprint: str
    licence: str
    redistributable: bool
    cluster: str | None
    paired_eyes: bool
    citation: str


class SpecTask(Strict):
    """A target, ``dataset/task``."""

    name: str
    title: str
    kind: str
    classes: tuple[str, ...]
    metric: str
    label_fingerprint: str
    provenance: str

    @property
    def dataset(self) -> str:
        """Name of its data set."""
        return self.name.rpartition("/")[0]

    @property
    def width(self) -> int:
        """Score columns of a predictions file."""
        return 1 if self.kind == "binary" else len(self.classes)


class SpecPanel(Strict):
    """One target under one protocol: what is scored, compared and shown together."""

    id: Slug
    task: str
    source_task: str
    protocol: str
    protocol_kind: str
    protocol_title: str
    protocol_version: Annotated[str, Field(min_length=1)]
    protocol_plugin: str
    """Distribution and version of a third party's plugin; empty for benchbench's own protocols."""
    config: Mapping[str, Any]
    deterministic: bool
    axes: Mapping[str, str]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    test_set: Slug

    def file(self, seed: int) -> str:
        """Name of the predictions file of one seed within a submission."""
        return f"predictions/{self.id}__s{seed}.csv.gz"

    @property
    def dataset(self) -> str:
        """Name of the target's data set."""
        return self.task.rpartition("/")[0]


class SpecTestSet(Strict):
    """The images of a test set, by hashed identifier, in the order of their hashes."""

    name: Slug
    dataset: str
    images: Annotated[tuple[HashedId, ...], Field(min_length=1)]


class Spec(Strict):
    """A frozen question; see the module's text."""

    schema_version: int = SPEC_SCHEMA
    suite: Slug
    version: Annotated[str, Field(pattern=VERSION)]
    title: str
    question: str
    demonstration: bool
    """Whether results from simulated images, random weights and shortened protocols are allowed, and marked."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    reproduction_tolerance: Annotated[float, Field(gt=0, lt=0.1)] = 0.005
    """Largest difference of a score at which a second run counts as a reproduction."""
    datasets: tuple[SpecDataset, ...]
    tasks: tuple[SpecTask, ...]
    panels: Annotated[tuple[SpecPanel, ...], Field(min_length=1)]
    test_sets: tuple[SpecTestSet, ...]
    labels_sha256: Mapping[str, Sha256]
    """Data set -> sha256 of its labels file."""

    @property
    def name(self) -> str:
        """``suite@version``."""
        return f"{self.suite}@{self.version}"

    @cached_property
    def sha256(self) -> str:
        """Identity of the spec's content, whatever its layout as a file."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    def dataset(self, name: str) -> SpecDataset:
        """The data set called `name`."""
        return next(d for d in self.datasets if d.name == name)

    def task(self, name: str) -> SpecTask:
        """The task called `name`."""
        return next(t for t in self.tasks if t.name == name)

    def test_set(self, name: str) -> SpecTestSet:
        """The test set called `name`."""
        return next(t for t in self.test_sets if t.name == name)

    def images(self, panel: SpecPanel) -> tuple[str, ...]:
        """Hashed test images of a panel."""
        return self.test_set(panel.test_set).images


@dataclass(frozen=True)
class Labels:
    """Labels and patients of one task, in the order of a test set's images."""

    values: NDArray[np.float64]
    """(n,) class codes, or (n, L) with NaN where not labelled."""
    patients: NDArray[np.object_]


def hashed(dataset: str, kind: str, name: str) -> str:
    """Identifier of an image or a patient in published files.

    It ties predictions to images. It is no anonymisation: who can guess a file name can compute its hash.
    """
    return hashlib.sha256(f"benchbench\n{dataset}\n{kind}\n{name}".encode()).hexdigest()[:20]


def slug(text: str) -> str:
    """Text as part of a file name; different texts may share one."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("/", "__")).strip("-._") or "unnamed"


def own_slug(text: str) -> str:
    """`slug` of a name that a submitter chose; where more than spaces are lost, digits of its hash stand for it."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._/ -]*[A-Za-z0-9])?", text.strip()):
        return slug(text)
    return f"{slug(text)}-{hashlib.sha256(same_name(text).encode()).hexdigest()[:8]}"


def same_name(text: str) -> str:
    """What two spellings of one name share: case, width of letters and spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


# ------------------------------------------------------------------------------------------- reading


def read_spec(path: Path) -> Spec:
    """Read a spec's file."""
    try:
        data = path.read_bytes()
        schema = _Versioned.model_validate_json(data).schema_version
        if schema > SPEC_SCHEMA:
            raise BenchError(
                f"This spec was written by a newer benchbench (schema {schema}).",
                where=str(path),
                fix="upgrade benchbench-retina",
            )
        if schema < SPEC_SCHEMA:
            raise BenchError(
                f"This spec was written by an older benchbench (schema {schema}), which did not record the versions of "
                "protocols.",
                where=str(path),
                fix="run its suite again and freeze it anew with: bench leaderboard spec RUN --to DIR",
            )
        spec = Spec.model_validate_json(data)
    except (OSError, ValidationError) as error:
        raise BenchError(f"The spec cannot be read: {error}", where=str(path)) from error
    if path.stem != spec.name:
        raise BenchError(f"The spec {spec.name} must be in a file of that name.", where=str(path))
    return spec


def read_specs(root: Path) -> dict[str, Spec]:
    """The specs of a leaderboard's folder, by name."""
    found = [read_spec(p) for p in sorted((root / "spec").glob("*@*.json"))]
    if not found and (root / "spec").is_dir():
        raise BenchError(
            f"The leaderboard {root} has no spec yet.",
            fix="freeze one from a finished run with: bench leaderboard spec RUN --to DIR; to try the commands, use "
            "leaderboard/example",
        )
    if not found:
        raise BenchError(
            f"{root} is not a leaderboard: there is no folder {root / 'spec'}.",
            fix="give the leaderboard's folder, or freeze a spec with: bench leaderboard spec RUN --to DIR",
        )
    return {spec.name: spec for spec in found}


def choose_spec(specs: Mapping[str, Spec], suite: str, wanted: str | None = None) -> Spec:
    """The spec called `wanted`, or the newest one of a suite."""
    if wanted is not None:
        if wanted in specs:
            return specs[wanted]
        raise BenchError(
            f"There is no spec {wanted!r}. {did_you_mean(wanted, specs)}".strip(),
            fix=f"use one of: {', '.join(specs)}",
        )
    versions = [s for s in specs.values() if s.suite == suite]
    if not versions:
        raise BenchError(
            f"The leaderboard has no spec of the suite {suite!r}.",
            fix=f"use one of {', '.join(specs)}, or freeze a spec with: bench leaderboard spec RUN --to DIR",
        )
    return max(versions, key=lambda s: [int(n) for n in s.version.split(".")])


def labels_file(spec: Spec, dataset: str) -> str:
    """Name of the labels file of a data set."""
    return f"{spec.name}.labels.{slug(dataset)}.csv"


def read_labels(spec: Spec, folders: Iterable[Path]) -> dict[str, Labels]:
    """Labels by panel, for the data sets whose labels file is in one of `folders`.

    Raises:
        BenchError: a labels file that is not the one the spec was frozen with.
    """
    found: dict[str, Labels] = {}
    for dataset, digest in spec.labels_sha256.items():
        path = next((p for f in folders if (p := f / labels_file(spec, dataset)).is_file()), None)
        if path is None:
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise BenchError(
                f"The labels of {dataset} are not those that {spec.name} was frozen with.",
                where=str(path),
                fix="restore the file; changed labels need a new version of the spec",
            )
        table = _labels_table(data)
        for panel in spec.panels:
            if panel.dataset == dataset:
                found[panel.id] = _labels_of(table[panel.task], spec.images(panel))
    return found


def _labels_table(data: bytes) -> dict[str, dict[str, tuple[str, str]]]:
    table: dict[str, dict[str, tuple[str, str]]] = {}
    for record in csv.DictReader(io.StringIO(data.decode(), newline="")):
        table.setdefault(record["task"], {})[record["image"]] = (record["patient"], record["label"])
    return table


def _labels_of(table: Mapping[str, tuple[str, str]], images: tuple[str, ...]) -> Labels:
    import numpy as np

    values = np.array([[float(v) for v in table[i][1].split()] for i in images])
    patients = np.array([table[i][0] for i in images], dtype=object)
    return Labels(values[:, 0] if values.shape[1] == 1 else values, patients)
