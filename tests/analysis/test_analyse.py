"""analyse(): estimates and comparisons against independent computations, families, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, typical, write_run
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score

from benchbench.analysis import Analysis, analyse
from benchbench.results import Run, read_run
from benchbench.statistics import delong_test


def run_of(folder: Path, **changes: object) -> Run:
    return read_run(write_run(folder, typical(**changes)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("typical"))


@pytest.fixture(scope="module")
def analysis(run: Run) -> Analysis:
    return analyse(run)


def scores_of(run: Run, encoder: str, task: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    row = next(r for r in run.rows if (r.encoder, r.task, r.seed) == (encoder, task, seed))
    frame = run.predictions
    found = frame[(frame.cell_id == row.cell_id) & (frame.task == task) & (frame.split == "test")]
    return found.y_true.to_numpy(), np.stack(found.scores.to_list())


def test_values_equal_those_of_scikit_learn(run: Run, analysis: Analysis) -> None:
    for panel in analysis.panels:
        for estimate in panel.estimates:
            labels, scores = scores_of(run, estimate.encoder, panel.task)
            if panel.metric == "auroc":
                expected = roc_auc_score(labels, scores[:, 0])
            else:
                expected = cohen_kappa_score(labels, scores.argmax(axis=1), weights="quadratic")
            assert estimate.value == pytest.approx(expected, abs=1e-12)


def test_comparisons_equal_delong_on_the_raw_predictions(run: Run, analysis: Analysis) -> None:
    panel = next(p for p in analysis.panels if p.task == "idrid/referable")
    assert len(panel.comparisons) == 10
    for c in panel.comparisons:
        labels, first = scores_of(run, c.first, panel.task)
        _, second = scores_of(run, c.second, panel.task)
        expected = delong_test(labels, first[:, 0], second[:, 0])
        assert c.difference == pytest.approx(expected.difference, abs=1e-15)
        assert c.p_value == pytest.approx(expected.p_value, rel=1e-12)
        assert c.detectable == pytest.approx(2.8015852 * expected.se, rel=1e-6)


def test_holm_runs_over_the_whole_suite_and_not_per_task(analysis: Analysis) -> None:
    tested = sorted((c for c in analysis.comparisons), key=lambda c: c.p_value)
    assert analysis.wins.tests == len(tested) == 30
    worst = 0.0
    for i, c in enumerate(tested):
        worst = max(worst, min(1.0, c.p_value * (len(tested) - i)))
        assert c.p_holm == pytest.approx(worst, rel=1e-12)


def test_a_win_needs_a_small_holm_p_and_an_interval_off_zero(analysis: Analysis) -> None:
    for c in analysis.comparisons:
        decided = c.p_holm < 0.05 and (c.ci_low > 0 or c.ci_high < 0)
        assert (c.winner is not None) == decided
        if c.winner:
            assert c.winner == (c.first if c.difference > 0 else c.second)


def test_turning_a_comparison_turns_every_number(analysis: Analysis) -> None:
    panel = analysis.panels[0]
    c = panel.comparisons[0]
    back = panel.comparison(c.second, c.first)
    assert (back.difference, back.ci_low, back.ci_high) == (-c.difference, -c.ci_high, -c.ci_low)
    assert back.winner == c.winner
    assert back.p_holm == c.p_holm


def test_confusion_matrix_is_cut_at_a_threshold_from_validation(run: Run, analysis: Analysis) -> None:
    panel = next(p for p in analysis.panels if p.task == "idrid/referable")
    view = panel.views[0]
    labels, scores = scores_of(run, view.encoder, panel.task)
    point = view.operating_point
    assert "validation" in point.source
    assert 0 < point.threshold < 1
    expected = confusion_matrix(labels, scores[:, 0] >= point.threshold)
    np.testing.assert_array_equal(view.confusion, expected)
    assert point.sensitivity == pytest.approx(expected[1, 1] / expected[1].sum())


def test_without_validation_scores_the_threshold_is_one_half(tmp_path: Path) -> None:
    panel = analyse(run_of(tmp_path, validation=False)).panels[0]
    assert {v.operating_point.threshold for v in panel.views} == {0.5}


def test_without_validation_scores_threshold_and_temperature_of_the_cells_record_are_used(
    tmp_path: Path,
) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=150),), validation=False)
    details = '{"threshold": 0.31, "temperature": 2.0}'
    rows = tuple(dataclasses.replace(r, details=details) for r in run.rows)
    for view in analyse(dataclasses.replace(run, rows=rows)).panels[0].views:
        labels, scores = scores_of(run, view.encoder, "d/t")
        assert view.operating_point.threshold == 0.31
        assert "training set" in view.operating_point.source
        p = scores[:, 0] ** 0.5 / (scores[:, 0] ** 0.5 + (1 - scores[:, 0]) ** 0.5)
        assert view.reliability.brier == pytest.approx(np.mean((scores[:, 0] - labels) ** 2))
        assert view.reliability.brier_after == pytest.approx(np.mean((p - labels) ** 2))
    own = tuple(dataclasses.replace(r, details='{"threshold": 0.3, "threshold d/t": 0.7}') for r in run.rows)
    panel = analyse(dataclasses.replace(run, rows=own)).panels[0]
    assert {v.operating_point.threshold for v in panel.views} == {0.7}


def test_temperature_is_chosen_on_validation_and_judged_on_test(run: Run, analysis: Analysis) -> None:
    for panel in analysis.panels:
        for view in panel.views:
            assert view.reliability.temperature > 0
            assert view.reliability.ece_after is not None


def test_the_papers_preset_shows_the_papers_number_as_such(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=90),))
    suite = {
        "protocols": [{"protocol": "linear_probe", "preset": "retfound_green_paper", "name": "linear_probe"}]
    }
    panel = analyse(
        dataclasses.replace(run, info=dataclasses.replace(run.info, suite_resolved=suite))
    ).panels[0]
    (note,) = [n for n in panel.notes if "median AUROC of 100 bootstrap samples" in n]
    state = np.random.RandomState(42)
    draws = [state.randint(0, 90, 90) for _ in range(100)]
    for e in panel.estimates:
        labels, scores = scores_of(run, e.encoder, "d/t")
        median = np.median([roc_auc_score(labels[d], scores[d, 0]) for d in draws])
        assert f"{median:.3f}" in note
    assert not any("bootstrap" in n for n in analyse(run).panels[0].notes)


def test_a_reference_suite_compares_only_with_the_reference(tmp_path: Path) -> None:
    declared = {
        "comparisons": {"reference": "mae_imagenet"},
        "alpha": 0.05,
        "margin": 0.05,
        "correction": "holm",
    }
    analysis = analyse(run_of(tmp_path, statistics=declared))
    assert {c.second for c in analysis.comparisons} == {"mae_imagenet"}
    assert analysis.wins.tests == 12
    assert not any(e.letters for p in analysis.panels for e in p.estimates)
    assert all(c.margin_verdict for c in analysis.comparisons)


def test_too_few_cases_give_a_reason_and_no_p_value(tmp_path: Path) -> None:
    rare = FakeTask("oct/srf", n=300, prevalence=(0.98, 0.02))
    analysis = analyse(run_of(tmp_path, tasks=(rare,)))
    panel = analysis.panels[0]
    assert all(c.p_value is None and c.outcome == "untested" and c.note for c in panel.comparisons)
    assert all(c.p_permutation is not None for c in panel.comparisons)
    assert all(e.ci_low is None and not e.letters for e in panel.estimates)
    assert "no comparison could be tested" in panel.sentence
    assert "low_support" in {lint.code for lint in analysis.lints}


def test_a_class_that_is_absent_from_the_test_split_gives_no_value(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=60),))
    run.predictions.loc[run.predictions.split == "test", "y_true"] = 0.0
    panel = analyse(run).panels[0]
    assert all(e.value is None for e in panel.estimates)
    assert all(c.p_value is None for c in panel.comparisons)


def test_identical_predictions_are_called_identical_and_never_a_win(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=120),))
    frame = run.predictions
    one, two = [r.cell_id for r in run.rows][:2]
    frame.loc[frame.cell_id == two, "scores"] = pd.Series(
        frame.loc[frame.cell_id == one, "scores"].to_list(), index=frame.index[frame.cell_id == two]
    )
    names = [r.encoder for r in run.rows][:2]
    c = analyse(run).panels[0].comparison(*names)
    assert (c.difference, c.p_value, c.verdict, c.winner) == (0.0, 1.0, "identical", None)


def test_an_encoder_scored_on_other_images_is_refused_with_a_reason(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=120),))
    row = run.rows[-1]
    mask = run.predictions.cell_id == row.cell_id
    run.predictions.loc[mask, "image_id"] = "other_" + run.predictions.loc[mask, "image_id"]
    panel = analyse(run).panels[0]
    assert panel.estimate(row.encoder) is None
    assert any(row.encoder in note and "test images" in note for note in panel.notes)


def test_shuffled_rows_change_nothing(run: Run, analysis: Analysis) -> None:
    shuffled = run.predictions.sample(frac=1.0, random_state=3).reset_index(drop=True)
    again = analyse(dataclasses.replace(run, predictions=shuffled))
    expected = [c.p_holm for c in analysis.comparisons]
    assert [c.p_holm for c in again.comparisons] == pytest.approx(expected, rel=1e-9)
    assert [e.value for e in again.panels[0].estimates] == pytest.approx(
        [e.value for e in analysis.panels[0].estimates]
    )


def test_several_images_of_a_patient_give_the_clustered_test(tmp_path: Path) -> None:
    task = FakeTask("messidor2/referable", n=240, eyes=2)
    panel = analyse(run_of(tmp_path, tasks=(task,))).panels[0]
    assert panel.clustered
    assert panel.n_patients == 120
    assert "clustered" in panel.comparisons[0].method


def test_a_paired_data_set_without_patient_names_gets_no_p_value(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("messidor2/referable", n=240, eyes=2),))
    run.predictions["group"] = run.predictions[
        "image_id"
    ]  # as the runner writes it where no patient is known
    datasets = tuple(dataclasses.replace(d, cluster=None) for d in run.info.datasets)
    run = dataclasses.replace(run, info=dataclasses.replace(run.info, datasets=datasets))
    panel = analyse(run).panels[0]
    assert panel.n_patients is None
    assert all(c.p_value is None and c.ci_low is None for c in panel.comparisons)
    assert all(e.ci_low is None and e.value is not None for e in panel.estimates)
    assert any("names no patients" in note for note in panel.notes)


def test_several_seeds_are_compared_as_methods_and_the_middle_seed_is_drawn(tmp_path: Path) -> None:
    run = run_of(tmp_path, seeds=(0, 1, 2), tasks=(FakeTask("d/t", n=150),))
    panel = analyse(run).panels[0]
    assert "Obuchowski-Rockette-Hillis" in panel.comparisons[0].method
    for e in panel.estimates:
        by_seed = [
            roc_auc_score(*(x if x.ndim == 1 else x[:, 0] for x in scores_of(run, e.encoder, "d/t", s)))
            for s in e.seeds
        ]
        assert e.seed_values == pytest.approx(by_seed)
        assert e.value == pytest.approx(np.mean(by_seed))
        assert by_seed[e.seeds.index(e.shown_seed)] == pytest.approx(np.median(by_seed))


def test_a_seed_that_one_encoder_lost_is_left_out_for_all_and_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, seeds=(0, 1, 2, 3), tasks=(FakeTask("d/t", n=150),))
    rows = tuple(
        dataclasses.replace(r, status="failed", reason="out of memory")
        if (r.seed, r.encoder) == (3, "deretfound")
        else r
        for r in run.rows
    )
    analysis = analyse(dataclasses.replace(run, rows=rows))
    assert {e.seeds for e in analysis.panels[0].estimates} == {(0, 1, 2)}
    assert any("Seeds 3" in n and "deretfound" in n for n in analysis.panels[0].notes)
    assert [f.reason for f in analysis.failures] == ["out of memory"]


def test_stamps_reach_every_estimate_and_the_run(analysis: Analysis) -> None:
    assert analysis.stamps == ("SYNTHETIC", "UNTRAINED")
    for panel in analysis.panels:
        assert panel.shared_stamps == ("SYNTHETIC",)
        assert panel.own_stamps("untrained/resnet50") == ("UNTRAINED",)
        assert panel.own_stamps("retfound_green") == ()


def test_a_run_in_which_every_cell_failed_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    rows = tuple(dataclasses.replace(r, status="missing", reason="no checkpoint") for r in run.rows)
    analysis = analyse(dataclasses.replace(run, rows=rows, predictions=run.predictions.iloc[:0]))
    assert analysis.panels == ()
    assert len(analysis.failures) == len(rows)
    assert analysis.verdict == ("No cell of this run has a result yet.",)


def test_multilabel_predictions_are_scored_label_by_label(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("oct/signs", n=200, **ORDINAL),))
    classes = ("srf", "irf", "drusen", "ped", "rare")
    task = dataclasses.replace(
        run.info.datasets[0].tasks[0], kind="multilabel", classes=classes, metric="macro_auroc"
    )
    info = dataclasses.replace(run.info, datasets=(dataclasses.replace(run.info.datasets[0], tasks=(task,)),))
    rows = tuple(dataclasses.replace(r, kind="multilabel", metric="macro_auroc") for r in run.rows)
    rng = np.random.default_rng(0)
    labels = {
        i: (rng.random(5) < (0.3, 0.4, 0.2, 0.5, 0.01)).astype(float)
        for i in run.predictions.image_id.unique()
    }
    frame = run.predictions.assign(y_true=[labels[i] for i in run.predictions.image_id])
    panel = analyse(dataclasses.replace(run, info=info, rows=rows, predictions=frame)).panels[0]
    expected = []
    matrix = np.stack(
        [labels[i] for i in frame[(frame.cell_id == rows[0].cell_id) & (frame.split == "test")].image_id]
    )
    scores = np.stack(frame[(frame.cell_id == rows[0].cell_id) & (frame.split == "test")].scores.to_list())
    expected = [roc_auc_score(matrix[:, c], scores[:, c]) for c in range(4)]
    assert panel.estimate(rows[0].encoder).value == pytest.approx(np.mean(expected))
    assert any("rare" in note for note in panel.notes)


def test_the_published_rule_finds_winners_between_equal_encoders_where_delong_does_not(
    tmp_path: Path,
) -> None:
    equal = tuple(FakeEncoder(f"equal_{i}", 1.2) for i in range(3))
    tasks = tuple(FakeTask(f"d{i}/t", n=150) for i in range(16))
    wins = analyse(read_run(write_run(tmp_path, FakeRun(equal, tasks)))).wins
    assert wins.published >= 8
    assert wins.holm <= 1
    assert wins.expected_by_chance == pytest.approx(0.05 * 48)
    assert sum(w.published for w in wins.counts) == wins.published
    assert sum(w.holm for w in wins.counts) == sum(w.holm_losses for w in wins.counts) == wins.holm
