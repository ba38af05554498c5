"""Several seeds on one test set, and repeated splits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from benchbench.statistics import (
    StatisticsError,
    compare,
    compare_seeds,
    delong_test,
    measure,
    nadeau_bengio,
    orh,
    orh_from_covariance,
    retfound_seed_t_test,
)
from benchbench.statistics.selftest import orh_of_long_table


@pytest.fixture
def two_methods():
    rng = np.random.default_rng(0)
    y = np.repeat([1, 0], [60, 120])
    shared = rng.standard_normal((2, 1, 180))
    scores = shared + 0.5 * rng.standard_normal((2, 4, 180)) + np.array([1.2, 0.9])[:, None, None] * y
    return y, scores


def test_van_dyke_is_reproduced_to_the_printed_digits(golden):
    result = orh_of_long_table(golden.table("VanDyke"))
    reference = golden.json("published_examples.json")["vandyke_orh_delong"]
    pair = result.differences[0]
    ours = {
        "Error": result.error,
        "Cov1": result.cov1,
        "Cov2": result.cov2,
        "Cov3": result.cov3,
        "MS_T": result.ms_method,
        "MS_TR": result.ms_method_seed,
        "Denominator": result.denominator,
        "F": result.f,
        "df2": result.df2,
        "p": result.p_value,
        "diff": pair.difference,
        "se": pair.se,
        "t": pair.t,
    }
    for name, value in ours.items():
        assert value == pytest.approx(reference[name], rel=1e-6), name
    assert (pair.ci_low, pair.ci_high) == pytest.approx(reference["ci"], abs=1e-9)
    assert [m.value for m in result.methods] == pytest.approx(reference["auc_by_treatment"], abs=1e-7)


def test_seeds_that_do_not_matter_leave_delongs_test(two_methods):
    y, scores = two_methods
    same = np.repeat(scores[:, :1], 3, axis=1)
    pair = compare_seeds("auroc", y, same).pairs[0]
    plain = delong_test(y, scores[0, 0], scores[1, 0])
    assert pair.se == pytest.approx(plain.se, rel=1e-9)
    assert pair.p_value == pytest.approx(plain.p_value, rel=1e-6)
    assert pair.statistic_df == np.inf


def test_one_method_twice_is_identical(two_methods):
    y, scores = two_methods
    twice = np.repeat(np.repeat(scores[:1, :1], 3, axis=1), 2, axis=0)
    pair = compare_seeds("auroc", y, twice).pairs[0]
    assert (pair.verdict, pair.difference, pair.p_value) == ("identical", 0, 1)


def test_the_number_of_seeds_decides_what_is_claimed(two_methods):
    y, scores = two_methods
    one, two, four = (compare_seeds("auroc", y, scores[:, :s]) for s in (1, 2, 4))
    assert [c.claim for c in (one, two, four)] == [
        "this trained model",
        "the mean of these trained models",
        "this method",
    ]
    plain = compare("auroc", y, scores[:, 0])
    assert one.pairs == plain.pairs
    assert (one.estimates[0].seed_sd, len(four.estimates[0].per_seed)) == (None, 4)
    assert four.estimates[0].seed_sd == pytest.approx(np.std(four.estimates[0].per_seed, ddof=1))
    assert "seed as reader" in four.method
    direct = orh(y, scores).differences[0]
    assert four.pairs[0].p_value == pytest.approx(direct.p_value, rel=1e-12)
    assert two.pairs[0].se < four.pairs[0].se * 1.5


@pytest.mark.parametrize("metric", ["macro_auroc", "quadratic_kappa", "balanced_accuracy"])
def test_seeds_of_other_metrics_are_compared_the_same_way(metric):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 150)
    scores = rng.random((2, 3, 150, 3)) + np.array([0.6, 0.3])[:, None, None, None] * np.eye(3)[y]
    result = compare_seeds(metric, y, scores, np.arange(150) // 2)
    assert result.pairs[0].value_a == pytest.approx(np.mean(result.estimates[0].per_seed))
    assert result.pairs[0].p_value < 0.05
    assert result.estimates[0].ci_low < result.estimates[0].value < result.estimates[0].ci_high


def test_few_cases_forbid_a_test_whatever_the_seeds():
    rng = np.random.default_rng(2)
    y = np.repeat([1, 0], [5, 100])
    pair = compare_seeds("auroc", y, rng.standard_normal((2, 4, 105)) + y).pairs[0]
    assert (pair.verdict, pair.p_value, pair.ci_low) == ("too_few_cases", None, None)


def test_a_shared_constant_shift_between_methods_has_no_residual():
    theta = np.array([[0.8, 0.82, 0.84], [0.7, 0.72, 0.74]])
    result = orh_from_covariance(theta, np.eye(6) * 1e-4)
    assert result.ms_method_seed == 0
    assert result.denominator == 0
    assert result.p_value is None
    assert result.differences[0].verdict == "degenerate_variance"


def test_a_single_seed_is_not_a_reader_study():
    with pytest.raises(StatisticsError, match="methods x seeds x cases"):
        orh([0, 1], np.zeros((2, 1, 2)))
    with pytest.raises(StatisticsError, match="undefined_auc"):
        orh([0] * 10, np.random.default_rng(0).random((2, 3, 10)))


def test_nadeau_bengio_equals_its_formula_in_R(golden):
    reference = golden.json("misc_R.json")["nadeau_bengio"]
    result = nadeau_bengio([float(d) for d in reference["diffs"]], float(reference["ntest_over_ntrain"]))
    assert result.t == pytest.approx(float(reference["t"]), rel=1e-12)
    assert result.p_value == pytest.approx(float(reference["p"]), rel=1e-9)
    assert result.naive_p_value == pytest.approx(float(reference["naive_t_p"]), rel=1e-9)
    assert "Nadeau-Bengio" in result.label
    assert nadeau_bengio([0.01, 0.01], 0.25).p_value is None


def test_average_precision_is_compared_by_drawing_patients_for_the_mean_over_seeds(two_methods):
    y, scores = two_methods
    result = compare_seeds("average_precision", y, scores)
    values = np.array([[average_precision_score(y, s) for s in method] for method in scores])
    assert [e.value for e in result.estimates] == pytest.approx(values.mean(axis=1))
    assert [e.seed_sd for e in result.estimates] == pytest.approx(values.std(axis=1, ddof=1))
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(400):
        picked = rng.integers(0, y.size, y.size)
        by_seed = [[average_precision_score(y[picked], s[picked]) for s in m] for m in scores]
        drawn.append(-np.diff(np.mean(by_seed, axis=1))[0])
    pair = result.pairs[0]
    assert pair.se == pytest.approx(np.std(drawn), rel=0.15)
    assert "bootstrap, mean over seeds" in pair.method
    assert result.claim == "the mean of these trained models"


def test_methods_that_are_perfect_with_every_seed_get_a_bound_and_no_test():
    y = np.repeat([1, 0], [25, 60])
    scores = np.random.default_rng(0).random((2, 3, 85)) + 2 * y
    result = compare_seeds("auroc", y, scores)
    assert (result.pairs[0].verdict, result.pairs[0].p_value) == ("both_perfect", None)
    estimate = result.estimates[0]
    assert (estimate.value, estimate.ci_high) == (1, 1)
    assert estimate.ci_low == pytest.approx(0.05 ** (1 / 25))
    assert "rule of three" in estimate.method
    assert orh(y, scores).p_value is None


def test_an_interval_over_seeds_stays_within_the_metrics_range():
    y = np.repeat([1, 0], [25, 60])
    rng = np.random.default_rng(6)
    scores = rng.standard_normal((2, 3, 85)) + np.array([3.2, 2.6])[:, None, None] * y
    result, direct = compare_seeds("auroc", y, scores), orh(y, scores)
    for e, m in zip(result.estimates, direct.methods, strict=True):
        assert 0 < e.ci_low < e.value < e.ci_high < 1
        assert (m.ci_low, m.ci_high) == pytest.approx((e.ci_low, e.ci_high))
    first = direct.methods[0]
    assert (
        first.value + stats.t.ppf(0.975, first.df) * first.se > 1
    )  # which a plain interval would have printed


def test_a_method_whose_seed_failed_is_not_compared():
    y = np.repeat([1, 0], [40, 60])
    scores = np.random.default_rng(2).random((3, 3, 100)) + 0.3 * y
    scores[1] = 0.5
    result = compare_seeds("auroc", y, scores)
    assert [p.verdict for p in result.pairs] == ["constant_scores", "ok", "constant_scores"]
    assert [e.verdict for e in result.estimates] == ["ok", "constant_scores", "ok"]
    assert result.estimates[1].ci_low is None
    found = orh(y, scores)
    assert [d.p_value is None for d in found.differences] == [True, False, True]


def test_orh_gives_no_p_value_for_a_handful_of_cases():
    y = np.repeat([1, 0], [3, 100])
    found = orh(y, np.random.default_rng(3).standard_normal((2, 4, 103)) + y)
    assert (found.verdict, found.p_value, found.differences[0].p_value) == ("too_few_cases", None, None)
    assert found.methods[0].ci_low is None


@pytest.mark.parametrize("seeds", [1, 2, 3])
@pytest.mark.parametrize("metric", ["auroc", "average_precision"])
def test_a_permutation_p_value_is_promised_only_where_there_is_one(metric, seeds):
    y = np.repeat([1, 0], [6, 60])
    scores = np.random.default_rng(4).standard_normal((2, seeds, 66)) + y
    pair = compare_seeds(metric, y, scores).pairs[0]
    assert pair.verdict == "too_few_cases"
    assert ("ermutation" in pair.explanation) == (pair.permutation_p is not None)
    assert (pair.permutation_p is not None) == (metric == "auroc" and seeds < 3)


def test_orh_refuses_estimates_that_are_no_table_of_methods_and_seeds():
    with pytest.raises(StatisticsError, match="methods x seeds"):
        orh_from_covariance([0.8, 0.9, 0.7], np.eye(3))
    with pytest.raises(StatisticsError, match="methods x seeds"):
        orh_from_covariance([[0.8], [0.9]], np.eye(2))
    with pytest.raises(StatisticsError, match="does not belong"):
        orh_from_covariance([[0.8, 0.9], [0.7, 0.7]], np.eye(3))


def test_equal_values_leave_rounding_and_no_variance():
    assert nadeau_bengio([0.1 + 0.2 - 0.3 + d for d in (0.01, 0.01, 0.03 / 3)], 0.25).p_value is None
    third = [0.7, 0.1 + 0.6, 0.3 + 0.4]
    assert retfound_seed_t_test([third, [0.8, 0.1 + 0.7, 0.5 + 0.3]]).p_value is None


def test_a_rare_class_takes_the_larger_of_two_p_values_over_seeds_too():
    rng = np.random.default_rng(7)
    y = np.repeat([0, 1, 2], [60, 60, 4])
    cube = rng.random((2, 3, y.size, 3)) + 0.5 * np.eye(3)[y]
    result = compare_seeds("macro_auroc", y, cube)
    pair = result.pairs[0]
    assert (pair.verdict, pair.ci_low, pair.ci_high) == ("rare_class", None, None)
    assert pair.p_to_correct == max(pair.p_value, pair.permutation_p)
    influence = measure("macro_auroc", y, cube.reshape(6, -1, 3)).influence
    plain = orh_from_covariance(influence.estimate.reshape(2, 3), influence.covariance)
    assert pair.p_value == pytest.approx(plain.p_value, rel=1e-9)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_identical_methods_are_identical_beside_a_rare_class_with_any_number_of_seeds(seeds):
    y = np.repeat([0, 1, 2], [60, 40, 6])
    one = np.random.default_rng(3).random((seeds, y.size, 3)) + 0.4 * np.eye(3)[y]
    pair = compare_seeds("macro_auroc", y, np.stack([one, one])).pairs[0]
    assert (pair.verdict, pair.difference, pair.p_to_correct) == ("identical", 0, 1)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_labels_left_out_of_a_mean_are_listed_with_any_number_of_seeds(seeds):
    rng = np.random.default_rng(8)
    y = (rng.random((120, 3)) < [0.4, 0.4, 0.03]).astype(float)
    result = compare_seeds("multilabel_macro_auroc", y, rng.random((2, seeds, 120, 3)) + 0.5 * y)
    assert [e.index for e in result.excluded] == [2]


def test_the_detectable_difference_of_methods_uses_the_t_of_their_seeds():
    y, scores = np.repeat([1, 0], 60), np.random.default_rng(9).normal(size=(2, 3, 120))
    pair = compare_seeds("auroc", y, scores + y).pairs[0]
    quantiles = stats.t.ppf(0.975, pair.statistic_df) + stats.t.ppf(0.8, pair.statistic_df)
    assert pair.smallest_detectable_difference == pytest.approx(quantiles * pair.se, rel=1e-9)
