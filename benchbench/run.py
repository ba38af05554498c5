"""Running a plan: embed, compute cells, write the run's files, render the report.

Every result goes to the store the moment it exists, so a run that is killed loses at most the piece in flight,
and the same command carries on. The run's folder is written from the store at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import assemble
from .claims import claim, holder
from .deviation import measure_deviations
from .engines import Engine, EngineConfig
from .engines.shared import SharedPlan, share
from .errors import AuditError, BenchError
from .live import run_key
from .logs import RunLog
from .machine import git_commit, hardware, peak_memory_mib, versions
from .passes import PrepareJob, PublishJob, embed_all, embed_jobs, needed_images, prepare_all
from .plan import Cell, Plan
from .plugins import Registry
from .progress import reporting
from .results import (
    AuditFinding,
    Deviation,
    ImagePass,
    RunInfo,
    to_json,
    write_predictions,
    write_rows,
)
from .run_cost import write_run_cost
from .store import Artefact, Store, atomic_write, content_key
from .work import Busy, CellJob, Failure, Progress, Success, threads_for

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
    log_file = (folder / "log.txt").absolute()  # workers have working directories of their own
    with (
        RunLog(log_file).attached(),
        claim(store, run_key(folder), wait=False),
        Engine(options.engine, log_file) as engine,
    ):
        record = _Record(folder, _start_info(plan, registry, options, started))
        log.debug("process %d on %s: %s", record.info.process, record.info.host, record.info.command)
        with record.until_the_end():
            stages = _Stages()
            with stages.timed("audit"):
                record.update(audit=_audit(plan))
            with _announced(plan, store):
                results = _compute(plan, store, engine, options, record, stages)
                results.deviations = measure_deviations(plan, store, options.device, engine.where_the_work_is)
            _write_results(plan, folder, results)
            with stages.timed("cost"):
                write_run_cost(
                    plan, store, engine, folder, results.artefacts, device=options.device, fresh=options.fresh
                )
            _finish(plan, record, results, stages, engine)
            report = _render(folder, registry, record, stages)
    _point_latest(folder)
    reasons = [Failure(plan.cells[i].name, reason) for i, reason in results.failures.items()]
    reasons += [Failure(*refusal) for refusal in assemble.refusals(plan, results.artefacts)]
    cells = record.info.cells
    return Outcome(
        folder, report, tuple(reasons), cells.get("computed", 0), cells.get("cached", 0), record.info
    )


class _Record:
    """run.json, kept true at every moment of a run's life."""

    def __init__(self, folder: Path, info: RunInfo) -> None:
        self.folder, self.info = folder, info
        self.update()

    def update(self, **changes: Any) -> None:
        """Change some fields and write the file."""
        self.info = dataclasses.replace(self.info, **changes)
        atomic_write(self.folder / "run.json", to_json(self.info).encode())

    @contextlib.contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Say how the run ended, whatever ends it."""
        try:
            yield
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            log.debug("the run ends: %s", status, exc_info=error)
            with contextlib.suppress(OSError):  # a full disk is told by the error itself
                self.update(status=status, finished=_stamp(datetime.now(UTC)))
            raise


class _Stages:
    """Seconds of every stage, and the largest resident memory of this process by its end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory_mib: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 3)
            if peak := peak_memory_mib():
                self.memory_mib[stage] = peak
                log.debug("%s: %.1f s, peak memory so far %.0f MiB", stage, self.seconds[stage], peak)


@dataclass
class _Results:
    """What the cells came to."""

    artefacts: dict[str, Artefact] = field(default_factory=dict)
    """By cell id."""
    failures: dict[int, str] = field(default_factory=dict)
    """Reasons by position in the plan."""
    computed: int = 0
    """Cells that this run computed; the others with an artefact came from the store, or from another process."""
    passes: list[ImagePass] = field(default_factory=list)
    """Passes over images."""
    deviations: tuple[Deviation, ...] = ()


def suite_key(plan: Plan) -> str:
    """Name of the claim that a run of a suite holds while it computes."""
    return content_key({"run": plan.suite.name, "cells": [c.id for c in plan.cells]})


@contextlib.contextmanager
def _announced(plan: Plan, store: Store) -> Iterator[None]:
    """Say so when the same suite is being run elsewhere; both runs then share the work through the store."""
    key = suite_key(plan)
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


def _audit(plan: Plan) -> tuple[AuditFinding, ...]:
    from .audit import audit

    loaded = [d.loaded for d in plan.survey.datasets.values() if d.loaded is not None]
    encoders = [e.info for e in plan.survey.encoders]
    log.debug("the audit compares %d images", sum(len(d) for d in loaded))
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


def _start_info(plan: Plan, registry: Registry, options: Options, started: datetime) -> RunInfo:
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
        hardware=_hardware(options),
        git_commit=git_commit(Path(__file__).parent),
        plugins=tuple((p.origin.distribution, p.origin.version) for p in registry.loaded),
        datasets=tuple(assemble.dataset_record(survey, d) for d in survey.datasets.values()),
        encoders=tuple(assemble.encoder_record(e, infos) for e in survey.encoders),
        protocols=assemble.protocol_records(plan),
        demo=plan.demo,
        host=socket.gethostname(),
        process=os.getpid(),
    )


def _hardware(options: Options) -> dict[str, str]:
    if options.engine.name == "dask":  # known when a worker is there
        return {**hardware(), "device": f"{options.device}, on the workers"}
    return hardware(options.device)


