"""Writes the files of a run without running anything: any encoders, tasks, protocols and seeds.

The scores come from a latent-severity model, so that encoders of different skill really differ, seeds of one
encoder share most of their errors, and everything downstream has something to find.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchbench.results import (
    PREDICTION_COLUMNS,
    AuditFinding,
    DatasetRecord,
    EncoderRecord,
    ProtocolRecord,
    Row,
    RunInfo,
    TaskRecord,
    to_json,
    write_predictions,
    write_rows,
)


@dataclass(frozen=True)
class FakeTask:
    """One task of the fake run; `name` is ``dataset/task``."""

    name: str
    kind: str = "binary"
    n: int = 200
    classes: tuple[str, ...] = ("no", "yes")
    prevalence: tuple[float, ...] = (0.6, 0.4)
    metric: str = "auroc"
    title: str = ""
    eyes: int = 1
    """Images per patient."""


@dataclass(frozen=True)
class FakeEncoder:
    """One encoder of the fake run; `skill` is the signal-to-noise ratio of its scores."""

    name: str
    skill: float = 1.0
    title: str = ""
    stamps: str = ""
    citation: str = ""


@dataclass(frozen=True)
class FakeCell:
    """One cell and target, where a run is not the product of its encoders, tasks, protocols and seeds."""

    encoder: str
    task: str
    source: str
    protocol: str
    protocol_kind: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class FakeRun:
    """What to write. Axes: every mapping in `axes` becomes a cell of its own ({} is the full data)."""

    encoders: Sequence[FakeEncoder]
    tasks: Sequence[FakeTask]
    protocols: Sequence[str] = ("linear_probe",)
    seeds: Sequence[int] = (0,)
    axes: Sequence[Mapping[str, str]] = ({},)
    transfer: bool = False
    stamps: str = ""
    validation: bool = True
    seed_sd: float = 0.15
    statistics: Mapping[str, Any] = field(
        default_factory=lambda: {"comparisons": "all", "alpha": 0.05, "margin": None, "correction": "holm"}
    )
    failures: Sequence[tuple[str, str, str]] = ()
    """(encoder, task, reason) of cells that failed."""
    audit: Sequence[AuditFinding] = ()
    title: str = "A fake run"
    skill_by_protocol: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(encoder, protocol) -> skill, where a protocol changes the order."""
    cells: Sequence[FakeCell] = ()
    """Exactly these cells, instead of every combination."""

    def all_cells(self) -> list[FakeCell]:
        """The cells, task by task."""
        return list(self.cells) or [
            FakeCell(encoder.name, task.name, source.name, protocol, "", axis, seed)
            for task in self.tasks
            for source in (self.tasks if self.transfer else (task,))
            if source.kind == task.kind and len(source.classes) == len(task.classes)
            for protocol in self.protocols
            for axis in self.axes
            for encoder in self.encoders
            for seed in self.seeds
        ]


ORDINAL = {
    "kind": "ordinal",
    "classes": ("none", "mild", "moderate", "severe", "proliferative"),
    "prevalence": (0.4, 0.12, 0.26, 0.14, 0.08),
    "metric": "quadratic_kappa",
}


