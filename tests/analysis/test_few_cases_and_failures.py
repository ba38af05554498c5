"""What few cases, failed encoders and one seed change in what a run may claim."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from report.builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, typical, write_run

from benchbench.analysis import Analysis, analyse
from benchbench.analysis.model import WinCount, Wins
from benchbench.analysis.rules import complete_table
from benchbench.analysis.sentences import overall_sentences
from benchbench.leaderboard.tables import _significant
from benchbench.report import write_report
from benchbench.report.methods import methods
from benchbench.report.text import margin_text
from benchbench.results import Run, read_run
from benchbench.statistics import compare

TWO = (FakeEncoder("strong", 3.0), FakeEncoder("weak", 0.2))


def run_of(folder: Path, spec: FakeRun) -> Run:
    return read_run(write_run(folder, spec))


def graded(metric: str, prevalence: tuple[float, ...], n: int = 200, **changes: object) -> FakeRun:
    task = FakeTask("d/grade", n=n, **{**ORDINAL, "metric": metric, "prevalence": prevalence})
    return FakeRun(TWO, (task,), **changes)


def with_scores(run: Run, cells: set[str], change: object) -> Run:
    """The run with the scores of some cells replaced by `change` of each."""
    frame = run.predictions.copy()
    frame["scores"] = [
        change(s) if c in cells else s for c, s in zip(frame.cell_id, frame.scores, strict=True)
    ]
    return dataclasses.replace(run, predictions=frame)


def cells_of(run: Run, **where: object) -> set[str]:
    return {r.cell_id for r in run.rows if all(getattr(r, k) == v for k, v in where.items())}


def test_with_a_rare_class_a_difference_can_hold_without_an_interval(tmp_path: Path) -> None:
    folder = write_run(tmp_path, graded("macro_auroc", (0.6, 0.2, 0.1, 0.08, 0.02)))
    panel = analyse(read_run(folder)).panels[0]
    c = panel.comparisons[0]
    assert min(k for _, k in panel.counts) in range(2, 10)
    assert (c.verdict, c.ci_low, c.winner) == ("rare_class", None, "strong")
    assert c.p_value >= c.p_permutation
    assert [e.ci_low for e in panel.estimates] == [None, None]
    assert "[" not in panel.sentence
    assert "(a class of fewer than 10 cases)" in panel.sentence
    page = write_report(folder).read_text(encoding="utf-8")
    assert "the larger of the asymptotic and the permutation p-value was corrected" in page


def test_a_kappa_of_few_diseased_patients_makes_no_win(tmp_path: Path) -> None:
    folder = write_run(tmp_path, graded("quadratic_kappa", (0.96, 0.01, 0.01, 0.01, 0.01)))
    panel = analyse(read_run(folder)).panels[0]
    assert 200 - max(k for _, k in panel.counts) < 10
    assert panel.comparisons[0].outcome == "untested"
    assert panel.counted.endswith("other than none: counted, not scored")
    assert complete_table([panel])[0] == []
    assert "no asymptotic test was made" in write_report(folder).read_text(encoding="utf-8")


def test_what_is_only_counted_enters_no_ranks(tmp_path: Path) -> None:
    encoders = tuple(FakeEncoder(f"e{i}", 0.4 + 0.5 * i) for i in range(3))
    tasks = [FakeTask(f"set{i}/t", n=120) for i in range(6)]
    rare = FakeTask("set6/t", n=120, prevalence=(0.96, 0.04))
    plain = analyse(run_of(tmp_path / "a", FakeRun(encoders, tasks))).across[0]
    found = analyse(run_of(tmp_path / "b", FakeRun(encoders, [*tasks, rare]))).across[0]
    assert found.datasets == plain.datasets
    assert found.ranked == plain.ranked


@pytest.mark.parametrize(("panels", "said"), [(3, "b is beaten nowhere"), (1, "is 1 of the 3 places")])
def test_beaten_nowhere_is_said_of_those_that_were_tested_everywhere(panels: int, said: str) -> None:
    counts = (WinCount("a", 1, 1, 1, 1, 0, 2, 3), WinCount("b", 0, 0, 0, 0, 0, panels, panels))
    wins = Wins(counts, tests=3, alpha=0.05, holm=1, uncorrected=1, published=0, panels=4, tested=3)
    panel = SimpleNamespace(task="d/t", protocol="linear_probe")
    text = " ".join(overall_sentences(wins, [panel], {}, 0, None))
    assert said in text
    assert ("beaten nowhere" in text) == (panels == 3)


def interaction(seeds: tuple[int, ...] = (0,), **changes: object) -> FakeRun:
    return typical(
        tasks=(FakeTask("d/t", n=200),), protocols=("linear_probe", "fine_tune"), seeds=seeds, **changes
    )


def test_an_encoder_that_failed_under_one_protocol_is_in_no_interaction(tmp_path: Path) -> None:
    run = run_of(tmp_path, interaction())
    cells = cells_of(run, encoder="deretfound", protocol="fine_tune")
    found = analyse(with_scores(run, cells, lambda s: np.full_like(s, 0.5))).interactions[0]
    assert len(found.contrasts) == 4 * 3 // 2
    assert all("deretfound" not in (c.first, c.second) for c in found.contrasts)


def test_an_interaction_is_about_the_seeds_of_the_values_beside_it(tmp_path: Path) -> None:
    run = run_of(tmp_path, interaction((0, 1, 2)))
    lost = cells_of(run, encoder="deretfound", protocol="fine_tune", seed=2)
    rows = tuple(dataclasses.replace(r, status="failed") if r.cell_id in lost else r for r in run.rows)
    found = analyse(dataclasses.replace(run, rows=rows)).interactions[0]
    values = {name: (one, other) for name, one, other in found.values}
    for c in found.contrasts:
        (a, x), (b, y) = values[c.first], values[c.second]
        assert c.difference == pytest.approx((a - b) - (x - y), abs=1e-12)


def test_an_interaction_has_a_95_percent_interval_and_carries_small(tmp_path: Path) -> None:
    statistics = {"comparisons": "all", "alpha": 0.01, "margin": None, "correction": "holm"}
    spec = interaction(statistics=statistics)
    spec = dataclasses.replace(spec, tasks=(FakeTask("d/t", n=150, prevalence=(0.9, 0.1)),))
    analysis = analyse(run_of(tmp_path, spec))
    assert dict(analysis.panels[0].counts)["yes"] in range(10, 20)
    for c in analysis.interactions[0].contrasts:
        assert c.verdict == "small"
        assert c.ci_high - c.ci_low == pytest.approx(2 * 1.959964 * c.se, rel=1e-6)


def test_labels_left_out_of_the_mean_are_named_with_seeds_too(tmp_path: Path) -> None:
    task = FakeTask(
        "d/signs", "multilabel", 100, ("fluid", "drusen", "rare"), (0.4, 0.4, 0.02), metric="macro_auroc"
    )
    notes = analyse(run_of(tmp_path, FakeRun(TWO, (task,), seeds=(0, 1)))).panels[0].notes
    assert any("Left out of the macro average" in n and "rare" in n for n in notes)


def test_one_seed_of_a_protocol_that_depends_on_it_is_said_to_be_one_model(tmp_path: Path) -> None:
    run = run_of(tmp_path, typical(tasks=(FakeTask("d/t", n=100),)))
    rows = tuple(dataclasses.replace(r, deterministic=False) for r in run.rows)
    panel = analyse(dataclasses.replace(run, rows=rows)).panels[0]
    assert any("not about the methods that trained them" in n for n in panel.notes)
    assert not any("not about the methods" in n for n in analyse(run).panels[0].notes)


def test_the_detectable_difference_of_a_task_is_that_of_its_undecided_pairs(tmp_path: Path) -> None:
    panel = analyse(run_of(tmp_path, typical(tasks=(FakeTask("d/t", n=200),)))).panels[0]
    undecided = [c.detectable for c in panel.comparisons if c.outcome == "undecided"]
    assert 0 < len(undecided) < len(panel.comparisons)
    assert panel.detectable == pytest.approx(np.median(undecided))
    beside = dataclasses.replace(
        panel, comparisons=tuple(dataclasses.replace(c, outcome="first") for c in panel.comparisons)
    )
    assert beside.detectable == pytest.approx(np.median([c.detectable for c in panel.comparisons]))


@pytest.mark.parametrize(
    ("verdict", "equivalent", "said"),
    [
        ("inconclusive", True, "equivalent"),
        ("non-inferior", True, "non-inferior, equivalent"),
        ("inferior", False, "inferior"),
        ("", None, "–"),
    ],
)
def test_words_about_the_margin_do_not_contradict_each_other(
    tmp_path: Path, analysis: Analysis, verdict: str, equivalent: bool | None, said: str
) -> None:
    c = dataclasses.replace(analysis.panels[0].comparisons[0], margin_verdict=verdict, equivalent=equivalent)
    assert margin_text(c) == said


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analyse(run_of(tmp_path_factory.mktemp("small"), typical(tasks=(FakeTask("d/t", n=80),))))


def test_the_methods_text_names_what_was_used_and_nothing_else(tmp_path: Path) -> None:
    task = FakeTask("d/t", n=150, metric="average_precision")
    run = run_of(tmp_path / "ap", FakeRun(TWO, (task,), seeds=(0, 1)))
    text = " ".join(methods(run.info, analyse(run)).paragraphs)
    assert "percentiles of 2,000 draws" in text
    assert "normal tail" in text
    assert "logit" not in text
    assert not any("Hillis" in r for r in methods(run.info, analyse(run)).references)
    margin = {"comparisons": "all", "alpha": 0.05, "margin": 0.03, "correction": "holm"}
    spec = interaction((0, 1, 2), statistics=margin)
    run = run_of(tmp_path / "seeds", dataclasses.replace(spec, tasks=(FakeTask("d/t", n=120),)))
    found = methods(run.info, analyse(run))
    text = " ".join(found.paragraphs)
    assert any("Hillis" in r for r in found.references)
    assert "AUROC on the logit scale" in text
    assert "Hillis' t intervals" in text
    assert "changes of differences between protocols" in text
    assert "without correction for the number of comparisons" in text


def test_small_stands_beside_every_number_that_it_is_about(tmp_path: Path) -> None:
    task = FakeTask("d/t", n=150, prevalence=(0.9, 0.1))
    folder = write_run(tmp_path, FakeRun(TWO, (task,)))
    panel = analyse(read_run(folder)).panels[0]
    assert {e.verdict for e in panel.estimates} == {"small"}
    assert "(small sample)" in panel.sentence
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count(">small sample<") > len(TWO), "scores and secondary metrics"


def test_a_binary_kappa_says_where_its_scores_are_cut(tmp_path: Path) -> None:
    task = FakeTask("d/t", n=120, metric="unweighted_kappa")
    run = run_of(tmp_path, FakeRun(TWO, (task,)))
    panel = analyse(run).panels[0]
    assert any("cut at 0.5" in n for n in panel.notes)
    frame = run.predictions[(run.predictions.split == "test")]
    cell = cells_of(run, encoder="strong").pop()
    own = frame[frame.cell_id == cell]
    decided = (np.stack(own.scores.to_list())[:, 0] >= 0.5).astype(int)
    expected = compare("unweighted_kappa", own.y_true.to_numpy(), decided[None]).estimates[0].value
    assert panel.estimate("strong").value == pytest.approx(expected)


def test_thresholds_are_called_by_what_chose_them(tmp_path: Path) -> None:
    run = run_of(tmp_path, FakeRun(TWO, (FakeTask("d/t", n=100),)))
    assert "validation images" in analyse(run).panels[0].views[0].operating_point.source
    rows = tuple(dataclasses.replace(r, n_validation=0) for r in run.rows)
    source = analyse(dataclasses.replace(run, rows=rows)).panels[0].views[0].operating_point.source
    assert source == "Youden index on out-of-fold predictions of training images"


@pytest.mark.parametrize("named", [True, False])
def test_reliability_has_no_bars_where_no_interval_is_valid(tmp_path: Path, named: bool) -> None:
    folder = write_run(tmp_path, FakeRun(TWO, (FakeTask("d/t", n=100),)))
    run = read_run(folder)
    if not named:
        datasets = tuple(dataclasses.replace(d, cluster=None, paired_eyes=True) for d in run.info.datasets)
        run = dataclasses.replace(run, info=dataclasses.replace(run.info, datasets=datasets))
    view = analyse(run).panels[0].views[0]
    assert np.isnan(view.reliability.low).all() != named
    assert np.isfinite(view.reliability.observed).all()
    if named:
        assert "take images for independent" in write_report(folder).read_text(encoding="utf-8")


def test_sensitivity_at_specificity_is_not_said_to_be_at_a_frozen_threshold(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path, FakeRun(TWO, (FakeTask("d/t", n=100),)))).read_text(
        encoding="utf-8"
    )
    assert "but for sensitivity at specificity 0.9" in page
    assert "15 bins of equal width" in page


def test_a_tiny_p_value_is_not_rounded_to_nothing() -> None:
    assert _significant(1.2345678e-9) == 1.23457e-9
    assert _significant(None) is None
    assert math.isclose(_significant(0.0412345678), 0.0412346)
