"""From a plan and the store to the files of a run: rows, predictions and run.json's records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import DatasetInfo, EncoderInfo
from .contamination import contamination
from .origin import plugin_identity
from .plan import Cell, Plan
from .results import DatasetRecord, EncoderRecord, ProtocolRecord, Row, TaskRecord
from .store import Artefact
from .survey import DatasetState, EncoderState, Survey

if TYPE_CHECKING:
    import pandas as pd


def build_rows(plan: Plan, artefacts: Mapping[str, Artefact], failures: Mapping[int, str]) -> tuple[Row, ...]:
    """One row per cell and target, in plan order. `failures` maps a cell's position to its reason."""
    rows: list[Row] = []
    for position, cell in enumerate(plan.cells):
        artefact = artefacts.get(cell.id)
        record = _read_record(artefact) if artefact else None
        reason = failures.get(position, cell.reason if cell.status == "missing" else "")
        refused = record.get("refused", {}) if record else {}
        for target in cell.spec.targets:
            found = None if target in refused else record
            rows.append(_row(plan, cell, target, found, refused.get(target, reason)))
    return tuple(rows)


def refusals(plan: Plan, artefacts: Mapping[str, Artefact]) -> list[tuple[str, str]]:
    """(cell and target, why) of every target that a finished cell gave no predictions for."""
    found = []
    for cell in plan.cells:
        if cell.id in artefacts:
            record = _read_record(artefacts[cell.id])
            found += [(f"{cell.name}, judged on {t}", why) for t, why in record.get("refused", {}).items()]
    return found


def _row(plan: Plan, cell: Cell, target: str, record: Mapping[str, Any] | None, reason: str) -> Row:
    survey = plan.survey
    dataset = target.rpartition("/")[0]
    loaded = survey.datasets[dataset].loaded
    task = survey.task(target)
    return Row(
        suite=plan.suite.name,
        cell_id=cell.id,
        status="done" if record else ("missing" if cell.status == "missing" else "failed"),
        reason=reason,
        encoder=cell.encoder.label,
        weights_sha256=cell.encoder.weights.sha256,
        weights_status=cell.encoder.weights.status,
        preprocess=cell.encoder.info.preprocess.name,
        pooling=cell.encoder.info.pooling,
        precision=cell.encoder.precision,
        dataset=dataset,
        task=target,
        kind=task.kind,
        metric=survey.metric(target),
        source_task=cell.spec.task,
        protocol=cell.protocol.label,
        protocol_kind=cell.protocol.info.name,
        config=json.dumps(cell.protocol.settings, sort_keys=True),
        deterministic=not cell.protocol.info.stochastic,
        seed=cell.seed,
        axes=json.dumps(dict(cell.spec.axes), sort_keys=True),
        split_fingerprint=loaded.split_fingerprint if loaded else "",
        label_fingerprint=loaded.label_fingerprint(task) if loaded else "",
        n_train=record["n_train"] if record else 0,
        n_validation=record["n_validation"] if record else 0,
        n_test=record["n_test"][target] if record else 0,
        stamps=" ".join(stamps(plan, cell, target)),
        device=record["device"] if record else "",
        details=json.dumps(record["details"] if record else {}, sort_keys=True),
    )


def stamps(plan: Plan, cell: Cell, target: str) -> list[str]:
    """Everything that a reader must know before believing a number of this cell."""
    found = []
    names = {n.rpartition("/")[0] for n in (*cell.spec.sources, target)}
    if any((d := plan.survey.datasets[n].loaded) is not None and d.simulated for n in names):
        found.append("SYNTHETIC")
    if cell.encoder.weights.status == "untrained":
        found.append("UNTRAINED")
    if plan.demo:
        found.append("DEMO")
    if cell.encoder.weights.status == "unknown":
        found.append("UNKNOWN_WEIGHTS")
    judged_on = plan.survey.datasets[target.rpartition("/")[0]].info
    if contamination(cell.encoder.info, judged_on)[0] == "in pretraining":
        found.append("CONTAMINATED")
    return found


def build_predictions(plan: Plan, artefacts: Mapping[str, Artefact]) -> pd.DataFrame:
    """Predictions of all finished cells, in plan order."""
    import pandas as pd

    from .results import PREDICTION_COLUMNS

    found = dict.fromkeys(c.id for c in plan.cells if c.id in artefacts)
    frames = [pd.read_parquet(artefacts[i].sound("predictions.parquet")) for i in found]
    if not frames:
        return pd.DataFrame({c: [] for c in PREDICTION_COLUMNS})
    return pd.concat(frames, ignore_index=True)


def build_timings(plan: Plan, artefacts: Mapping[str, Artefact]) -> str:
    """timings.csv as text."""
    lines = ["cell_id,stage,seconds"]
    records = cell_records(artefacts)
    for cell in plan.cells:
        if record := records.get(cell.id):
            lines += [f"{cell.id},{stage},{value:.6f}" for stage, value in record["timings"].items()]
    return "\n".join(lines) + "\n"


def cell_records(artefacts: Mapping[str, Artefact]) -> dict[str, dict[str, Any]]:
    """What was recorded of each finished cell (`work.cell_record`), by cell id."""
    return {key: _read_record(a) for key, a in artefacts.items()}


