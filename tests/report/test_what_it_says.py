"""Sentences, captions and numbers of the report agree with each other and say what is left out."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from pathlib import Path

from benchbench.analysis import analyse
from benchbench.report import write_report
from benchbench.report.figures import draw_all
from benchbench.report.text import distinct
from benchbench.results import read_run

from .builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, typical, write_run
from .test_write_report import Page


def flat(page: Page) -> str:
    return " ".join(page.text.split())


def test_a_figure_carries_the_areas_of_the_table(tmp_path: Path) -> None:
    analysis = analyse(read_run(write_run(tmp_path, typical())))
    for panel in analysis.panels:
        for view in panel.views:
            if panel.kind == "binary":
                assert view.roc[0].summary == panel.estimate(view.encoder).value
            else:
                assert [c.summary for c in view.roc] == [c.auroc for c in view.classes]


def test_a_class_with_few_cases_has_no_area_in_the_figure_either(tmp_path: Path) -> None:
    spec = typical(
        tasks=(FakeTask("d/grade", n=60, **{**ORDINAL, "prevalence": (0.5, 0.05, 0.25, 0.15, 0.05)}),)
    )
    analysis = analyse(read_run(write_run(tmp_path, spec)))
    (lint,) = [found for found in analysis.lints if found.code == "low_support"]
    assert "mild" in lint.message
    drawing = draw_all(analysis)[f"curves-{analysis.panels[0].id}"]
    assert "severe 0." in drawing.alt or "moderate 0." in drawing.alt
    assert not re.findall(r"mild \d", drawing.alt)


def test_the_caption_says_over_what_the_band_was_drawn(tmp_path: Path) -> None:
    for eyes, word in ((1, "over images"), (2, "over patients")):
        spec = typical(tasks=(FakeTask("d/t", n=80, eyes=eyes),))
        analysis = analyse(read_run(write_run(tmp_path / word, spec)))
        caption = draw_all(analysis)[f"curves-{analysis.panels[0].id}"].caption
        assert f"bootstrap band {word}" in caption


def test_tasks_of_several_classes_have_precision_and_calibration_too(tmp_path: Path) -> None:
    analysis = analyse(read_run(write_run(tmp_path, typical(tasks=typical().tasks[2:]))))
    figures = draw_all(analysis)
    panel = analysis.panels[0]
    assert len(figures[f"recall-{panel.id}"].plots) == len(panel.classes)
    assert "calibration error" in figures[f"calibration-{panel.id}"].alt


def test_headings_never_skip_a_level(rendered: Path) -> None:
    levels = [
        int(t[1])
        for t in Page((rendered / "report.html").read_text(encoding="utf-8")).tags
        if re.fullmatch("h[1-6]", t)
    ]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels)), levels


def test_encoders_of_one_title_are_told_apart_by_name(tmp_path: Path) -> None:
    same = [FakeEncoder(n, s, "RETFound-Green") for n, s in (("green", 1.0), ("green:all_tokens", 1.2))]
    analysis = analyse(read_run(write_run(tmp_path, typical(encoders=same, tasks=typical().tasks[:1]))))
    assert analysis.titles == {
        "green": "RETFound-Green (green)",
        "green:all_tokens": "RETFound-Green (green:all_tokens)",
    }


def test_labels_that_are_cut_stay_different() -> None:
    long = "A vision transformer of the largest kind, trained on photographs"
    cut = distinct({"a": f"{long}, mean of tokens", "b": f"{long}, class token", "c": "short"})
    assert len(set(cut.values())) == 3
    assert all(len(v) <= 34 for v in cut.values())
    assert cut["c"] == "short"
    twins = distinct({"a": "x" * 20 + "A" + "x" * 20, "b": "x" * 20 + "B" + "x" * 20})
    assert twins["a"] != twins["b"]


def many(n: int, tasks: tuple[FakeTask, ...]) -> FakeRun:
    first = typical().encoders[0]
    made = [
        dataclasses.replace(first, name=f"e{i}", title=f"Encoder {i}", skill=0.5 + i / 9) for i in range(n)
    ]
    return typical(encoders=made, tasks=tasks, validation=False)


def test_whatever_is_cut_is_said_with_where_the_rest_is(tmp_path: Path) -> None:
    tasks = tuple(FakeTask(f"d{i}/t", n=40, title=f"Task {i}") for i in range(20))
    folder = write_run(tmp_path, many(20, tasks))
    text = flat(Page(write_report(folder).read_text(encoding="utf-8")))
    assert "50 of 190 comparisons as a list, those of the best encoders" in text
    assert "comparisons.csv holds all 190." in text
    assert "The best 12 of 20 encoders are shown; confusion.csv and operating-points.csv hold all." in text
    assert "The best 8 of 20 encoders by mean are drawn." in text


def test_learning_curves_name_their_protocol_metric_and_what_is_left_out(tmp_path: Path) -> None:
    spec = many(10, (FakeTask("d/t", n=60, title="Task"),))
    spec = dataclasses.replace(
        spec, axes=({}, {"fraction": "0.1"}), protocols=("label_efficiency", "other_way")
    )
    figures = draw_all(analyse(read_run(write_run(tmp_path, spec))))
    assert {n for n in figures if n.startswith("efficiency")} == {"efficiency-1", "efficiency-2"}
    first = figures["efficiency-1"]
    assert first.caption.startswith("Label efficiency: ")
    assert "8 of 10 encoders" in first.caption
    assert "AUROC" in re.sub(r"<[^>]*>", " ", first.svg)


def test_images_sort_as_numbers(rendered: Path) -> None:
    html = (rendered / "report.html").read_text(encoding="utf-8")
    table = html[html.index('aria-label="Data sets"') :]
    assert '<td data-value="1200">1\u202f200</td>' in table
