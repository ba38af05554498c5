"""What the analysis does with seeds, images and panels that do not fit together: it says so, and keeps the rest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from report.builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, typical, write_run
from scipy import stats
from sklearn.metrics import average_precision_score

from benchbench.analysis import Analysis, analyse
from benchbench.analysis import panels as panels_module
from benchbench.report import write_report
from benchbench.results import Run, read_run
from benchbench.statistics import StatisticsError


def run_of(folder: Path, **changes: object) -> Run:
    return read_run(write_run(folder, typical(**changes)))


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (0, 1, 2)])
def test_average_precision_is_reported_with_any_number_of_seeds(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    task = FakeTask("idrid/referable", n=120, metric="average_precision")
    spec = typical(tasks=(task,), seeds=seeds, protocols=("linear_probe", "fine_tune"))
    run = read_run(write_run(tmp_path, spec))
    analysis = analyse(run)
    panel = analysis.panels[0]
    row = next(r for r in run.rows if r.encoder == "deretfound" and r.protocol == panel.protocol)
    frame = run.predictions[(run.predictions.cell_id == row.cell_id) & (run.predictions.split == "test")]
    expected = average_precision_score(frame.y_true, np.stack(frame.scores.to_list())[:, 0])
    assert panel.estimate("deretfound").seed_values[0] == pytest.approx(expected)
    assert all(c.p_value is not None for c in panel.comparisons)
    assert not [lint for lint in analysis.lints if lint.code == "analysis_failed"]
    assert any("not counted" in note for note in panel.notes) == (len(seeds) > 1)
    assert write_report(tmp_path).is_file()


def test_a_panel_that_cannot_be_analysed_is_named_and_the_others_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = panels_module.judge

    def broken(cases: object, panel: str, *rest: object) -> object:
        if "any-dr" in panel:
            raise StatisticsError("the labels make no sense.", fix="mend them")
        return judge(cases, panel, *rest)

    monkeypatch.setattr(panels_module, "judge", broken)
    folder = write_run(tmp_path, typical())
    analysis = analyse(read_run(folder))
    by_task = {p.task: p for p in analysis.panels}
    assert by_task["idrid/any_dr"].estimates == ()
    assert "no result could be analysed" in by_task["idrid/any_dr"].sentence
    assert len(by_task["idrid/referable"].comparisons) == 10
    found = [lint for lint in analysis.lints if lint.code == "analysis_failed"]
    assert len(found) == 1
    assert "the labels make no sense" in found[0].message
    page = write_report(folder).read_text(encoding="utf-8")
    assert "the labels make no sense" in page


def test_a_margin_over_seeds_is_judged_by_the_t_of_the_comparison(tmp_path: Path) -> None:
    statistics = {"comparisons": "all", "alpha": 0.05, "margin": 0.03, "correction": "holm"}
    run = run_of(
        tmp_path, seeds=(0, 1, 2), seed_sd=0.6, statistics=statistics, tasks=(FakeTask("d/t", n=200),)
    )
    panel = analyse(run).panels[0]
    for c in panel.comparisons:
        half = (c.ci_high - c.ci_low) / 2
        assert half > 1.97 * c.se  # a t with few degrees of freedom
        low, high = c.difference - half, c.difference + half
        expected = (
            "superior"
            if low > 0
            else "inferior"
            if high < -0.03
            else "non-inferior"
            if low > -0.03
            else "inconclusive"
        )
        assert c.margin_verdict == expected
        df = _df(half / c.se)
        p = max(stats.t.sf((c.difference + 0.03) / c.se, df), stats.t.cdf((c.difference - 0.03) / c.se, df))
        assert c.equivalent == (p < 0.05)


def _df(critical: float) -> float:
    """Degrees of freedom whose two-sided 95 % quantile is `critical`."""
    from scipy.optimize import brentq

    return float(brentq(lambda df: stats.t.ppf(0.975, df) - critical, 1.0, 1e6))


def test_encoders_without_a_seed_in_common_are_not_compared_and_the_page_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path, seeds=(0, 1), tasks=(FakeTask("d/t", n=80),))
    rows = tuple(
        dataclasses.replace(r, status="failed", reason="out of memory")
        if r.seed == (1 if r.encoder == "deretfound" else 0)
        else r
        for r in run.rows
    )
    panel = analyse(dataclasses.replace(run, rows=rows)).panels[0]
    assert panel.comparisons == ()
    assert any("No seed was finished by every encoder" in n and "deretfound: 0" in n for n in panel.notes)


def test_the_images_that_most_encoders_share_decide_who_is_left_out(tmp_path: Path) -> None:
    run = run_of(tmp_path, tasks=(FakeTask("d/t", n=120),))
    odd = run.rows[0]
    mask = run.predictions.cell_id == odd.cell_id
    run.predictions.loc[mask, "image_id"] = "other_" + run.predictions.loc[mask, "image_id"]
    panel = analyse(run).panels[0]
    assert panel.estimate(odd.encoder) is None
    assert len(panel.estimates) == 4
    assert next(note for note in panel.notes if "test images" in note).startswith(odd.encoder)


def unnamed_eyes(folder: Path, **changes: object) -> Analysis:
    run = run_of(folder, **changes)
    run.predictions["group"] = run.predictions["image_id"]
    datasets = tuple(dataclasses.replace(d, cluster=None) for d in run.info.datasets)
    return analyse(dataclasses.replace(run, info=dataclasses.replace(run.info, datasets=datasets)))


def test_unnamed_pairs_of_eyes_get_no_interval_anywhere(tmp_path: Path) -> None:
    tasks = (FakeTask("messidor2/t", n=240, eyes=2), FakeTask("messidor2/grade", n=240, eyes=2, **ORDINAL))
    analysis = unnamed_eyes(tmp_path, tasks=tasks)
    for panel in analysis.panels:
        for view in panel.views:
            assert all(curve.band is None for curve in view.roc)
            assert all(c.ci_low is None and c.auroc is not None for c in view.classes)
        for secondary in panel.secondary:
            assert all(e.ci_low is None for e in secondary.estimates)
            assert all(c.p_value is None for c in secondary.comparisons)
    assert analysis.rules == ()
    assert analysis.wins.published == 0


def test_published_values_of_unnamed_eyes_have_no_interval(tmp_path: Path) -> None:
    analysis = unnamed_eyes(tmp_path, tasks=(FakeTask("idrid/grade", n=240, eyes=2, **ORDINAL),))
    measured = [v.measured for v in analysis.published if v.measured]
    assert measured
    assert all(m.value is not None and m.ci_low is None for m in measured)


def many_sets(count: int, seeds: tuple[int, ...] = (0,)) -> FakeRun:
    encoders = tuple(FakeEncoder(f"e{i}", 0.4 + 0.5 * i) for i in range(4))
    tasks = [FakeTask(f"set{i}/t", n=150) for i in range(count)]
    tasks.append(FakeTask("set0/grade", n=150, **ORDINAL))
    return FakeRun(encoders, tasks, seeds=seeds)


def test_ranks_over_data_sets_count_tasks_of_one_data_set_once(tmp_path: Path) -> None:
    analysis = analyse(read_run(write_run(tmp_path, many_sets(6))))
    found = analysis.across[0]
    table = []
    for name in found.datasets:
        columns = []
        for panel in (p for p in analysis.panels if p.task.startswith(f"{name}/")):
            columns.append(stats.rankdata([-panel.estimate(f"e{i}").value for i in range(4)]))
        table.append(np.mean(columns, axis=0))
    assert len(table) == 6
    expected = stats.friedmanchisquare(*np.array(table).T)
    assert found.p_value == pytest.approx(expected.pvalue)
    by_rank = np.mean([stats.rankdata(row) for row in table], axis=0)
    assert {r.encoder: r.mean_rank for r in found.ranked} == pytest.approx(
        {f"e{i}": by_rank[i] for i in range(4)}
    )
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 6)), rel=1e-3)


def test_with_fewer_data_sets_the_page_says_why_no_ranks_are_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path, many_sets(5))
    found = analyse(read_run(folder)).across[0]
    assert (found.ranked, found.critical_difference) == ((), None)
    page = write_report(folder).read_text(encoding="utf-8")
    assert "this needs 6 independent data sets, and there are 5" in page
    assert not list(folder.glob("figures/ranks-*.svg"))


def test_the_critical_difference_diagram_is_drawn_from_six_data_sets_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path, dataclasses.replace(many_sets(6), stamps="SYNTHETIC"))
    page = write_report(folder).read_text(encoding="utf-8")
    assert 'id="ranks"' in page
    svg = (folder / "figures" / "ranks-1.svg").read_text()
    assert all(f"e{i}" in svg for i in range(4))
    assert "SYNTHETIC" in svg
    assert (folder / "tables" / "ranks.csv").read_text().count("\n") == 5


def test_pooled_differences_weigh_each_data_set_by_its_precision(tmp_path: Path) -> None:
    analysis = analyse(read_run(write_run(tmp_path, many_sets(4))))
    pooled = next(d for d in analysis.across[0].pooled if {d.first, d.second} == {"e0", "e3"})
    each = [
        c
        for p in analysis.panels
        if p.metric == "auroc" and (c := p.comparison(pooled.first, pooled.second)) is not None
    ]
    weights = np.array([1 / (c.se**2 + pooled.tau**2) for c in each])
    assert pooled.datasets == 4
    assert pooled.difference == pytest.approx(np.average([c.difference for c in each], weights=weights))
    assert pooled.ci_high - pooled.ci_low == pytest.approx(2 * 1.959964 / np.sqrt(weights.sum()))


def test_the_rules_of_three_papers_stand_beside_the_valid_test(tmp_path: Path) -> None:
    folder = write_run(tmp_path, many_sets(4, seeds=(0, 1, 2)))
    analysis = analyse(read_run(folder))
    by_mode = {
        mode: [r for r in analysis.rules if r.mode == mode] for mode in {r.mode for r in analysis.rules}
    }
    assert {m: len(found) for m, found in by_mode.items()} == {
        "retfound_green": 4,
        "retfound_seed_t_test": 5,
        "mirage_wilcoxon": 1,
    }
    rule = by_mode["retfound_seed_t_test"][0]
    panel = next(p for p in analysis.panels if p.id == rule.panel)
    best, second = panel.estimates[:2]
    assert (rule.winner, rule.runner_up) == (best.encoder, second.encoder)
    assert rule.p_value == pytest.approx(stats.ttest_ind(best.seed_values, second.seed_values).pvalue)
    winner = panel.comparison(best.encoder, second.encoder).winner
    assert rule.ours == ("holds" if winner == best.encoder else "cannot be told apart")
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count("as in the source, not a valid test") >= 3


def test_rank_intervals_follow_from_the_differences_that_hold(tmp_path: Path) -> None:
    analysis = analyse(run_of(tmp_path))
    for panel in analysis.panels:
        for e in panel.estimates:
            wins = sum(c.winner == e.encoder for c in panel.comparisons)
            losses = sum(
                c.winner not in (None, e.encoder) and e.encoder in (c.first, c.second)
                for c in panel.comparisons
            )
            assert e.ranks == (1 + losses, len(panel.estimates) - wins)


def test_secondary_metrics_of_many_encoders_are_compared_with_the_best_one(tmp_path: Path) -> None:
    encoders = tuple(FakeEncoder(f"e{i}", 0.3 + 0.1 * i) for i in range(14))
    spec = FakeRun(encoders, [FakeTask("set0/t", n=150), FakeTask("set1/grade", n=150, **ORDINAL)])
    for panel in analyse(read_run(write_run(tmp_path, spec))).panels:
        best = panel.estimates[0].encoder
        others = [e.encoder for e in panel.estimates[1:]]
        assert len(panel.comparisons) == 14 * 13 / 2
        compared = [s for s in panel.secondary if s.comparisons]
        assert len(compared) >= 3
        for s in compared:
            assert s.against == best
            assert [(c.first, c.second) for c in s.comparisons] == [(o, best) for o in others]
            by_name = {e.encoder: e.value for e in s.estimates}
            assert [c.difference for c in s.comparisons] == pytest.approx(
                [by_name[o] - by_name[best] for o in others]
            )


def test_secondary_metrics_are_a_family_of_their_own_that_changes_no_claim(tmp_path: Path) -> None:
    analysis = analyse(run_of(tmp_path, tasks=typical().tasks[1:]))
    binary, ordinal = analysis.panels
    assert [s.metric for s in binary.secondary] == [
        *("balanced_accuracy", "average_precision", "f1", "sensitivity_at_specificity_0.9", "brier", "ece")
    ]
    assert [s.metric for s in ordinal.secondary] == ["unweighted_kappa", "macro_auroc", "balanced_accuracy"]
    compared = [
        c for p in analysis.panels for s in p.secondary for c in s.comparisons if c.p_value is not None
    ]
    expected = stats.false_discovery_control([c.p_value for c in compared])
    assert [c.p_bh for c in compared] == pytest.approx(expected)
    assert analysis.wins.tests == 20
    for s in binary.secondary[:-1]:
        assert all(e.ci_low <= e.value <= e.ci_high for e in s.estimates)
    assert all(e.value is not None and e.ci_low is None for e in binary.secondary[-1].estimates)