def write_run(folder: Path, spec: FakeRun) -> Path:
    """Write rows.csv, predictions.parquet and run.json into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    frames: list[pd.DataFrame] = [pd.DataFrame({c: [] for c in PREDICTION_COLUMNS})]
    tasks = {task.name: task for task in spec.tasks}
    encoders = {encoder.name: encoder for encoder in spec.encoders}
    images = {name: _Images(task) for name, task in tasks.items()}
    for cell in spec.all_cells():
        task = tasks[cell.task]
        row, frame = _cell(spec, cell, task, encoders[cell.encoder], images[cell.task])
        rows.append(row)
        if frame is not None:
            frames.append(frame)
    write_rows(folder / "rows.csv", rows)
    write_predictions(folder / "predictions.parquet", pd.concat(frames[1:] or frames, ignore_index=True))
    (folder / "run.json").write_text(to_json(_info(spec)), encoding="utf-8")
    return folder


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:6], "big")


class _Images:
    """The images of a task: severity, label and patient of each, test and validation."""

    def __init__(self, task: FakeTask) -> None:
        self.parts = {}
        for split, n in (("test", task.n), ("validation", max(40, task.n // 2))):
            rng = np.random.default_rng(_number(task.name, split))
            patients = np.repeat(np.arange(-(-n // task.eyes)), task.eyes)[:n]
            severity = rng.normal(size=patients.max() + 1)[patients] * 0.7 + rng.normal(size=n) * 0.7
            if task.kind == "multilabel":  # every label has its own share of cases
                cuts = np.quantile(severity, 1 - np.asarray(task.prevalence))
                labels = (severity[:, None] + 0.3 * rng.normal(size=(n, len(cuts))) > cuts).astype(float)
            else:
                cuts = np.quantile(severity, np.cumsum(task.prevalence)[:-1])
                labels = np.searchsorted(cuts, severity).astype(float)
            ids = [f"{task.name.split('/')[0]}_{split}_{i:04d}" for i in range(n)]
            groups = [f"p{p:04d}" for p in patients] if task.eyes > 1 else [""] * n
            self.parts[split] = (severity, labels, ids, groups, cuts)


def _cell(
    spec: FakeRun, cell: FakeCell, task: FakeTask, encoder: FakeEncoder, images: _Images
) -> tuple[Row, pd.DataFrame | None]:
    protocol, seed, axis, source = cell.protocol, cell.seed, cell.axes, cell.source
    cell_id = f"{_number(encoder.name, source, protocol, sorted(axis.items()), seed):012x}"
    failed = next((r for e, t, r in spec.failures if e == encoder.name and t == task.name), "")
    skill = spec.skill_by_protocol.get((encoder.name, protocol), encoder.skill)
    skill *= 1.0 if source == task.name else 0.6
    skill *= float(axis.get("fraction", 1.0)) ** 0.25
    frame = None
    if not failed:
        splits = ("test", "validation") if spec.validation and source == task.name else ("test",)
        parts = []
        for split in splits:
            severity, labels, ids, groups, cuts = images.parts[split]
            scores = _scores(
                task, source, encoder, protocol, skill, spec.seed_sd, seed, severity, cuts, split
            )
            parts.append(
                pd.DataFrame(
                    {
                        "cell_id": cell_id,
                        "task": task.name,
                        "split": split,
                        "image_id": ids,
                        "group": groups,
                        "y_true": list(labels),
                        "scores": list(scores),
                    }
                )
            )
        frame = pd.concat(parts, ignore_index=True)
    row = Row(
        suite="fake",
        cell_id=cell_id,
        status="failed" if failed else "done",
        reason=failed,
        encoder=encoder.name,
        weights_sha256=hashlib.sha256(encoder.name.encode()).hexdigest(),
        weights_status="untrained" if "UNTRAINED" in encoder.stamps else "verified",
        preprocess="eval",
        pooling="mean of patch tokens",
        precision="fp32",
        dataset=task.name.split("/")[0],
        task=task.name,
        kind=task.kind,
        metric=task.metric,
        source_task=source,
        protocol=protocol,
        protocol_kind=cell.protocol_kind or protocol.split(" ")[0],
        config="{}",
        deterministic=len(spec.seeds) == 1,
        seed=seed,
        axes=json.dumps(dict(axis)),
        split_fingerprint="5f" * 16,
        label_fingerprint="1a" * 16,
        n_train=2 * task.n,
        n_validation=task.n // 2,
        n_test=0 if failed else task.n,
        stamps=" ".join(dict.fromkeys(f"{spec.stamps} {encoder.stamps}".split())),
        device="cpu",
        details="{}",
    )
    return row, frame


def _scores(
    task: FakeTask,
    source: str,
    encoder: FakeEncoder,
    protocol: str,
    skill: float,
    seed_sd: float,
    seed: int,
    severity: np.ndarray,
    cuts: np.ndarray,
    split: str,
) -> np.ndarray:
    n = len(severity)
    shared = np.random.default_rng(_number(task.name, split, "shared")).normal(size=n)
    own = np.random.default_rng(_number(task.name, split, encoder.name, protocol, source)).normal(size=n)
    noise = np.random.default_rng(_number(task.name, split, encoder.name, protocol, source, seed)).normal(
        size=n
    )
    latent = skill * severity + 0.75 * shared + 0.65 * own + seed_sd * noise
    latent = latent / np.sqrt(skill**2 + 1)
    if task.kind == "binary":
        return (1 / (1 + np.exp(-(2.2 * latent - 2.2 * cuts[0] * skill / np.sqrt(skill**2 + 1)))))[:, None]
    if task.kind == "multilabel":
        return 1 / (1 + np.exp(-2.2 * (latent[:, None] - cuts * skill / np.sqrt(skill**2 + 1))))
    edges = np.concatenate([[-np.inf], cuts * skill / np.sqrt(skill**2 + 1), [np.inf]])
    cumulative = 1 / (1 + np.exp(-3.0 * (edges[None, :] - latent[:, None])))
    shares = np.diff(cumulative, axis=1) + 1e-6
    return shares / shares.sum(axis=1, keepdims=True)


def _info(spec: FakeRun) -> RunInfo:
    names = list(dict.fromkeys(t.name.split("/")[0] for t in spec.tasks))
    datasets = tuple(_dataset(spec, name) for name in names)
    encoders = tuple(
        EncoderRecord(
            name=e.name,
            title=e.title or e.name,
            architecture="ViT-L/16",
            embed_dim=1024,
            parameters=303_301_632,
            preprocess="eval: resize to 224",
            pooling="mean of patch tokens",
            precision="fp32",
            licence="CC BY-NC 4.0",
            citation=e.citation or f"@article{{{_key(e.name)},\n title = {{{e.name}}},\n year = {{2023}}\n}}",
            weights_status="untrained" if "UNTRAINED" in e.stamps else "verified",
            weights_sha256=hashlib.sha256(e.name.encode()).hexdigest(),
            pretraining=(("fundus pictures", 904_170, "the paper"),),
            gpu_days=112.0,
            hardware="8 x A100",
            compute_source="the paper",
        )
        for e in spec.encoders
    )
    protocols = tuple(
        ProtocolRecord(
            p, p, p.replace("_", " "), "Trained on cached embeddings.", {"C": 1.0}, len(spec.seeds) == 1, "1"
        )
        for p in spec.protocols
    )
    return RunInfo(
        suite="fake",
        title=spec.title,
        question="Which encoder ranks diabetic retinopathy best?",
        statistics=spec.statistics,
        suite_resolved={"title": spec.title, "encoders": [e.name for e in spec.encoders]},
        command="bench run suites/fake.yaml",
        started="2026-01-02T03:04:05Z",
        finished="2026-01-02T03:05:06Z",
        status="failed" if spec.failures else "done",
        versions={"benchbench": "0.1.0", "python": "3.11.2", "torch": "2.6.0"},
        hardware={"machine": "x86_64", "cpu": "2 cores", "device": "cpu"},
        git_commit="0123456789abcdef",
        plugins=(("benchbench-retina", "0.1.0"),),
        datasets=datasets,
        encoders=encoders,
        protocols=protocols,
        audit=tuple(spec.audit),
        timings={"embed": 12.0, "cells": 3.5},
        cells={"computed": 3, "cached": 0, "failed": len(spec.failures), "missing": 0},
        demo="DEMO" in spec.stamps,
    )


def _key(name: str) -> str:
    return "".join(c for c in name if c.isalnum())[:20] or "entry"


def _dataset(spec: FakeRun, name: str) -> DatasetRecord:
    tasks = [t for t in spec.tasks if t.name.split("/")[0] == name]
    records = []
    for t in tasks:
        labels = _Images(t).parts["test"][1]
        positive = labels == 1 if t.kind == "multilabel" else labels[:, None] == np.arange(len(t.classes))
        counts = {c: int(positive[:, i].sum()) for i, c in enumerate(t.classes)}
        records.append(
            TaskRecord(
                t.name.split("/", 1)[1],
                t.title or t.name,
                t.kind,
                t.classes,
                t.metric,
                "the data set",
                {"test": counts},
            )
        )
    return DatasetRecord(
        name=name,
        title=name.upper(),
        modality="cfp",
        images=tasks[0].n * 4,
        patients=None,
        simulated="SYNTHETIC" in spec.stamps,
        split="official",
        split_fingerprint="5f" * 16,
        image_fingerprint="2b" * 16,
        label_fingerprint={t.name.split("/", 1)[1]: "1a" * 16 for t in tasks},
        cluster="patient_id" if tasks[0].eyes > 1 else None,
        paired_eyes=tasks[0].eyes > 1,
        licence="CC BY 4.0",
        redistributable=True,
        citation=f"@misc{{{_key(name)}, title = {{{name}}}}}",
        tasks=tuple(records),
    )


def typical(**changes: Any) -> FakeRun:
    """Five encoders on three tasks of one data set, one seed."""
    spec = FakeRun(
        encoders=(
            FakeEncoder("retfound_mae_cfp", 1.5, "RETFound (MAE, CFP)"),
            FakeEncoder("retfound_green", 1.7, "RETFound-Green"),
            FakeEncoder("deretfound", 1.6, "DERETFound"),
            FakeEncoder("mae_imagenet", 1.0, "MAE (ImageNet)"),
            FakeEncoder("untrained/resnet50", 0.35, "ResNet50, untrained", "UNTRAINED"),
        ),
        tasks=(
            FakeTask("idrid/referable", title="referable DR", n=300),
            FakeTask("idrid/any_dr", title="any DR", n=300, prevalence=(0.35, 0.65)),
            FakeTask("idrid/grade", title="DR grade", n=300, **ORDINAL),
        ),
        stamps="SYNTHETIC",
        title="Diabetic retinopathy, five encoders",
    )
    return dataclasses.replace(spec, **changes)