def _read_record(artefact: Artefact) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(artefact.sound("cell.json").read_bytes())
    return record


def dataset_record(survey: Survey, state: DatasetState) -> DatasetRecord:
    """What run.json says of a dataset."""
    info, data = state.info, state.loaded
    names = [n.rpartition("/")[2] for n in survey.tasks if n.rpartition("/")[0] == state.name]
    listed = [
        t for t in info.tasks if t.name in names or (t.kind == "binary" and _has_multilabel(info, names))
    ]
    tasks = tuple(
        TaskRecord(
            t.name,
            t.title,
            t.kind,
            t.classes,
            survey.metric(f"{state.name}/{t.name}"),
            t.provenance,
            data.counts(t) if data else {},
        )
        for t in listed
    )
    return DatasetRecord(
        name=state.name,
        title=info.title,
        modality=info.modality,
        images=len(data.frame) if data else 0,
        patients=data.patients if data else None,
        simulated=bool(data and data.simulated),
        split=str(data.split) if data else "",
        split_fingerprint=data.split_fingerprint if data else "",
        image_fingerprint=data.image_fingerprint if data else "",
        label_fingerprint={t.name: data.label_fingerprint(t) for t in listed} if data else {},
        cluster=info.cluster,
        paired_eyes=info.paired_eyes,
        licence=info.access.licence,
        redistributable=info.access.redistributable,
        citation=info.citation,
        tasks=tasks,
        notes=tuple(data.notes) if data else tuple(state.problem.splitlines()[:1]),
    )


def _has_multilabel(info: Any, names: Iterable[str]) -> bool:
    return any(info.task(n).kind == "multilabel" for n in names)


def encoder_record(state: EncoderState, datasets: Iterable[DatasetInfo]) -> EncoderRecord:
    """What run.json says of an encoder; `datasets` are those of the run, of which it says what was seen before."""
    info = state.info
    known = {d.name: contamination(info, d) for d in datasets}
    return EncoderRecord(
        name=state.label,
        title=info.title,
        architecture=info.architecture,
        embed_dim=info.embed_dim,
        parameters=info.parameters,
        preprocess=describe_preprocess(info),
        pooling=info.pooling,
        precision=state.precision,
        licence=info.licence,
        citation=info.citation,
        weights_status=state.weights.status,
        weights_sha256=state.weights.sha256,
        pretraining=tuple((p.name, p.images, p.source) for p in info.pretraining),
        seen=tuple((name, why) for name, (status, why) in known.items() if status == "in pretraining"),
        declared_clean=tuple(name for name, (status, _) in known.items() if status == "declared clean"),
        gpu_days=info.compute.gpu_days if info.compute else None,
        hardware=info.compute.hardware if info.compute else "",
        compute_source=info.compute.source if info.compute else "",
    )


def describe_preprocess(info: EncoderInfo) -> str:
    """A preprocess in one line."""
    p = info.preprocess
    crop = "" if p.crop == "none" else f"crop {p.crop}, "
    shape = {
        "squash": f"resize to {p.size} x {p.size} whatever the aspect",
        "short_side": f"resize the shorter side to {p.resize_to or p.size}, centre crop {p.size}",
        "fit_pad": f"resize the longer side to {p.size}, pad",
    }[p.resize]
    norm = "each image's own mean and SD" if p.normalise == "per_image" else f"mean {p.mean}, SD {p.std}"
    decode = {"exact": "", "fast": ", scaled JPEG decode", "reference": ", the official code's pixels"}[
        p.decode
    ]
    return f"{p.name}: {crop}{shape} ({p.interpolation}, {p.resizer}), {norm}{decode}"


def protocol_records(plan: Plan) -> tuple[ProtocolRecord, ...]:
    """What run.json says of the protocols."""
    return tuple(
        ProtocolRecord(
            p.label,
            p.info.name,
            p.info.title,
            p.info.description,
            p.settings,
            not p.info.stochastic,
            p.info.version,
            " ".join(plugin_identity(p.info.origin).get("plugin", ())[:2]),
        )
        for p in plan.protocols
    )


def suite_resolved(plan: Plan) -> dict[str, Any]:
    """The suite with defaults filled in, as plain values."""
    dumped: dict[str, Any] = plan.suite.suite.model_dump(mode="json")
    return dumped


def write_split_files(plan: Plan, folder: Path) -> None:
    """splits/<dataset>.csv: the exact split of every image, beside its fingerprint in run.json."""
    from .store import atomic_write

    for state in plan.survey.datasets.values():
        if state.loaded is not None:
            frame = state.loaded.frame[["image_id", "split"]]
            text = frame.to_csv(index=False, lineterminator="\n")
            atomic_write(folder / f"{state.name.replace('/', '__')}.csv", text.encode())


def statistics_record(plan: Plan) -> dict[str, Any]:
    """The declared statistics; "all" or {"reference": name} under ``comparisons``."""
    dumped: dict[str, Any] = plan.suite.suite.statistics.model_dump(mode="json")
    return dumped