def _compute(
    plan: Plan, store: Store, engine: Engine, options: Options, record: _Record, stages: _Stages
) -> _Results:
    """Embed what is needed, then compute the cells that are not in the store."""
    results = _Results()
    todo: list[int] = []
    for position, cell in enumerate(plan.cells):
        found = store.find("predictions", cell.id) if cell.status == "cached" else None
        if found is not None:
            results.artefacts[cell.id] = found
        elif cell.status != "missing":
            todo.append(position)
    if not todo:
        return results
    place = engine.hardware(options.device)
    record.update(hardware=place)
    source: Plan | SharedPlan = plan if engine.here else share(plan, store)
    device = place["device"]
    cells = [plan.cells[i] for i in todo]
    if needed_images(cells):
        with stages.timed("prepare"), reporting("preparing images") as progress:
            if engine.config.name == "dask":
                assert isinstance(source, SharedPlan), "its work is done elsewhere"
                results.passes += engine.one(PrepareJob(source, tuple(todo), store.root))
            else:
                prepare_all(cells, plan.survey, store, progress, results.passes)
    with stages.timed("embed"), reporting("embedding") as progress:
        if isinstance(source, Plan) or engine.divides_cores(device):
            lost = embed_all(cells, plan.survey, store, device, progress, results.passes)
        else:
            lost, passes = _embed_on_workers(plan, todo, source, store, engine, device, progress)
            results.passes += passes
    with stages.timed("cells"), reporting("cells") as progress:
        ready = []
        for position in todo:
            if reason := _lost_reason(plan.cells[position], lost):
                results.failures[position] = reason
            else:
                ready.append(position)
        _compute_cells(plan, ready, source, store, engine, device, results, progress)
    return results


def _compute_cells(
    plan: Plan,
    ready: list[int],
    source: Plan | SharedPlan,
    store: Store,
    engine: Engine,
    device: str,
    results: _Results,
    progress: Progress,
) -> None:
    """Compute cells; those that another process is busy with come last, when most of them are done."""
    done = 0
    busy: list[int] = []
    for wait, positions in ((False, ready), (True, busy)):
        greedy = {i for i in positions if engine.divides_cores(device) and threads_for(plan.cells[i]) > 1}
        for position, result in itertools.chain(
            _run_cells([i for i in positions if i not in greedy], source, engine, store, device, wait),
            _run_cells(sorted(greedy), plan, Engine(EngineConfig()), store, device, wait),
        ):
            cell = plan.cells[position]
            if isinstance(result, Busy):
                log.info("%s is being computed by %s: it is looked at again later", cell.name, result.holder)
                busy.append(position)
                continue
            if isinstance(result, Failure):
                results.failures[position] = result.reason
            else:
                results.artefacts[cell.id] = result.artefact
                results.computed += result.computed
            done += 1
            progress(done, len(ready), cell.name)


def _run_cells(
    positions: list[int], source: Plan | SharedPlan, engine: Engine, store: Store, device: str, wait: bool
) -> Iterator[tuple[int, Success | Failure | Busy]]:
    """(position, result) of each cell as it ends."""
    jobs = [CellJob(source, i, store.root, device, wait) for i in positions]
    for index, result in engine.run(jobs):
        yield positions[index], result


def _embed_on_workers(
    plan: Plan,
    todo: list[int],
    source: SharedPlan,
    store: Store,
    engine: Engine,
    device: str,
    progress: Progress,
) -> tuple[dict[str, str], list[ImagePass]]:
    """Let the workers compute parts, then one of them publish them; the failures as of `embed_all`, and its passes."""
    cells = [plan.cells[i] for i in todo]
    jobs = embed_jobs(source, cells, plan.survey, store, device, engine.workers)
    for done, (index, problem) in enumerate(engine.run(jobs)):
        progress(done + 1, len(jobs), problem.splitlines()[0] if problem else jobs[index].dataset)
    lost, passes = engine.one(PublishJob(source, tuple(todo), store.root, device))
    return lost, passes


def _lost_reason(cell: Cell, lost: Mapping[str, str]) -> str:
    if cell.protocol.info.needs != "embeddings":
        return ""
    for name in cell.spec.tasks:
        reason = lost.get(f"{cell.encoder.label}/{name.rpartition('/')[0]}")
        if reason:
            return reason
    return ""


def _write_results(plan: Plan, folder: Path, results: _Results) -> None:
    artefacts = results.artefacts
    write_rows(folder / "rows.csv", assemble.build_rows(plan, artefacts, results.failures))
    write_predictions(folder / "predictions.parquet", assemble.build_predictions(plan, artefacts))
    atomic_write(folder / "timings.csv", assemble.build_timings(plan, artefacts).encode())
    assemble.write_split_files(plan, folder / "splits")
    if plan.suite.source.text:
        atomic_write(folder / "suite.yaml", plan.suite.source.text.encode())


def _finish(plan: Plan, record: _Record, results: _Results, stages: _Stages, engine: Engine) -> None:
    artefacts, failures = results.artefacts, results.failures
    done = sum(c.id in artefacts for c in plan.cells)
    record.update(
        finished=_stamp(datetime.now(UTC)),
        status="failed" if failures or assemble.refusals(plan, artefacts) else "done",
        passes=tuple(results.passes),
        deviations=results.deviations,
        timings=stages.seconds,
        memory_mib=stages.memory_mib,
        workers_mib=engine.workers_mib,
        cells={
            "computed": results.computed,
            "cached": done - results.computed,
            "failed": len(failures),
            "missing": plan.count("missing"),
        },
    )


def _render(folder: Path, registry: Registry, record: _Record, stages: _Stages) -> Path:
    from .report import write_report

    with stages.timed("report"):
        report = write_report(folder, sections=registry.sections)
    record.update(timings=stages.seconds, memory_mib=stages.memory_mib)
    return report


def _point_latest(folder: Path) -> None:
    link = folder.parent / "latest"
    temporary = folder.parent / f".latest-{os.getpid()}"
    with contextlib.suppress(OSError):  # file systems without symbolic links
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name)
        os.replace(temporary, link)
