"""A section or figure that fails is named with its reason, and costs nothing else; odd runs give whole pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.analysis import analyse
from benchbench.analysis.model import EfficiencyCurve
from benchbench.report import write_report
from benchbench.report.figures import across
from benchbench.results import read_run

from .builder import ORDINAL, FakeCell, FakeRun, FakeTask, typical, write_run
from .test_write_report import Page

REST = {"verdict", "headline", "task-1", "audit", "methods", "provenance", "files"}


def fractions(**changes: object) -> FakeRun:
    """Three encoders with a tenth, a third and all of the labels."""
    axes = ({}, {"fraction": "0.1"}, {"fraction": "0.3"})
    return typical(encoders=typical().encoders[:3], tasks=typical().tasks[:1], axes=axes, **changes)


def test_a_section_that_fails_is_named_and_the_others_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: EfficiencyCurve, fraction: float) -> None:
        raise ZeroDivisionError("no <b>share</b>")

    monkeypatch.setattr(EfficiencyCurve, "at", fail)
    html = write_report(write_run(tmp_path, fractions())).read_text(encoding="utf-8")
    page = Page(html)
    assert page.ids.count("efficiency") == 1
    assert "This section could not be made. ZeroDivisionError: no <b>share</b>" in " ".join(page.text.split())
    assert "&lt;b&gt;share" in html
    assert set(page.ids) >= REST


def test_a_figure_that_fails_is_named_where_it_would_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(across, "efficiency", fail)
    folder = write_run(tmp_path, fractions())
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "This figure could not be drawn: ValueError: no ink." in page.text
    assert set(page.ids) >= REST | {"efficiency"}
    assert (folder / "figures" / "overview-1.svg").is_file()
    assert not (folder / "figures" / "efficiency-1.svg").exists()


def test_protocols_that_share_no_encoder_are_not_set_against_each_other(tmp_path: Path) -> None:
    names = [e.name for e in typical().encoders]
    task = typical().tasks[0].name
    cells = [FakeCell(n, task, task, p) for p, some in (("a", names[:2]), ("b", names[2:])) for n in some]
    folder = write_run(tmp_path, typical(tasks=typical().tasks[:1], protocols=("a", "b"), cells=cells))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "protocols" not in page.ids
    assert "could not be" not in page.text
    assert set(page.ids) >= REST


def test_a_share_of_the_labels_that_failed_leaves_a_dash(tmp_path: Path) -> None:
    spec = fractions()
    cells = [
        c for c in spec.all_cells() if not (c.encoder == "deretfound" and c.axes.get("fraction") == "0.3")
    ]
    folder = write_run(tmp_path, fractions(cells=cells))
    curve = next(c for c in analyse(read_run(folder)).efficiency if c.encoder == "deretfound")
    assert curve.at(0.3) is None
    assert curve.at(0.1) is not None
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "could not be" not in page.text
    assert "efficiency" in page.ids


def test_transfer_of_two_metrics_has_two_headings_and_scales_of_its_own(tmp_path: Path) -> None:
    tasks = (
        FakeTask("one/referable", n=80, title="Referable"),
        FakeTask("two/referable", n=80, title="Referable"),
        FakeTask("one/grade", n=80, **ORDINAL),
        FakeTask("two/grade", n=80, **ORDINAL),
    )
    folder = write_run(tmp_path, typical(encoders=typical().encoders[:2], tasks=tasks, transfer=True))
    text = " ".join(Page(write_report(folder).read_text(encoding="utf-8")).text.split())
    assert "Linear probe, AUROC " in text
    assert "Linear probe, quadratic-weighted kappa " in text
    for matrix in analyse(read_run(folder)).transfer:
        grade = any("grade" in t.lower() for t in matrix.targets)
        assert matrix.metric == ("quadratic_kappa" if grade else "auroc")
