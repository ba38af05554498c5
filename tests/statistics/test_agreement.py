"""Kappas, accuracies and McNemar's test."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from benchbench.statistics import (
    bootstrap_difference,
    compare,
    kappa,
    mcnemar,
    quadratic_kappa,
    unweighted_kappa,
)
from benchbench.statistics.inputs import clusters_of
from benchbench.statistics.resampling import drawn_weights

KEYS = {
    "quadratic": ("vcd_weighted", "vcd_ASE"),
    "linear": ("vcd_linear", "vcd_linear_ASE"),
    "unweighted": ("vcd_unweighted", "vcd_unw_ASE"),
}


@pytest.mark.parametrize("weights", KEYS)
@pytest.mark.parametrize("name", ["m01_idrid_like_5class", "m03_aptos_like_733"])
def test_kappa_and_its_standard_error_equal_R(golden, name, weights):
    y, cube = golden.classes(name)
    result = kappa(y, cube, weights=weights)
    for model in (0, 1):
        reference = golden.json("multiclass_R.json")["cases"][name][f"m{model}"]["qwk"]
        value, se = (float(reference[key]) for key in KEYS[weights])
        assert result.estimate[model] == pytest.approx(value, abs=1e-12)
        assert result.se[model] == pytest.approx(se, rel=1e-10)


def weighted_kappa(y, guess, weights):
    """Quadratic kappa as 1 - E(y - g)^2 / E(y - g')^2 with independent y and g'."""
    share = weights / weights.sum()
    mean_y, mean_g = share @ y, share @ guess
    chance = share @ (y - mean_y) ** 2 + share @ (guess - mean_g) ** 2 + (mean_y - mean_g) ** 2
    return 1 - share @ (y - guess) ** 2 / chance


def test_clustered_and_paired_kappa_agree_with_drawing_patients():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(120), 2)
    y = np.clip(np.round(rng.normal(1.5, 1, 120)[patients] + rng.normal(0, 0.3, 240)), 0, 4).astype(int)
    noise = 0.7 * rng.standard_normal((2, 120))[:, patients] + 0.4 * rng.standard_normal((2, 240))
    guess = np.clip(np.round(y + noise), 0, 4).astype(int)
    weights = drawn_weights(np.random.default_rng(1), clusters_of(patients, 240), 1500)
    drawn = np.array([[weighted_kappa(y, g, w) for w in weights] for g in guess])
    whole = cohen_kappa_score(y, guess[0], weights="quadratic")
    assert weighted_kappa(y, guess[0], np.ones(240)) == pytest.approx(whole, abs=1e-14)
    result = compare("quadratic_kappa", y, guess, patients)
    assert [e.se for e in result.estimates] == pytest.approx(drawn.std(axis=1), rel=0.1)
    assert result.pairs[0].se == pytest.approx((drawn[0] - drawn[1]).std(), rel=0.1)
    naive = compare("quadratic_kappa", y, guess)
    assert naive.pairs[0].se < 0.95 * result.pairs[0].se


def test_predicted_grades_and_class_scores_give_the_same_kappa(golden):
    y, cube = golden.classes("m03_aptos_like_733")
    grades = cube.argmax(axis=2)
    assert quadratic_kappa(y, grades.T).estimate == pytest.approx(quadratic_kappa(y, cube).estimate, abs=0)
    assert unweighted_kappa(y, grades[0]).estimate[0] == pytest.approx(
        cohen_kappa_score(y, grades[0]), abs=1e-14
    )


def test_unused_grades_do_not_change_kappa():
    y, guess = [0, 1, 2, 2, 1, 0, 1], [0, 1, 2, 1, 1, 0, 2]
    plain, wider = quadratic_kappa(y, guess), quadratic_kappa(y, guess, n_classes=5)
    assert wider.estimate == pytest.approx(plain.estimate, abs=1e-15)
    assert wider.se == pytest.approx(plain.se, rel=1e-12)


@pytest.mark.parametrize("guess", [[2, 2, 2, 2], [2, 1, 2, 0], [0, 0, 1, 1]])
def test_kappa_of_labels_of_one_class_is_undefined_whatever_is_predicted(guess):
    assert np.isnan(quadratic_kappa([2, 2, 2, 2], guess).estimate[0])
    assert np.isnan(unweighted_kappa([2, 2, 2, 2], guess).estimate[0])


def test_identical_predictions_have_difference_zero():
    y, guess = [0, 1, 2] * 10, [0, 1, 1] * 10
    pair = compare("quadratic_kappa", y, [guess, guess]).pairs[0]
    assert (pair.verdict, pair.difference, pair.p_value) == ("identical", 0, 1)
    assert pair.smallest_detectable_difference is None


def test_balanced_accuracy_equals_scikit_learn_and_its_error_the_bootstrap(golden):
    y, cube = golden.classes("m03_aptos_like_733")
    result = compare("balanced_accuracy", y, cube)
    grades = cube.argmax(axis=2)
    expected = [balanced_accuracy_score(y, g) for g in grades]
    assert [e.value for e in result.estimates] == pytest.approx(expected, abs=1e-14)
    drawn = bootstrap_difference("balanced_accuracy", y, *grades)
    assert result.pairs[0].se == pytest.approx(drawn.se, rel=0.06)
    assert result.pairs[0].difference == pytest.approx(drawn.value, abs=1e-14)


def test_accuracy_has_the_binomial_standard_error():
    y = np.arange(50) % 2
    right = np.arange(50) % 5 > 0
    e = compare("accuracy", y, [np.where(right, y, 1 - y)]).estimates[0]
    assert e.value == 0.8
    assert e.se == pytest.approx(np.sqrt(0.8 * 0.2 / 49), rel=1e-12)


@pytest.mark.parametrize("name", ["m01_idrid_like_5class", "m03_aptos_like_733"])
def test_exact_mcnemar_equals_R(golden, name):
    y, cube = golden.classes(name)
    reference = golden.json("multiclass_R.json")["cases"][name]["mcnemar"]
    result = mcnemar(y, *cube.argmax(axis=2))
    assert {result.only_a, result.only_b} == {reference["b"], reference["c"]}
    assert result.p_value == pytest.approx(float(reference["p_exact"]), rel=1e-9)


def test_mcnemar_with_two_images_a_patient_counts_patients():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 80)
    a, b = (np.where(rng.random(80) < share, y, 1 - y) for share in (0.9, 0.6))
    single = mcnemar(y, a, b)
    doubled = mcnemar(np.repeat(y, 2), np.repeat(a, 2), np.repeat(b, 2), np.repeat(np.arange(80), 2))
    naive = mcnemar(np.repeat(y, 2), np.repeat(a, 2), np.repeat(b, 2))
    assert doubled.method == "difference in accuracy, clustered by patient"
    assert naive.p_value < doubled.p_value
    assert doubled.p_value == pytest.approx(single.p_value, abs=0.01)


def test_clustered_mcnemar_without_variance_has_no_p_value():
    result = mcnemar([0, 1] * 20, [0, 1] * 20, [1, 0] * 20, np.repeat(np.arange(20), 2))
    assert (result.only_a, result.p_value, result.verdict) == (40, None, "degenerate_variance")
    few = mcnemar([0, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 1, 2, 2])
    assert (few.p_value, few.verdict) == (None, "too_few_cases")
    same = mcnemar([0, 1] * 20, [0, 0] * 20, [0, 0] * 20, np.repeat(np.arange(20), 2))
    assert (same.p_value, same.verdict) == (1, "identical")


@pytest.mark.parametrize(
    ("diseased", "verdict"), [(9, "too_few_cases"), (10, "small"), (19, "small"), (20, "ok")]
)
@pytest.mark.parametrize("metric", ["quadratic_kappa", "unweighted_kappa"])
def test_a_kappa_rests_on_the_patients_outside_the_most_frequent_grade(metric, diseased, verdict):
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [200, diseased])
    guesses = np.where(rng.random((2, y.size)) < 0.1, 1 - y, y)
    pair = compare(metric, y, guesses).pairs[0]
    assert pair.verdict == verdict
    assert (pair.p_value is None) == (verdict == "too_few_cases")
    both_eyes = compare(
        metric, np.repeat(y, 2), np.repeat(guesses, 2, axis=1), np.repeat(np.arange(y.size), 2)
    )
    assert both_eyes.pairs[0].verdict == verdict, "patients are counted, not their images"


def test_always_predicting_one_class_is_no_failure_of_training():
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 90)
    sure = rng.random((90, 3)) + np.array([2.0, 0.0, 0.0])  # ninety different scores, one class
    constant = np.tile([0.5, 0.3, 0.2], (90, 1))
    other = rng.random((90, 3)) + 0.6 * np.eye(3)[y]
    kappa_of = compare("quadratic_kappa", y, [sure, constant, other])
    assert [e.verdict for e in kappa_of.estimates] == ["constant_class", "constant_scores", "ok"]
    assert kappa_of.estimates[0].value == 0
    assert [p.verdict for p in kappa_of.pairs] == ["constant_scores", "constant_class", "constant_scores"]
    assert "always predicts one class" in kappa_of.pairs[1].explanation
    accuracy = compare("accuracy", y, [sure, other]).pairs[0]
    assert (accuracy.verdict, accuracy.p_value is None) == ("ok", False)
    hits = (sure.argmax(axis=1) == y) * 1.0 - (other.argmax(axis=1) == y)
    assert accuracy.se == pytest.approx(hits.std(ddof=1) / np.sqrt(90), rel=1e-9)
