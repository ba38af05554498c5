"""Running a plan: embed, compute cells, write the run's files, render the report.

Every result goes to the store the moment it exists, so a run that is killed loses at most the piece in flight,
and the same command carries on. The run's folder is written from the store at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import assemble
from .claims import claim, holder
from .deviation import measure_deviations
from .engines import EngineConfig, run_jobs
from .engines.shared import SharedPlan, share
from .errors import AuditError, BenchError
from .live import run_key
from .machine import git_commit, hardware, versions
from .passes import embed_all, embed_jobs, embed_request, prepare_all
from .plan import Cell, Plan
from .plugins import Registry
from .progress import reporting
from .results import AuditFinding, ImagePass, RunInfo, read_rows, to_json, write_predictions, write_rows
from .store import Artefact, Store, atomic_write, content_key
from .work import CellJob, Failure, Progress

if TYPE_CHECKING:
    from .cost import CostRow

log = logging.getLogger("benchbench")


@dataclass(frozen=True)
class Options:
    """How a plan is executed."""

    out: Path
    device: str = "cpu"
    command: str = ""
    engine: EngineConfig = field(default_factory=EngineConfig)
    fresh: bool = False
    """Measure cost again, whatever the store remembers."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    folder: Path
    report: Path
    failures: tuple[Failure, ...]
    computed: int
    cached: int
    info: RunInfo


def execute(plan: Plan, registry: Registry, store: Store, options: Options) -> Outcome:
    """Execute a plan and write the run's folder."""
    started = datetime.now(UTC)
    folder = new_folder(options.out / plan.suite.name, started)
    with claim(store, run_key(folder)), _logging_to(folder / "log.txt"):
        findings = _audit(plan)
        info = _start_info(plan, registry, options, started, findings)
        atomic_write(folder / "run.json", to_json(info).encode())
        clock: dict[str, float] = {}
        try:
            passes: list[ImagePass] = []
            with _announced(plan, store):
                artefacts, computed, failures = _compute(plan, store, options, clock, passes)
                deviations = measure_deviations(plan, store, options.device)
            info = dataclasses.replace(info, passes=tuple(passes), deviations=deviations)
            finished = _finish(plan, folder, info, artefacts, computed, failures, clock)
            with _timed(clock, "cost"):
                _write_cost(plan, store, options, folder, artefacts)
        except KeyboardInterrupt:
            stopped = dataclasses.replace(info, status="interrupted", finished=_stamp(datetime.now(UTC)))
            atomic_write(folder / "run.json", to_json(stopped).encode())
            raise
        info = finished
        report = _render(folder, registry, info, clock)
    _point_latest(folder)
    reasons = [Failure(plan.cells[i].name, reason) for i, reason in failures.items()]
    reasons += [Failure(*refusal) for refusal in assemble.refusals(plan, artefacts)]
    return Outcome(
        folder, report, tuple(reasons), info.cells.get("computed", 0), info.cells.get("cached", 0), info
    )


@contextlib.contextmanager
def _announced(plan: Plan, store: Store) -> Iterator[None]:
    """Say so when the same suite is being run elsewhere; both runs then share the work through the store."""
    key = content_key({"run": plan.suite.name, "cells": [c.id for c in plan.cells]})
    with claim(store, key, wait=False) as alone:
        if not alone:
            other = holder(store, key) or "another process"
            log.warning("The same suite is being run by %s. Both runs share the work.", other)
        yield


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_folder(parent: Path, moment: datetime) -> Path:
    """A fresh folder for a run, named by its start."""
    parent.mkdir(parents=True, exist_ok=True)
    base = moment.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        folder = parent / f"{base}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise BenchError("No free name for the run's folder.", where=str(parent))


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.DEBUG)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        clock[stage] = clock.get(stage, 0.0) + time.perf_counter() - started


