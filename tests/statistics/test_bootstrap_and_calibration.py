"""Bootstrap of patients, calibration, thresholds, ROC bands."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import calibration as sk_calibration
from sklearn import metrics as sk

from benchbench.statistics import (
    StatisticsError,
    bootstrap,
    bootstrap_difference,
    brier_score,
    calibration_error,
    choose_threshold,
    decision_curve,
    delong_test,
    estimate,
    expected_calibration_error,
    reliability_curve,
    roc_curve,
    sensitivity_at_specificity,
)
from benchbench.statistics.weighted import WEIGHTED_METRICS

RNG = np.random.default_rng(0)
Y = (RNG.random(300) < 0.3).astype(int)
P = np.clip(np.round(0.5 * RNG.random(300) + 0.35 * Y, 2), 0, 1)
Q = np.clip(0.6 * RNG.random(300) + 0.3 * Y, 0, 1)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("auroc", sk.roc_auc_score),
        ("average_precision", sk.average_precision_score),
        ("brier", sk.brier_score_loss),
    ],
)
def test_weighted_scores_equal_scikit_learn(name, reference):
    weights = RNG.integers(0, 4, (5, 300)).astype(float)
    ours = WEIGHTED_METRICS[name](Y, P, weights)
    assert ours == pytest.approx([reference(Y, P, sample_weight=w) for w in weights], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("accuracy", sk.accuracy_score), ("balanced_accuracy", sk.balanced_accuracy_score), ("f1", sk.f1_score)],
)
def test_weighted_predictions_equal_scikit_learn(name, reference):
    weights = RNG.integers(0, 4, (5, 300)).astype(float)
    guess = (P > 0.5).astype(int)
    ours = WEIGHTED_METRICS[name](Y, guess, weights)
    assert ours == pytest.approx([reference(Y, guess, sample_weight=w) for w in weights], abs=1e-12)


def test_bootstrap_of_the_auroc_agrees_with_delong():
    drawn, formula = bootstrap("auroc", Y, P), estimate("auroc", Y, P)
    assert drawn.se == pytest.approx(formula.se, rel=0.06)
    assert (drawn.ci_low, drawn.ci_high) == pytest.approx((formula.ci_low, formula.ci_high), abs=0.012)
    pair, test = bootstrap_difference("auroc", Y, P, Q), delong_test(Y, P, Q)
    assert pair.se == pytest.approx(test.se, rel=0.06)
    assert pair.p_value == pytest.approx(test.p_value, abs=0.05)


def test_drawing_patients_widens_the_interval_of_repeated_images():
    single = bootstrap("average_precision", Y, P)
    twice = [np.repeat(v, 2) for v in (Y, P, np.arange(300))]
    clustered, naive = bootstrap("average_precision", *twice), bootstrap("average_precision", *twice[:2])
    assert clustered.se == pytest.approx(single.se, rel=1e-9)
    assert naive.se < 0.8 * clustered.se


def test_more_draws_do_not_shrink_the_p_value():
    close = P + 0.05 * np.random.default_rng(1).standard_normal(300)
    few, many = (bootstrap_difference("average_precision", Y, P, close, draws=d).p_value for d in (400, 4000))
    assert 0.02 < many < 0.9
    assert many == pytest.approx(few, abs=0.1)


def test_sensitivity_at_a_specificity_equals_the_roc_curve():
    result = bootstrap(sensitivity_at_specificity(0.9), Y, P, draws=200)
    fpr, tpr, _ = sk.roc_curve(Y, P, drop_intermediate=False)
    assert result.value == pytest.approx(tpr[fpr <= 0.1 + 1e-12].max())
    assert result.ci_low < result.value < result.ci_high
    assert result.metric == "sensitivity_at_specificity_0.9"


def test_a_metric_without_its_class_is_undefined():
    result = bootstrap("average_precision", np.zeros(40), RNG.random(40), draws=50)
    assert (result.verdict, result.value, result.ci_low) == ("undefined_auc", None, None)
    with pytest.raises(StatisticsError, match="no metric"):
        bootstrap("accuracy!", Y, P)


def test_calibration_error_follows_its_definition():
    result = calibration_error(Y, Q, bins=10)
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (low < Q) & (low + 0.1 >= Q)
        if inside.any():
            expected += abs(Y[inside].mean() - Q[inside].mean()) * inside.mean()
    assert result.value == pytest.approx(expected, abs=1e-12)
    assert (result.bins, result.binning) == (10, "equal width")
    assert brier_score(Y, Q) == pytest.approx(sk.brier_score_loss(Y, Q))
    assert bootstrap(expected_calibration_error(10), Y, Q, draws=50).value == pytest.approx(expected)


def test_reliability_curve_equals_scikit_learn():
    curve = reliability_curve(Y, Q, bins=8)
    observed, predicted = sk_calibration.calibration_curve(Y, Q, n_bins=8)
    assert [b.observed for b in curve] == pytest.approx(observed)
    assert [b.mean_probability for b in curve] == pytest.approx(predicted)
    assert sum(b.n for b in curve) == 300
    assert all(b.ci_low <= b.observed <= b.ci_high for b in curve)
    assert reliability_curve([0, 1], [0.0, 1.0], bins=4)[0].low == 0


def test_logits_are_not_probabilities():
    with pytest.raises(StatisticsError, match=r"run from -2 to 3.*[\s\S]*sigmoid"):
        brier_score([0, 1], [-2, 3])


def test_net_benefit_of_a_perfect_model_is_the_prevalence():
    curve = decision_curve(Y, Y.astype(float))
    assert curve.model == pytest.approx(np.full(99, Y.mean()))
    at_prevalence = decision_curve(Y, P, [Y.mean()])
    assert at_prevalence.treat_all == pytest.approx([0], abs=1e-12)
    by_hand = decision_curve([1, 1, 0, 0], [0.9, 0.1, 0.8, 0.2], [0.5, 0.75])
    assert by_hand.model == pytest.approx([1 / 4 - 1 / 4, 1 / 4 - 3 / 4])
    with pytest.raises(StatisticsError, match="strictly between"):
        decision_curve(Y, P, [0, 0.5])


def test_a_frozen_threshold_is_chosen_on_validation_only():
    youden = choose_threshold(Y, P)
    fpr, tpr, cut = sk.roc_curve(Y, P, drop_intermediate=False)
    assert youden.value == cut[np.argmax(tpr - fpr)]
    fixed = choose_threshold(Y, P, specificity=0.9)
    called = fixed.apply(P)
    assert 1 - called[Y == 0].mean() == pytest.approx(fixed.specificity)
    assert called[Y == 1].mean() == pytest.approx(fixed.sensitivity)
    assert fixed.specificity >= 0.9
    with pytest.raises(StatisticsError, match="no observed threshold"):
        choose_threshold([1, 0, 0], [0.1, 0.9, 0.8], specificity=0.99)


def test_roc_curve_and_its_band():
    curve = roc_curve(Y, P, draws=300)
    fpr, tpr, _ = sk.roc_curve(Y, P, drop_intermediate=False)
    assert curve.false_positive_rate == pytest.approx(fpr)
    assert curve.true_positive_rate == pytest.approx(tpr)
    middle = np.interp(curve.grid, fpr, tpr)
    assert (curve.band_low <= middle + 1e-9).mean() > 0.95
    assert (curve.band_high >= middle - 1e-9).mean() > 0.95
    repeated = roc_curve(np.repeat(Y, 2), np.repeat(P, 2), np.repeat(np.arange(300), 2), draws=300)
    assert repeated.band_low == pytest.approx(curve.band_low)


def test_the_bootstrap_says_where_it_does_not_apply():
    constant = bootstrap_difference("average_precision", Y, P, np.full(300, 0.5), draws=100)
    assert (constant.verdict, constant.p_value, constant.ci_low) == ("constant_scores", None, None)
    rare = (np.arange(300) < 4).astype(int)
    few = bootstrap("auroc", rare, P, draws=100)
    assert (few.verdict, few.ci_low, few.se) == ("too_few_cases", None, None)
    assert few.value == pytest.approx(sk.roc_auc_score(rare, P))
    same = bootstrap_difference("average_precision", Y, P, P, draws=100)
    assert (same.verdict, same.p_value) == ("identical", 1)
    perfect = bootstrap_difference("average_precision", Y, P + Y, Q + Y, draws=100)
    assert (perfect.verdict, perfect.p_value) == ("both_perfect", None)
    assert bootstrap("brier", Y, np.full(300, 0.3), draws=100).verdict == "ok"
    assert bootstrap("brier", rare, P, draws=100).verdict == "ok"


@pytest.mark.parametrize("metric", ["brier", "ece"])
def test_a_calibration_metric_refuses_logits(metric):
    with pytest.raises(StatisticsError, match="reads probabilities"):
        bootstrap(metric, Y, 10 * P)


def test_a_decision_metric_refuses_scores():
    with pytest.raises(StatisticsError, match="predicted classes"):
        bootstrap("f1", Y, P)
    with pytest.raises(StatisticsError, match="draws is 0"):
        bootstrap("auroc", Y, P, draws=0)


def test_a_large_difference_has_a_p_value_that_a_large_family_cannot_swallow():
    rng = np.random.default_rng(4)
    y = np.repeat([1, 0], [60, 340])
    good, weak = (skill * y + rng.normal(size=400) for skill in (3.0, 0.5))
    found = bootstrap_difference("average_precision", y, good, weak)
    assert found.p_value == pytest.approx(2 * norm.sf(found.value / found.se), rel=1e-9)
    assert found.p_value * 1000 < 1e-6  # a share of 2,000 draws is never below 1 / 2,001


def test_an_undecided_difference_is_judged_by_the_share_of_the_draws():
    rng = np.random.default_rng(5)
    y = np.repeat([1, 0], [60, 340])
    first, second = (y + rng.normal(size=400) for _ in range(2))
    found = bootstrap_difference("average_precision", y, first, second, draws=500)
    assert found.p_value > 0.02
    assert found.p_value * 501 == pytest.approx(round(found.p_value * 501), abs=1e-9)


def test_decisions_that_are_all_one_class_are_called_that():
    found = bootstrap_difference("f1", Y, np.ones_like(Y), (P > 0.5).astype(int), draws=50)
    assert (found.verdict, found.p_value) == ("constant_class", None)
