"""One model per label against one for all labels: every number against an independent computation."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.builder import FakeEncoder, FakeTask, typical, write_run
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, recall_score, roc_auc_score

from benchbench.analysis import Analysis, analyse
from benchbench.report import write_report
from benchbench.results import Run, TaskRecord, read_run, to_json, write_predictions, write_rows
from benchbench.statistics import choose_threshold, delong_test

LABELS = ("drusen", "ped", "srf")
ENCODERS = (FakeEncoder("strong", 1.6), FakeEncoder("weak", 0.7))


def signs_run(folder: Path, seeds: tuple[int, ...] = (0,)) -> Run:
    """Separate probes for three labels, of which one is rare, and one probe for all three."""
    tasks = tuple(
        FakeTask(f"oct/{name}", n=300, prevalence=(0.98, 0.02) if name == "srf" else (0.7, 0.3))
        for name in LABELS
    )
    skills = {("strong", "multitask"): 0.5, ("weak", "multitask"): 0.5}
    run = read_run(
        write_run(
            folder,
            typical(
                tasks=tasks,
                encoders=ENCODERS,
                protocols=("linear_probe", "multitask"),
                seeds=seeds,
                skill_by_protocol=skills,
            ),
        )
    )
    rows, frames = [], [run.predictions]
    for row in run.rows:
        shared = row.protocol == "multitask"
        config = '{"C": 1.0, "folds": 5, "share_C": true}' if shared else '{"C": 1.0, "folds": 5}'
        source = "oct/signs" if shared else row.source_task
        rows.append(dataclasses.replace(row, source_task=source, config=config))
    for encoder in ENCODERS:
        for seed in seeds:
            own = [
                r for r in rows if r.protocol == "multitask" and r.encoder == encoder.name and r.seed == seed
            ]
            cell = f"all-{encoder.name}-{seed}"
            rows.append(
                dataclasses.replace(
                    own[0], cell_id=cell, task="oct/signs", kind="multilabel", metric="macro_auroc"
                )
            )
            parts = [run.predictions[run.predictions.cell_id == r.cell_id] for r in own]
            whole = parts[0].copy()
            whole["cell_id"], whole["task"] = cell, "oct/signs"
            whole["y_true"] = [np.array(v) for v in zip(*(p.y_true for p in parts), strict=True)]
            whole["scores"] = [np.concatenate(v) for v in zip(*(p.scores for p in parts), strict=True)]
            frames.append(whole)
    signs = TaskRecord("signs", "Three signs", "multilabel", LABELS, "macro_auroc")
    oct_set = dataclasses.replace(run.info.datasets[0], tasks=(signs, *run.info.datasets[0].tasks))
    info = dataclasses.replace(run.info, datasets=(oct_set,))
    write_rows(folder / "rows.csv", rows)
    write_predictions(folder / "predictions.parquet", pd.concat(frames, ignore_index=True))
    (folder / "run.json").write_text(to_json(info), encoding="utf-8")
    return read_run(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return signs_run(tmp_path_factory.mktemp("signs"))


@pytest.fixture(scope="module")
def analysis(run: Run) -> Analysis:
    return analyse(run)


def part(run: Run, encoder: str, label: str, protocol: str, split: str = "test") -> tuple:
    row = next(
        r
        for r in run.rows
        if (r.encoder, r.task, r.protocol, r.seed) == (encoder, f"oct/{label}", protocol, 0)
    )
    frame = run.predictions
    found = frame[(frame.cell_id == row.cell_id) & (frame.split == split)]
    return np.concatenate([np.ravel(y) for y in found.y_true]), np.stack(found.scores.to_list())[:, 0]


def test_every_label_is_compared_by_the_paired_test_of_the_two_models(run: Run, analysis: Analysis) -> None:
    (block,) = analysis.together
    assert (block.separate, block.together) == ("linear_probe", "multitask")
    assert len(block.labels) == len(LABELS) * len(ENCODERS)
    for x in block.labels:
        label = x.task.rpartition("/")[2]
        y, alone = part(run, x.encoder, label, "linear_probe")
        _, joint = part(run, x.encoder, label, "multitask")
        expected = delong_test(y, alone, joint)
        assert x.comparison.difference == pytest.approx(roc_auc_score(y, alone) - roc_auc_score(y, joint))
        assert x.comparison.p_value == pytest.approx(expected.p_value)


def test_decisions_are_made_at_a_threshold_that_validation_images_chose(run: Run, analysis: Analysis) -> None:
    for x in analysis.together[0].labels:
        label = x.task.rpartition("/")[2]
        for protocol, decided in (("linear_probe", x.separate), ("multitask", x.together)):
            y, scores = part(run, x.encoder, label, protocol)
            threshold = choose_threshold(*part(run, x.encoder, label, protocol, "validation")).value
            called = scores >= threshold
            assert decided.point.threshold == threshold
            assert decided.point.accuracy == pytest.approx(accuracy_score(y, called))
            assert decided.point.sensitivity == pytest.approx(recall_score(y, called))
            assert decided.point.specificity == pytest.approx(recall_score(1 - y, ~called))
            assert decided.point.kappa == pytest.approx(cohen_kappa_score(y, called))
            np.testing.assert_array_equal(decided.confusion, confusion_matrix(y, called))


def test_a_label_with_too_few_positives_is_counted_and_left_out_of_the_macro(
    run: Run, analysis: Analysis
) -> None:
    block = analysis.together[0]
    rare = [x for x in block.labels if x.task == "oct/srf"]
    assert all(not x.scored and 1 < x.positive < 10 for x in rare)
    for m in block.macro:
        assert m.left_out == ("oct/srf (OCT)",)
        means = [
            np.mean([roc_auc_score(*part(run, m.encoder, label, protocol)) for label in ("drusen", "ped")])
            for protocol in ("linear_probe", "multitask")
        ]
        assert m.comparison.value_first == pytest.approx(means[0])
        assert m.comparison.value_second == pytest.approx(means[1])
        assert m.comparison.p_value is not None


def test_the_section_is_a_holm_family_of_its_own(analysis: Analysis) -> None:
    block = analysis.together[0]
    tests = [x.comparison for x in (*block.labels, *block.macro) if x.comparison.p_value is not None]
    ordered = sorted(tests, key=lambda c: c.p_value)
    stepped = [min(1.0, (len(tests) - i) * c.p_value) for i, c in enumerate(ordered)]
    assert [c.p_holm for c in ordered] == pytest.approx(list(np.maximum.accumulate(stepped)))
    assert {c.family for c in tests} == {"separate or together"}
    assert any(c.outcome == "first" for c in tests), "the strong encoder loses by sharing"


def test_several_seeds_are_paired_as_methods(tmp_path: Path) -> None:
    block = analyse(signs_run(tmp_path, seeds=(0, 1, 2))).together[0]
    assert all("Obuchowski" in x.comparison.method for x in (*block.labels, *block.macro))


def test_probes_are_never_set_against_fine_tunes(run: Run) -> None:
    """Where no protocol has the settings of the shared model, there is nothing to pair it with."""
    other = '{"epochs": 50, "base_lr": 0.005}'
    rows = tuple(
        dataclasses.replace(r, config=other, protocol_kind="fine_tune") if r.protocol == "linear_probe" else r
        for r in run.rows
    )
    assert analyse(dataclasses.replace(run, rows=rows)).together == ()


def test_the_multilabel_panel_decides_at_its_own_frozen_thresholds(run: Run, analysis: Analysis) -> None:
    panel = next(p for p in analysis.panels if p.kind == "multilabel")
    for view in panel.views:
        y, scores = part(run, view.encoder, "drusen", "multitask")
        threshold = choose_threshold(*part(run, view.encoder, "drusen", "multitask", "validation")).value
        assert threshold != 0.5
        assert view.classes[0].recall == pytest.approx(recall_score(y, scores >= threshold))
        rare = view.classes[2]
        assert (rare.auroc, rare.recall, rare.f1) == (None, None, None)
        assert 1 < rare.support < 10


def test_the_report_counts_the_rare_label_and_shows_no_score_of_it(run: Run, analysis: Analysis) -> None:
    page = write_report(run.folder).read_text(encoding="utf-8")
    section = page.partition('id="together-h"')[2].partition("</section>")[0]
    assert section.count("counted, not scored") == len(ENCODERS)
    scores = page.partition('id="headline-h"')[2].partition("</table>")[0]
    support = analysis.together[0].labels[-1].positive
    assert f"{support} yes: counted, not scored" in scores
    rare = next(p for p in analysis.panels if p.task == "oct/srf" and p.protocol == "linear_probe")
    for e in rare.estimates:
        assert f"{e.value:.3f}" not in scores
    assert f"curves-{rare.id}" not in page
    lines = list(
        csv.DictReader(io.StringIO((run.folder / "tables/together.csv").read_text(encoding="utf-8")))
    )
    assert len(lines) == len(LABELS) * len(ENCODERS) + len(ENCODERS)
    cells = next(x for x in lines if x["label"] == "oct/srf (OCT)")
    assert cells["verdict"] == "too_few_cases"
    assert int(cells["positive"]) == support
    kept = list(csv.DictReader(io.StringIO((run.folder / "scores.csv").read_text(encoding="utf-8"))))
    marked = [x for x in kept if x["task"] == "oct/srf"]
    assert marked
    assert all(x["verdict"] == "too_few_cases" and float(x["value"]) > 0 for x in marked)