def _audit(plan: Plan) -> tuple[AuditFinding, ...]:
    from .audit import audit

    loaded = [d.loaded for d in plan.survey.datasets.values() if d.loaded is not None]
    encoders = [e.info for e in plan.survey.encoders]
    findings = audit(loaded, encoders, tuple(plan.survey.tasks), crossings=plan.crossings)
    leaks = [f for f in findings if f.severity == "leak"]
    for finding in findings:
        log.info("audit, %s: %s", finding.severity, finding.message)
    if leaks and plan.suite.suite.audit == "strict":
        raise AuditError(
            f"The audit found {len(leaks)} leak(s), and the suite says audit: strict.",
            where=str(plan.suite.path),
            details=[f.message for f in leaks],
            fix="choose another split, or say audit: report to run all the same and show the leak",
        )
    return findings


def _start_info(
    plan: Plan, registry: Registry, options: Options, started: datetime, findings: tuple[AuditFinding, ...]
) -> RunInfo:
    survey = plan.survey
    infos = [d.info for d in survey.datasets.values()]
    return RunInfo(
        suite=plan.suite.name,
        title=plan.suite.suite.title,
        question=plan.suite.suite.question,
        statistics=assemble.statistics_record(plan),
        suite_resolved=assemble.suite_resolved(plan),
        command=options.command or shlex.join(["bench", *sys.argv[1:]]),
        started=_stamp(started),
        finished="",
        status="running",
        versions=versions(),
        hardware=hardware(options.device),
        git_commit=git_commit(Path(__file__).parent),
        plugins=tuple((p.origin.distribution, p.origin.version) for p in registry.loaded),
        datasets=tuple(assemble.dataset_record(survey, d) for d in survey.datasets.values()),
        encoders=tuple(assemble.encoder_record(e, infos) for e in survey.encoders),
        protocols=assemble.protocol_records(plan),
        audit=findings,
        demo=plan.demo,
    )


def _compute(
    plan: Plan, store: Store, options: Options, clock: dict[str, float], passes: list[ImagePass]
) -> tuple[dict[str, Artefact], int, dict[int, str]]:
    """Artefacts by cell id, how many of them were computed here, and reasons of failure by position in the plan.

    Passes over images go into `passes`.
    """
    todo = [(i, c) for i, c in enumerate(plan.cells) if c.status == "run"]
    artefacts: dict[str, Artefact] = {}
    failures: dict[int, str] = {}
    computed = 0
    for cell in plan.cells:
        if cell.status == "cached":
            found = store.find("predictions", cell.id)
            if found is not None:
                artefacts[cell.id] = found
    if todo:
        with _timed(clock, "prepare"), reporting("preparing images") as progress:
            prepare_all([c for _, c in todo], plan.survey, store, progress, passes)
        if options.engine.name != "local":
            with _timed(clock, "embed"), reporting("embedding, in parts") as progress:
                _embed_on_workers(plan, [c for _, c in todo], store, options, progress)
        with _timed(clock, "embed"), reporting("embedding") as progress:
            lost = embed_all([c for _, c in todo], plan.survey, store, options.device, progress, passes)
        with _timed(clock, "cells"), reporting("cells") as progress:
            ready: list[int] = []
            for position, cell in todo:
                if reason := _lost_reason(cell, lost):
                    failures[position] = reason
                else:
                    ready.append(position)
            jobs = cell_jobs(plan, ready, store, options)
            for done, (index, result) in enumerate(run_jobs(options.engine, jobs)):
                position = ready[index]
                if isinstance(result, Failure):
                    failures[position] = result.reason
                else:
                    artefacts[plan.cells[position].id] = result.artefact
                    computed += result.computed
                progress(done + 1, len(ready), plan.cells[position].name)
    return artefacts, computed, failures


