"""DeLong and its family against R, exact fractions, and a direct count over all pairs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from benchbench.statistics import (
    StatisticsError,
    delong_covariance,
    delong_test,
    delong_test_all,
    delong_test_unpaired,
)

CASES = [
    "c01_continuous",
    "c02_ties_1dec",
    "c03_imbalanced_5_995",
    "c04_two_pos",
    "c05_six_pos_ties",
    "c06_one_pos",
    "c08_perfect_both",
    "c09_perfect_vs_imperfect",
    "c10_constant_vs_informative",
    "c11_constant_both",
    "c12_identical",
    "c14_negated",
    "c15_auc_below_half",
    "c17_idrid_like_69_34",
    "c18_n10000",
    "c19_n100000",
    "c23_equal_auc_diff_curves",
    "c24_perfect_vs_reversed",
    "c25_perfect_vs_constant",
    "c27_negative_corr",
    "c29_minus_zero",
    "c31_ordinal_5_levels",
]

VERDICTS = {
    "c03_imbalanced_5_995": "too_few_cases",
    "c04_two_pos": "too_few_cases",
    "c05_six_pos_ties": "too_few_cases",
    "c06_one_pos": "undefined_variance",
    "c08_perfect_both": "both_perfect",
    "c10_constant_vs_informative": "constant_scores",
    "c11_constant_both": "constant_scores",
    "c12_identical": "identical",
    "c23_equal_auc_diff_curves": "too_few_cases",
    "c24_perfect_vs_reversed": "degenerate_variance",
    "c25_perfect_vs_constant": "degenerate_variance",
}


def pairwise_delong(y, scores):
    """AUC and covariance straight from the definition: one comparison per pair of cases."""
    y, scores = np.asarray(y) == 1, np.asarray(scores, dtype=float)
    v10, v01 = [], []
    for column in scores.T:
        kernel = np.sign(column[y][:, None] - column[~y][None, :]) / 2 + 0.5
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    auc = np.mean(v10, axis=1)
    return auc, np.cov(v10) / y.sum() + np.cov(v01) / (~y).sum()


def close(value, reference, rel):
    return value == pytest.approx(reference, rel=rel, abs=1e-300, nan_ok=True)


@pytest.mark.parametrize("name", CASES)
def test_auc_and_covariance_equal_pROC(golden, name):
    reference = golden.json("delong_pROC.json")["cases"][name]
    y, scores = golden.binary(name)
    auc, covariance = delong_covariance(y, scores)
    assert auc == pytest.approx([golden.number(a) for a in reference["auc"]], abs=1e-12)
    expected = np.array([[golden.number(c) for c in row] for row in reference["cov"]])
    assert covariance == pytest.approx(expected, rel=1e-10, abs=1e-19, nan_ok=True)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("name", CASES)
def test_every_pair_equals_pROC_in_compatible_mode(golden, name, alternative):
    y, scores = golden.binary(name)
    key = {"two-sided": "paired", "greater": "paired_greater", "less": "paired_less"}[alternative]
    for pair in golden.json("delong_pROC.json")["cases"][name]["pairs"]:
        ours = delong_test(
            y, scores[:, pair["i"]], scores[:, pair["j"]], alternative=alternative, compat="pROC"
        )
        expected = pair[key]
        assert close(ours.z, golden.number(expected["statistic"]), 1e-9)
        assert close(ours.p_value, golden.number(expected["p_value"]), 1e-9)
        assert close(ours.ci_low, golden.number(expected["ci"][0]), 1e-9)
        assert close(ours.ci_high, golden.number(expected["ci"][1]), 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_our_mode_prints_pROCs_numbers_exactly_where_the_test_applies(golden, name):
    y, scores = golden.binary(name)
    pair = golden.json("delong_pROC.json")["cases"][name]["pairs"][0]
    ours = delong_test(y, scores[:, pair["i"]], scores[:, pair["j"]])
    assert ours.verdict == VERDICTS.get(name, "ok")
    if ours.verdict in ("ok", "identical"):
        assert close(ours.z, golden.number(pair["paired"]["statistic"]), 1e-9)
        assert close(ours.p_value, golden.number(pair["paired"]["p_value"]), 1e-9)
    else:
        assert (ours.z, ours.p_value, ours.ci_low, ours.ci_high, ours.se) == (None,) * 5
    assert (ours.permutation_p is not None) == (ours.verdict == "too_few_cases")


@pytest.mark.parametrize("name", CASES)
def test_unpaired_test_equals_pROC(golden, name):
    y, scores = golden.binary(name)
    for pair in golden.json("delong_pROC.json")["cases"][name]["pairs"]:
        ours = delong_test_unpaired(y, scores[:, pair["i"]], y, scores[:, pair["j"]], compat="pROC")
        assert close(ours.statistic, golden.number(pair["unpaired"]["statistic"]), 1e-9)
        assert close(ours.df, golden.number(pair["unpaired"]["df"]), 1e-9)
        assert close(ours.p_value, golden.number(pair["unpaired"]["p_value"]), 1e-9)


def test_unpaired_test_gives_a_reason_where_it_does_not_apply():
    y = np.repeat([1, 0], 20)
    result = delong_test_unpaired(y, y, y, y)
    assert result.verdict == "both_perfect"
    assert result.p_value is None
    assert result.difference == 0


def test_near_identical_models_keep_their_digits(golden):
    for case in golden.json("delong_exact_rational.json")["cases"].values():
        columns = [np.array([float(v) for v in case[key]]) for key in ("s0", "s1")]
        ours = delong_test(case["y"], *columns, compat="pROC")
        assert ours.difference == pytest.approx(float(Fraction(case["d"])), rel=1e-15)
        assert ours.se**2 == pytest.approx(float(Fraction(case["var_d"])), rel=1e-13)
        assert ours.z == pytest.approx(float(case["z"]), rel=1e-13)
        assert ours.p_value == pytest.approx(float(case["p"]), rel=1e-12)


def test_one_swapped_pair_among_100000_cases_keeps_its_digits():
    rng = np.random.default_rng(0)
    n, m = 100_000, 20_000
    y = np.repeat([1, 0], [m, n - m])
    a = rng.permutation(n).astype(float)
    b = a.copy()
    positive = int(np.flatnonzero((y == 1) & (a < n - 1))[0])
    other = int(np.flatnonzero(a == a[positive] + 1)[0])
    while y[other] == 1:
        positive += 1
        other = int(np.flatnonzero(a == a[positive] + 1)[0])
    b[positive], b[other] = a[other], a[positive]
    ours = delong_test(y, a, b)
    # One positive and one negative change their placement by one pair each.
    d = Fraction(1, m * (n - m))
    variance = d * d * m * m * Fraction(m - 1, m) / m / (m - 1) + d * d * (n - m) ** 2 * Fraction(
        n - m - 1, n - m
    ) / (n - m) / (n - m - 1)
    assert ours.difference == pytest.approx(-float(d), rel=1e-12)
    assert ours.se**2 == pytest.approx(float(variance), rel=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_random_ties_equal_the_count_over_all_pairs(seed):
    rng = np.random.default_rng(seed)
    y = rng.random(90) < 0.4
    scores = np.round(rng.standard_normal((90, 4)) + y[:, None], seed % 3)
    auc, covariance = delong_covariance(y, scores)
    expected_auc, expected = pairwise_delong(y, scores)
    assert auc == pytest.approx(expected_auc, abs=1e-13)
    assert covariance == pytest.approx(expected, rel=1e-11, abs=1e-17)


@pytest.mark.parametrize(
    "transform",
    [
        lambda s: s * 1e-310,
        lambda s: s * 1e300,
        lambda s: np.exp(s) * 1e-12,
        lambda s: 1.0 + np.argsort(np.argsort(s)) * np.finfo(float).eps,
        lambda s: (np.argsort(np.argsort(s)) - 20) * 5e-324,
        lambda s: np.argsort(np.argsort(s)).astype(np.uint8),
        lambda s: np.argsort(np.argsort(s)) + 2**60,
        lambda s: np.argsort(np.argsort(s)).astype(np.float16),
    ],
    ids=["subnormal", "huge", "tiny", "1 ulp", "smallest", "uint8", "large integers", "float16"],
)
def test_only_the_order_of_scores_matters(transform):
    rng = np.random.default_rng(1)
    y = np.arange(120) % 3 == 0
    base = rng.standard_normal(120) + y
    other = rng.standard_normal(120) + y
    plain, moved = delong_test(y, base, other), delong_test(y, transform(base), other)
    assert (moved.auc_a, moved.z, moved.p_value) == (plain.auc_a, plain.z, plain.p_value)
    assert delong_test(y, base, transform(base)).verdict == "identical"


def test_saturated_single_precision_scores_are_ties():
    rng = np.random.default_rng(2)
    y = np.arange(200) % 2
    logits = 12 * rng.standard_normal(200) + 20 * y
    single = (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)
    expected, _ = pairwise_delong(y, single[:, None].astype(float))
    auc, _ = delong_covariance(y, single)
    assert auc == pytest.approx(expected, abs=1e-14)
    assert auc != delong_covariance(y, logits)[0]


def test_plus_and_minus_zero_tie():
    y = [1, 0] * 15
    assert delong_covariance(y, [0.0, -0.0] * 15)[0][0] == 0.5


def test_all_pairs_and_omnibus_agree_with_single_tests(golden):
    y, scores = golden.binary("c17_idrid_like_69_34")
    family = delong_test_all(y, scores)
    assert len(family.pairs) == 10
    for pair in family.pairs:
        single = delong_test(y, scores[:, pair.index_a], scores[:, pair.index_b])
        assert (pair.z, pair.p_value) == pytest.approx((single.z, single.p_value), rel=1e-12)
    assert family.omnibus.df == 4
    two = delong_test_all(y, scores[:, :2])
    assert two.omnibus.p_value == pytest.approx(two.pairs[0].p_value, rel=1e-10)


def test_ten_systems_have_a_positive_semi_definite_covariance():
    rng = np.random.default_rng(3)
    y = rng.random(300) < 0.1
    _, covariance = delong_covariance(y, rng.standard_normal((300, 10)) + y[:, None])
    assert np.linalg.eigvalsh(covariance).min() > -1e-18


@pytest.mark.parametrize(
    ("m", "verdict"),
    [(1, "undefined_variance"), (9, "too_few_cases"), (10, "small"), (19, "small"), (20, "ok")],
)
def test_the_rarer_class_decides_the_verdict(m, verdict):
    rng = np.random.default_rng(m)
    y = np.repeat([1, 0], [m, 60])
    a, b = rng.standard_normal((2, m + 60)) + y
    for labels in (y, 1 - y):
        result = delong_test(labels, a, b)
        assert result.verdict == verdict
        assert (result.p_value is None) == (verdict in ("undefined_variance", "too_few_cases"))
        assert (result.permutation_p is None) == (verdict in ("undefined_variance", "ok"))


def test_an_absent_class_leaves_the_auc_undefined():
    result = delong_test([0] * 30, np.arange(30), np.arange(30)[::-1])
    assert result.verdict == "undefined_auc"
    assert (result.auc_a, result.difference, result.p_value) == (None, None, None)


def test_smallest_detectable_difference_is_2_80_standard_errors(golden):
    y, scores = golden.binary("c01_continuous")
    result = delong_test(y, scores[:, 0], scores[:, 1])
    assert result.smallest_detectable_difference == pytest.approx(2.8016 * result.se, rel=1e-4)


def test_pROC_examples_of_subarachnoid_haemorrhage_are_reproduced(golden):
    table = golden.table("aSAH")
    y = table["outcome"] == "Poor"
    result = delong_test(y, table["s100b"], table["wfns"])
    assert result.z == pytest.approx(-2.20898359144091, rel=1e-12)
    assert result.p_value == pytest.approx(0.0271757822291882, rel=1e-12)
    assert (result.ci_low, result.ci_high) == pytest.approx(
        (-0.174214419249478, -0.010406176956485), rel=1e-12
    )
    male = table["gender"] == "Male"
    reference = golden.json("aSAH_pROC.json")["aSAH"]["unpaired_male_vs_female_s100b"]
    unpaired = delong_test_unpaired(y[male], table["s100b"][male], y[~male], table["s100b"][~male])
    assert unpaired.statistic == pytest.approx(golden.number(reference["statistic"]), rel=1e-9)
    assert unpaired.p_value == pytest.approx(golden.number(reference["p_value"]), rel=1e-9)


def test_ovarian_example_of_1988_is_reproduced(golden):
    table = golden.table("ovarian_delong1988")
    scores = np.stack([-table["alb"], -(10 - table["totscore"]), -table["tp"]], axis=1)
    family = delong_test_all(table["popind"] == 0, scores)
    assert family.auc == pytest.approx([0.7366, 0.7258, 0.6478], abs=5e-5)
    assert np.sqrt(np.diag(family.covariance)) == pytest.approx([0.0927, 0.1028, 0.1000], abs=5e-5)
    assert family.omnibus.statistic == pytest.approx(2.5340, abs=5e-5)
    assert family.omnibus.p_value == pytest.approx(0.2817, abs=5e-5)


def test_an_unpaired_test_checks_its_options_also_where_no_test_applies():
    perfect = ([0, 0, 1, 1], [0, 0, 1, 1])
    with pytest.raises(StatisticsError, match="alternative"):
        delong_test_unpaired(*perfect, *perfect, alternative="larger")
    with pytest.raises(StatisticsError, match="compat"):
        delong_test_unpaired(*perfect, *perfect, compat="proc")


def test_patients_may_be_named_by_tuples():
    rng = np.random.default_rng(0)
    y, a, b = np.arange(60) % 2, rng.random(60), rng.random(60)
    named = [("site", i // 3) for i in range(60)]
    assert delong_test(y, a, b, named) == delong_test(y, a, b, np.arange(60) // 3)
