"""Intervals, detectable differences, power, margins, permutation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from benchbench.statistics import (
    StatisticsError,
    auc_difference_power,
    auc_power,
    cases_for_power,
    delong_covariance,
    logit_interval,
    non_inferiority,
    permutation_test,
    power_of_difference,
    rule_of_three_bound,
    smallest_detectable_difference,
    tost,
    wald_interval,
    wilson_interval,
)
from benchbench.statistics.permutation import sign_flip_test


def test_wald_and_logit_intervals_have_their_textbook_limits():
    wald = wald_interval(0.9, 0.05)
    assert (wald.low, wald.high) == pytest.approx((0.9 - 1.959964 * 0.05, 0.9 + 1.959964 * 0.05), abs=1e-7)
    assert wald_interval(0.95, 0.05, bounds=(0, 1)).high == 1
    logit = logit_interval(0.9, 0.05)
    centre, half = np.log(9), 1.959964 * 0.05 / 0.09
    assert (logit.low, logit.high) == pytest.approx(
        (1 / (1 + np.exp(-centre + half)), 1 / (1 + np.exp(-centre - half))), abs=1e-7
    )
    with pytest.raises(StatisticsError, match="no logit interval"):
        logit_interval(1.0, 0.0)


def test_wilson_interval_equals_R(golden):
    reference = golden.json("misc_R.json")["binom_ci"]
    interval = wilson_interval(reference["k"], reference["n"])
    assert (interval.low, interval.high) == pytest.approx([float(v) for v in reference["wilson"]], rel=1e-10)


def test_rule_of_three_is_about_1_minus_3_over_n():
    assert rule_of_three_bound(60) == pytest.approx(1 - 3 / 60, abs=0.002)


def test_the_detectable_difference_is_found_with_80_percent_power():
    detectable = smallest_detectable_difference(0.02)
    assert detectable == pytest.approx(2.801585 * 0.02, rel=1e-6)
    assert power_of_difference(detectable, 0.02) == pytest.approx(0.8, abs=1e-4)
    assert power_of_difference(0, 0.02) == pytest.approx(0.05)
    assert cases_for_power(detectable / 2, 0.02, 100) == 400


@pytest.mark.parametrize(
    ("difference", "verdict", "equivalent"),
    [
        (0.05, "superior", False),
        (0.005, "non-inferior", True),
        (-0.005, "inconclusive", True),
        (-0.01, "inconclusive", False),
        (-0.06, "inferior", False),
    ],
)
def test_verdicts_against_a_margin(difference, verdict, equivalent):
    result = non_inferiority(difference, se=0.008, margin=0.02)
    assert (result.verdict, result.equivalent) == (verdict, equivalent)


def test_tost_is_two_one_sided_tests():
    result = tost(0.004, 0.01, 0.02)
    lower, upper = stats.norm.sf(0.024 / 0.01), stats.norm.cdf(-0.016 / 0.01)
    assert (result.p_non_inferior, result.p_equivalent) == pytest.approx((lower, upper))
    with pytest.raises(StatisticsError, match="margin"):
        tost(0.0, 0.01, -0.02)
    with pytest.raises(StatisticsError, match="standard error"):
        tost(0.0, 0.0, 0.02)


def all_swaps(y, a, b, patients):
    """p-value by computing both AUCs after every possible swap of patients."""
    ranks = np.stack([stats.rankdata(a), stats.rankdata(b)])
    names = np.unique(patients)
    observed = -np.diff(delong_covariance(y, ranks.T)[0])[0]
    extreme = []
    for flips in product([False, True], repeat=names.size):
        swapped = np.isin(patients, names[list(flips)])
        x = np.where(swapped, ranks[::-1], ranks)
        extreme.append(abs(np.diff(delong_covariance(y, x.T)[0])[0]) >= abs(observed) - 1e-12)
    return observed, np.mean(extreme)


@pytest.mark.parametrize("patients", [np.arange(10), np.array([0, 0, 1, 1, 2, 3, 4, 5, 6, 6])])
def test_permutation_without_recomputing_aucs_equals_permutation_with(patients):
    rng = np.random.default_rng(0)
    y = np.array([1, 0, 1, 0, 1, 0, 0, 1, 0, 0])
    a, b = np.round(rng.standard_normal(10) + y, 1), np.round(rng.standard_normal(10) + 2 * y, 1)
    result = permutation_test(y, a, b, patients)
    difference, p_value = all_swaps(y, a, b, patients)
    assert result.exact
    assert result.difference == pytest.approx(difference, abs=1e-14)
    assert result.p_value == pytest.approx(p_value, abs=1e-14)


def test_random_swaps_agree_with_delong_on_a_large_set(golden):
    y, scores = golden.binary("c17_idrid_like_69_34")
    result = permutation_test(y, scores[:, 0], scores[:, 1], draws=20_000)
    assert not result.exact
    assert result.p_value == pytest.approx(0.0883, abs=0.02)
    again = permutation_test(y, scores[:, 0], scores[:, 1], draws=20_000)
    assert again == result


def test_identical_systems_have_permutation_p_1():
    y = np.arange(30) % 2
    assert permutation_test(y, y, y).p_value == 1
    with pytest.raises(StatisticsError, match="undefined_auc"):
        permutation_test([1, 1], [0, 1], [1, 0])


def test_a_margin_under_a_t_statistic_uses_its_degrees_of_freedom():
    result = non_inferiority(-0.003, 0.008, 0.02, df=4)
    low, high = stats.t.interval(0.95, 4, loc=-0.003, scale=0.008)
    assert (result.ci_low, result.ci_high) == pytest.approx((low, high))
    assert result.p_non_inferior == pytest.approx(stats.t.sf(0.017 / 0.008, 4))
    assert result.verdict == "inconclusive"
    assert non_inferiority(-0.003, 0.008, 0.02).verdict == "non-inferior"
    assert non_inferiority(-0.003, 0.008, 0.02, df=np.inf).ci_low == pytest.approx(-0.003 - 1.959964 * 0.008)


def test_counts_and_draws_that_make_no_sense_are_refused():
    with pytest.raises(StatisticsError, match="draws is -5"):
        permutation_test([0, 1, 0, 1], [1, 2, 3, 4], [4, 3, 2, 1], draws=-5)
    with pytest.raises(StatisticsError, match="say nothing"):
        cases_for_power(0.02, -0.01, 100)
    with pytest.raises(StatisticsError, match="say nothing"):
        cases_for_power(0.02, 0.01, -100)


def test_power_equals_pROC(golden):
    table = golden.table("aSAH")
    y = table["outcome"] == "Poor"
    power = auc_difference_power(y, table["ndka"], table["wfns"])
    assert power == pytest.approx(0.71315939869853417, rel=1e-10)
    power = auc_difference_power(y, table["s100b"], table["wfns"])
    assert power == pytest.approx(0.36832044923142682, rel=1e-10)
    auc = delong_covariance(y, table["s100b"])[0][0]
    assert auc_power(auc, 41, 72) == pytest.approx(0.99048325276323346, rel=1e-10)


def test_power_of_an_assumed_auc_equals_pROC():
    assert auc_power(0.73, 41, 72) == pytest.approx(0.98974534355140109, rel=1e-10)


def test_power_grows_with_the_test_set_and_needs_a_difference():
    assert 0.05 < auc_power(0.6, 20, 20) < auc_power(0.6, 200, 200) < 1
    with pytest.raises(StatisticsError, match="no power exists"):
        auc_power(0.5, 20, 20)
    with pytest.raises(StatisticsError, match="no variance"):
        auc_difference_power([0, 1, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4])


def test_with_few_degrees_of_freedom_more_is_needed_to_be_detected():
    expected = (stats.t.ppf(0.975, 6) + stats.t.ppf(0.8, 6)) * 0.02
    assert smallest_detectable_difference(0.02, df=6) == pytest.approx(expected, rel=1e-9)
    assert smallest_detectable_difference(0.02, df=math.inf) == pytest.approx(
        smallest_detectable_difference(0.02), rel=1e-6
    )


def test_the_number_of_swaps_is_no_floor_and_the_bound_is_never_below_the_exact_p_value():
    for n in (40, 80):
        found = sign_flip_test(np.ones(n), draws=500)
        assert 2.0 ** (1 - n) <= found.p_value < 1e-7
    same = sign_flip_test(np.r_[np.ones(20), -np.ones(20)], draws=500)
    assert same.p_value == 1
