"""Corrections, chance wins, ranks, and comparisons across data sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchbench.statistics import (
    StatisticsError,
    benjamini_hochberg,
    chi_square_test,
    expected_false_wins,
    friedman_nemenyi,
    holm,
    linear_contrast,
    pooled_difference,
    rank_intervals,
    significant_pairs,
    tie_groups,
)


def test_corrections_equal_R(golden):
    reference = golden.json("misc_R.json")
    p = np.array([float(v) for v in reference["p"]])
    shuffled = np.random.default_rng(0).permutation(p.size)
    for rule, key in ((holm, "holm"), (benjamini_hochberg, "BH")):
        expected = np.array([float(v) for v in reference["p_adjust"][key]])
        assert rule(p).adjusted == pytest.approx(expected, rel=1e-12)
        assert rule(p[shuffled]).adjusted == pytest.approx(expected[shuffled], rel=1e-12)


def test_tests_that_do_not_apply_do_not_count_in_the_family():
    result = holm([0.01, None, 0.04, float("nan")])
    assert result.family_size == 2
    assert result.adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(result.adjusted[[1, 3]]).all()
    assert result.rejected.tolist() == [True, False, True, False]
    assert holm([]).family_size == 0
    with pytest.raises(StatisticsError, match="between 0 and 1"):
        holm([1.2])


def test_equal_systems_win_one_test_in_twenty():
    chance = expected_false_wins(72)
    assert chance.expected == pytest.approx(3.6)
    assert chance.chance_of_any == pytest.approx(1 - 0.95**72)


def test_ranks_are_intervals_and_ties_need_not_be_transitive():
    estimates = [0.80, 0.90, 0.85]
    table = significant_pairs(3, [(0, 1), (0, 2), (1, 2)], [True, False, False])
    ranks = {r.index: (r.best, r.worst) for r in rank_intervals(estimates, table)}
    assert ranks == {0: (2, 3), 1: (1, 2), 2: (1, 3)}
    assert tie_groups(estimates, table) == ((1, 2), (2, 0))
    assert tie_groups(estimates, np.zeros((3, 3))) == ((1, 2, 0),)
    assert tie_groups(estimates, ~np.eye(3, dtype=bool)) == ((1,), (2,), (0,))


def test_friedman_and_nemenyi_equal_R(golden):
    reference = golden.json("misc_R.json")
    friedman, nemenyi = reference["friedman"], reference["nemenyi"]
    result = friedman_nemenyi(friedman["X"])
    assert result.mean_ranks == pytest.approx([float(r) for r in friedman["avg_ranks_high_is_1"]])
    assert result.chi_square == pytest.approx(float(friedman["chisq"]), rel=1e-12)
    assert result.p_value == pytest.approx(float(friedman["p"]), rel=1e-9)
    assert result.iman_davenport_f == pytest.approx(float(friedman["iman_davenport_F"]), rel=1e-10)
    assert result.iman_davenport_p == pytest.approx(float(friedman["iman_p"]), rel=1e-8)
    assert result.critical_difference == pytest.approx(float(nemenyi["CD05"]), rel=1e-6)
    expected = np.array([[float(v) for v in row] for row in nemenyi["p"]])
    assert result.pairwise_p == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_ranks_over_few_data_sets_are_refused():
    result = friedman_nemenyi(np.random.default_rng(0).random((5, 4)))
    assert result.verdict == "too_few_datasets"
    assert (result.mean_ranks, result.p_value, result.critical_difference) == (None, None, None)
    assert friedman_nemenyi(np.random.default_rng(0).random((6, 4))).verdict == "ok"


def test_systems_equal_on_every_data_set_share_their_rank():
    result = friedman_nemenyi(np.ones((7, 3)))
    assert result.mean_ranks.tolist() == [2, 2, 2]
    assert (result.p_value, result.groups) == (1, ((0, 1, 2),))


def test_pooling_without_spread_is_the_weighted_mean():
    result = pooled_difference([0.02, 0.02, 0.02], [0.01, 0.02, 0.04])
    assert result.difference == pytest.approx(0.02)
    assert result.se == pytest.approx((1e4 + 2500 + 625) ** -0.5)
    assert (result.tau, result.i_squared) == (0, 0)


def test_pooling_counts_the_spread_between_data_sets():
    # DerSimonian & Laird by hand: equal weights 1 / 0.01^2, Q = 8, df = 1, tau^2 = 7e-4 / ... = 0.0007.
    result = pooled_difference([0.0, 0.04], [0.01, 0.01])
    assert result.tau**2 == pytest.approx(0.0007)
    assert result.se == pytest.approx(np.sqrt((0.0001 + 0.0007) / 2))
    assert result.i_squared == pytest.approx(7 / 8)


def test_contrasts_and_chi_square_follow_the_normal_theory():
    covariance = np.array([[4, 1, 0], [1, 9, 2], [0, 2, 16]]) * 1e-4
    values = [0.8, 0.83, 0.9]
    single = linear_contrast(values, covariance, [1, -1, 0])
    assert single.z == pytest.approx(-0.03 / np.sqrt(11e-4))
    assert single.p_value == pytest.approx(2 * stats.norm.sf(abs(single.z)))
    joint = chi_square_test(values, covariance)
    lines = np.array([[1, -1, 0], [0, 1, -1]])
    d = lines @ values
    expected = d @ np.linalg.solve(lines @ covariance @ lines.T, d)
    assert (joint.statistic, joint.df) == (pytest.approx(expected), 2)
    assert joint.p_value == pytest.approx(stats.chi2.sf(expected, 2))
    assert chi_square_test([1, 1], np.zeros((2, 2))).p_value is None


def test_data_sets_that_all_agree_have_a_small_p_and_never_zero():
    result = friedman_nemenyi(np.tile([0.9, 0.8, 0.7, 0.6], (8, 1)))
    assert (result.iman_davenport_f, result.iman_davenport_p) == (None, None)
    assert 0 < result.p_value < 0.001
    assert result.mean_ranks.tolist() == [1, 2, 3, 4]


def test_tie_groups_are_found_where_a_middle_system_differs_from_its_neighbours():
    # 0 and 2 are tied although 1, between them, differs from both.
    table = significant_pairs(3, [(0, 1), (1, 2)], [True, True])
    assert tie_groups([0.9, 0.8, 0.7], table) == ((0, 2), (1,))
