"""Rules of other papers, and warning signs in reported numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchbench.statistics import (
    ReportedInterval,
    auc_equals_balanced_accuracy,
    compare,
    delong_covariance,
    lint_binary,
    lint_intervals,
    mirage_wilcoxon,
    retfound_green_rule,
    retfound_seed_t_test,
    seed_interval,
    summarise_confusion,
)

#: Inferrera et al.: confusion matrices, and the printed sensitivity, specificity and AUC of each model.
INFERRERA = {
    "Healthy": ([[309, 3], [6, 306]], 0.9856, 0.971, (1.00, 0.99, 0.99)),
    "ERM": ([[249, 4], [5, 248]], 0.9822, 0.964, (0.96, 0.98, 0.97)),
    "IF": ([[193, 5], [0, 197]], 0.9873, 0.975, (0.98, 0.99, 0.99)),
    "SF": ([[68, 2], [1, 69]], 0.9786, 0.957, (0.94, 0.99, 0.96)),
    "D": ([[154, 8], [10, 152]], 0.9444, 0.889, (0.96, 0.96, 0.96)),
    "MNV": ([[58, 6], [3, 61]], 0.9297, 0.859, (0.92, 0.97, 0.95)),
    "VMA": ([[199, 0], [3, 197]], 0.9925, 0.985, (1.00, 0.98, 0.99)),
    "MH": ([[46, 2], [0, 48]], 0.9792, 0.958, (0.96, 0.99, 0.98)),
    "BS": ([[79, 2], [0, 83]], 0.9878, 0.976, (0.91, 0.95, 0.93)),
}


def expanded(matrix):
    """Truth and predicted class of every case of a 2 x 2 matrix; the first row and column are class 1."""
    (tp, fn), (fp, tn) = matrix
    return np.repeat([1, 1, 0, 0], [tp, fn, fp, tn]), np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])


@pytest.mark.parametrize("sign", INFERRERA)
def test_inferreras_matrices_give_the_listed_accuracies_and_kappas(sign):
    matrix, accuracy, kappa, printed = INFERRERA[sign]
    summary = summarise_confusion(matrix)
    assert summary.accuracy == pytest.approx(accuracy, abs=5e-5)
    assert summary.kappa == pytest.approx(kappa, abs=5e-4)
    y, predicted = expanded(matrix)
    for metric, value in (
        ("accuracy", summary.accuracy),
        ("unweighted_kappa", summary.kappa),
        ("balanced_accuracy", summary.balanced_accuracy),
    ):
        assert compare(metric, y, [predicted]).estimates[0].value == pytest.approx(value, abs=1e-12)
    assert auc_equals_balanced_accuracy(printed[2], printed[0], printed[1], digits=2) is not None
    assert [lint.name for lint in lint_binary(y, predicted)] == ["AUC equals balanced accuracy"]
    assert delong_covariance(y, predicted)[0][0] == pytest.approx(summary.balanced_accuracy, abs=1e-12)


def test_an_auc_from_scores_does_not_fire():
    assert auc_equals_balanced_accuracy(0.93, 0.85, 0.88, digits=2) is None
    assert auc_equals_balanced_accuracy(0.8650000001, 0.85, 0.88) is not None
    rng = np.random.default_rng(0)
    assert lint_binary(np.arange(60) % 2, rng.random(60)) == ()


def test_few_cases_and_saturated_scores_are_named():
    rng = np.random.default_rng(0)
    scores = rng.random(100)
    scores[:20] = 1.0
    names = [lint.name for lint in lint_binary(np.arange(100) < 5, scores)]
    assert names == ["saturated scores", "few cases"]


def test_tables_of_intervals_are_checked():
    rows = [
        ReportedInterval("A", "IDRiD", 0.80, 0.83, "seeds"),
        ReportedInterval("B", "IDRiD", 0.80, 0.83, "cases"),
        ReportedInterval("B", "APTOS", 0.80, 0.83, "cases"),
    ]
    assert [lint.name for lint in lint_intervals(rows)] == ["mixed intervals", "same interval twice"]
    assert lint_intervals(rows[1:]) == ()


def test_the_green_rule_is_the_notebooks_computation():
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3 == 0
    scores = np.round(rng.standard_normal((90, 3)) + y[:, None] * [0.8, 1.4, 1.2], 1)
    result = retfound_green_rule(y, scores)
    state = np.random.RandomState(42)
    drawn = []
    for _ in range(100):
        rows = state.randint(0, 90, 90)
        drawn.append([roc_auc_score(y[rows], s[rows]) for s in scores.T])
    drawn = np.array(drawn)
    medians = np.median(drawn, axis=0)
    second, best = np.argsort(medians)[-2:]
    assert (result.winner, result.runner_up) == (best, second)
    assert result.values == pytest.approx(medians, abs=1e-12)
    assert result.p_value == pytest.approx(stats.wilcoxon(drawn[:, best], drawn[:, second]).pvalue, rel=1e-6)
    assert result.label == "as in the source, not a valid test"


def test_the_green_rules_p_value_shrinks_with_the_number_of_draws():
    rng = np.random.default_rng(2)
    y = np.arange(100) % 2
    scores = rng.standard_normal((100, 2)) + y[:, None]
    p = [retfound_green_rule(y, scores, draws=d).p_value for d in (30, 300, 3000)]
    assert p[0] > p[1] > p[2]


def test_seed_t_test_and_wilcoxon_compare_the_best_two():
    values = np.array([[0.80, 0.81, 0.79], [0.85, 0.86, 0.84], [0.70, 0.71, 0.72]])
    result = retfound_seed_t_test(values)
    assert (result.winner, result.runner_up) == (1, 0)
    assert result.p_value == pytest.approx(stats.ttest_ind(values[1], values[0]).pvalue)
    assert mirage_wilcoxon(values).p_value == pytest.approx(stats.wilcoxon(values[1] - values[0]).pvalue)
    assert retfound_seed_t_test(np.ones((2, 5))).p_value is None
    low, high = seed_interval(values[0])
    assert (high - low) / 2 == pytest.approx(1.96 * 0.01 / np.sqrt(3))