def _embed_on_workers(
    plan: Plan, cells: list[Cell], store: Store, options: Options, progress: Progress
) -> None:
    """Let the workers compute parts; publishing them, and whatever failed, is left to the caller."""
    workers = max(2, options.engine.jobs)
    jobs = embed_jobs(share(plan, store), cells, plan.survey, store, options.device, workers)
    for done, (index, problem) in enumerate(run_jobs(options.engine, jobs)):
        progress(done + 1, len(jobs), problem.splitlines()[0] if problem else jobs[index].dataset)


def cell_jobs(plan: Plan, positions: list[int], store: Store, options: Options) -> list[CellJob]:
    """One job per cell; workers elsewhere get the plan through the store."""
    source: Plan | SharedPlan = plan if options.engine.name == "local" else share(plan, store)
    return [CellJob(source, i, store.root, options.device) for i in positions]


def _lost_reason(cell: Cell, lost: Mapping[str, str]) -> str:
    if cell.protocol.info.needs != "embeddings":
        return ""
    for name in cell.spec.tasks:
        reason = lost.get(f"{cell.encoder.label}/{name.rpartition('/')[0]}")
        if reason:
            return reason
    return ""


def _write_cost(
    plan: Plan, store: Store, options: Options, folder: Path, artefacts: Mapping[str, Artefact]
) -> None:
    """cost.csv: what the suite asks to be measured, and what the protocols took."""
    from .cost import protocol_rows, write_cost

    rows = [*_measured_cost(plan, store, options)]
    rows += protocol_rows(read_rows(folder / "rows.csv"), assemble.cell_records(artefacts))
    if rows:
        write_cost(folder / "cost.csv", rows)


def _measured_cost(plan: Plan, store: Store, options: Options) -> tuple[CostRow, ...]:
    config = plan.suite.suite.cost
    if config.measure == "off":
        return ()
    from .cost import measure_encoders

    with reporting("measuring cost") as progress:
        return measure_encoders(
            [embed_request(e) for e in plan.survey.encoders],
            config,
            store=store,
            device=options.device,
            fresh=options.fresh,
            labels=[e.label for e in plan.survey.encoders],
            progress=progress,
        )


def _finish(
    plan: Plan,
    folder: Path,
    info: RunInfo,
    artefacts: Mapping[str, Artefact],
    computed: int,
    failures: Mapping[int, str],
    clock: Mapping[str, float],
) -> RunInfo:
    rows = assemble.build_rows(plan, artefacts, failures)
    write_rows(folder / "rows.csv", rows)
    write_predictions(folder / "predictions.parquet", assemble.build_predictions(plan, artefacts))
    atomic_write(folder / "timings.csv", assemble.build_timings(plan, artefacts).encode())
    assemble.write_split_files(plan, folder / "splits")
    if plan.suite.source.text:
        atomic_write(folder / "suite.yaml", plan.suite.source.text.encode())
    done = sum(c.id in artefacts for c in plan.cells)
    info = dataclasses.replace(
        info,
        finished=_stamp(datetime.now(UTC)),
        status="failed" if failures or assemble.refusals(plan, artefacts) else "done",
        timings={k: round(v, 3) for k, v in clock.items()},
        cells={
            "computed": computed,
            "cached": done - computed,
            "failed": len(failures),
            "missing": plan.count("missing"),
        },
    )
    atomic_write(folder / "run.json", to_json(info).encode())
    return info


def _render(folder: Path, registry: Registry, info: RunInfo, clock: dict[str, float]) -> Path:
    from .report import write_report

    with _timed(clock, "report"):
        report = write_report(folder, sections=registry.sections)
    timed = dataclasses.replace(info, timings={k: round(v, 3) for k, v in clock.items()})
    atomic_write(folder / "run.json", to_json(timed).encode())
    return report


def _point_latest(folder: Path) -> None:
    link = folder.parent / "latest"
    temporary = folder.parent / f".latest-{os.getpid()}"
    with contextlib.suppress(OSError):  # file systems without symbolic links
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name)
        os.replace(temporary, link)
