"""Every shipped suite's shape gives a whole report: protocols, tasks, metrics, axes and seeds, with made-up scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.analysis import Analysis, analyse
from benchbench.cli import main
from benchbench.plan import resolve_protocols
from benchbench.plugins import registry
from benchbench.report import write_report
from benchbench.results import read_run
from benchbench.suite import SuiteFile, load_suite, shipped_suites

from .builder import FakeCell, FakeEncoder, FakeRun, FakeTask, write_run

SUITES = shipped_suites()
MOST_ENCODERS = 2
REPLICATES = {"oct_signatures": 8, "retfound_nature": 9, "retfound_green_paper": 40, "transfer_dr": 6}
"""Suites that repeat what was published, and how many published numbers must stand beside theirs at least."""


def shape(path: Path) -> FakeRun:
    """The run that a suite would give, with its first two encoders and one image set per task."""
    file = load_suite(path)
    encoders = [e.name for e in file.suite.encoders][:MOST_ENCODERS]
    found = {use.task: registry().task(use.task) for use in file.suite.tasks}
    metrics = {use.task: use.metric for use in file.suite.tasks}
    tasks = [
        FakeTask(
            name,
            task.kind,
            n=40,
            classes=task.classes,
            prevalence=_prevalence(task.kind, len(task.classes)),
            metric=metrics[name] or task.metric,
            title=task.title,
            eyes=2 if info.paired_eyes else 1,
        )
        for name, (info, task) in found.items()
    ]
    cells = _cells(file, encoders, {name: task for name, (_, task) in found.items()})
    made = [FakeEncoder(e, 1.0 + 0.3 * i, e) for i, e in enumerate(encoders)]
    labels = list(dict.fromkeys(c.protocol for c in cells))
    statistics = {"comparisons": "all", "alpha": 0.05}
    return FakeRun(made, tasks, labels, stamps="SYNTHETIC", cells=cells, statistics=statistics)


def _prevalence(kind: str, classes: int) -> tuple[float, ...]:
    return (0.3,) * classes if kind == "multilabel" else (1 / classes,) * classes


def _cells(file: SuiteFile, encoders: list[str], tasks: dict[str, object]) -> list[FakeCell]:
    cells = []
    for plan in resolve_protocols(file, registry().protocol, demo=True):
        use = plan.use
        chosen = tuple((n, t) for n, t in tasks.items() if use.tasks is None or n in use.tasks)
        named = [e for e in encoders if use.encoders is None or e in use.encoders]
        for spec in plan.info.cells(chosen, plan.config):
            for encoder in named:
                for target in spec.targets:
                    for seed in plan.seeds:
                        axes = dict(spec.axes)
                        cells.append(
                            FakeCell(encoder, target, spec.task, plan.label, plan.info.name, axes, seed)
                        )
    return cells


@pytest.mark.parametrize("path", SUITES, ids=[p.stem for p in SUITES])
def test_the_shape_of_a_shipped_suite_gives_a_report_without_a_hole(path: Path, tmp_path: Path) -> None:
    spec = shape(path)
    page = write_report(write_run(tmp_path, spec)).read_text(encoding="utf-8")
    assert "could not be" not in page
    if spec.tasks:
        analysis = analyse(read_run(tmp_path))
        paired = [v for v in analysis.published if v.measured is not None]
        assert len(paired) >= REPLICATES.get(path.stem, 0)
        assert shown(analysis) == {
            (c.task, c.source, c.protocol) for c in spec.cells if "left_out" not in c.axes
        }


def shown(analysis: Analysis) -> set[tuple[str, str, str]]:
    """(task, trained on, protocol) of the panels, those that leave one data set out aside."""
    return {(p.task, p.source_task, p.protocol) for p in analysis.panels if "left_out" not in dict(p.axes)}


@pytest.mark.slow
def test_the_smoke_suite_runs_and_reports(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "smoke", "--out", str(tmp_path)])
    assert ended.value.code == 0
    page = (tmp_path / "smoke" / "latest" / "report.html").read_text(encoding="utf-8")
    assert "could not be" not in page
