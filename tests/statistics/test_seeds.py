"""Several seeds on one test set, and repeated splits."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.statistics import (
    StatisticsError,
    compare,
    compare_seeds,
    delong_test,
    nadeau_bengio,
    orh,
    orh_from_covariance,
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
