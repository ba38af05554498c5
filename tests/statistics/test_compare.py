"""The entry points that the analysis calls."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.statistics import METRICS, StatisticsError, compare, delong_test, estimate

RNG = np.random.default_rng(0)
N = 160
Y = RNG.integers(0, 3, N)
CUBE = RNG.random((3, N, 3)) + np.array([0.2, 0.5, 0.9])[:, None, None] * np.eye(3)[Y]
PATIENTS = np.arange(N) // 2


def inputs(metric):
    if metric in ("auroc", "average_precision"):
        return (Y == 2).astype(int), CUBE[:, :, 2]
    if metric == "multilabel_macro_auroc":
        return np.eye(3)[Y], CUBE
    return Y, CUBE


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_gives_estimates_and_all_pairs(metric):
    y, scores = inputs(metric)
    result = compare(metric, y, scores, PATIENTS)
    assert [(p.index_a, p.index_b) for p in result.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert (result.n, result.n_clusters, result.metric) == (N, N // 2, metric)
    for e in result.estimates:
        assert e.ci_low < e.value < e.ci_high
        assert e.verdict == "ok"
    for p in result.pairs:
        assert p.difference == pytest.approx(
            result.estimates[p.index_a].value - result.estimates[p.index_b].value
        )
        assert p.ci_low < p.difference < p.ci_high
        assert (p.p_value < 0.05) == (p.ci_low > 0 or p.ci_high < 0)
    assert result.estimates[2].value > result.estimates[0].value
    assert result.pairs[1].p_value < 0.01
    alone = estimate(metric, y, scores[1], PATIENTS)
    joint = result.estimates[1]
    assert (alone.value, alone.ci_low, alone.ci_high, alone.se) == pytest.approx(
        (joint.value, joint.ci_low, joint.ci_high, joint.se), rel=1e-12
    )


def test_a_reference_is_compared_with_every_other_system():
    y, scores = inputs("auroc")
    pairs = compare("auroc", y, scores, comparisons=1).pairs
    assert [(p.index_a, p.index_b) for p in pairs] == [(0, 1), (2, 1)]
    direct = delong_test(y, scores[2], scores[1])
    assert pairs[1].p_value == pytest.approx(direct.p_value, rel=1e-12)
    with pytest.raises(StatisticsError, match="position of the reference"):
        compare("auroc", y, scores, comparisons=3)
    with pytest.raises(StatisticsError, match="position of the reference"):
        compare("auroc", y, scores, comparisons="best")


def test_an_unknown_metric_names_the_known_ones():
    with pytest.raises(StatisticsError, match="average_precision"):
        compare("auc", *inputs("auroc"))


def test_estimates_say_why_they_have_no_interval():
    y = np.repeat([1, 0], 25)
    assert estimate("auroc", np.ones(20), np.arange(20)).verdict == "undefined_auc"
    constant = estimate("auroc", y, np.ones(50))
    assert (constant.verdict, constant.value, constant.ci_low) == ("constant_scores", 0.5, None)
    perfect = estimate("auroc", y, y)
    assert (perfect.verdict, perfect.ci_high) == ("degenerate_variance", 1)
    assert perfect.ci_low == pytest.approx(0.05 ** (1 / 25))
    few = estimate("auroc", np.arange(50) < 4, np.arange(50) % 7)
    assert (few.verdict, few.ci_low, few.se) == ("too_few_cases", None, None)
    assert few.value is not None


def test_a_rare_class_marks_the_macro_and_adds_a_permutation_p():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], [60, 60, 7])
    cube = rng.random((2, 127, 3)) + 0.4 * np.eye(3)[y]
    for metric in ("macro_auroc", "balanced_accuracy"):
        pair = compare(metric, y, cube).pairs[0]
        assert (pair.verdict, pair.ci_low, pair.smallest_detectable_difference) == ("rare_class", None, None)
        assert pair.permutation_p == pytest.approx(pair.p_value, abs=0.15)
        assert pair.p_to_correct == max(pair.p_value, pair.permutation_p)
        assert [e.ci_low for e in compare(metric, y, cube).estimates] == [None, None]


def test_a_failed_system_is_called_failed_beside_a_rare_class_too():
    y = np.repeat([0, 1, 2], [60, 40, 6])
    cube = np.random.default_rng(2).random((2, 106, 3)) + 0.4 * np.eye(3)[y]
    cube[0] = 1 / 3
    for metric in ("macro_auroc", "balanced_accuracy"):
        first, second = compare(metric, y, cube).estimates
        assert (first.verdict, second.verdict) == ("constant_scores", "rare_class")


def test_identical_average_precision_is_identical():
    y, scores = inputs("average_precision")
    pair = compare("average_precision", y, [scores[0], 2 * scores[0]]).pairs[0]
    assert (pair.verdict, pair.difference, pair.p_value) == ("identical", 0, 1)


def test_results_do_not_depend_on_the_order_of_cases():
    y, scores = inputs("macro_auroc")
    order = RNG.permutation(N)
    first, second = (
        compare("macro_auroc", y, scores, PATIENTS),
        compare("macro_auroc", y[order], scores[:, order], PATIENTS[order]),
    )
    for a, b in zip(first.pairs, second.pairs, strict=True):
        assert a.p_value == pytest.approx(b.p_value, rel=1e-9)


def test_twenty_systems_are_compared_jointly():
    y, scores = inputs("auroc")
    many = scores[0] + 0.3 * RNG.standard_normal((20, N))
    result = compare("auroc", y, many, PATIENTS)
    assert len(result.pairs) == 190
    assert result.omnibus.df == 19


def test_average_precision_gives_reasons_too():
    y = np.repeat([1, 0], 25)
    rng = np.random.default_rng(2)
    result = compare("average_precision", y, [y, np.ones(50), rng.random(50)])
    assert [e.verdict for e in result.estimates] == ["degenerate_variance", "constant_scores", "ok"]
    assert [e.ci_low is None for e in result.estimates] == [True, True, False]
    assert [p.verdict for p in result.pairs] == ["constant_scores", "ok", "constant_scores"]
    few = compare("average_precision", np.arange(50) < 4, rng.random((2, 50))).pairs[0]
    assert (few.verdict, few.p_value, few.ci_low) == ("too_few_cases", None, None)
