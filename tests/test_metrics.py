"""Point metrics against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from benchbench import metrics


@pytest.fixture
def graded():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    scores = rng.random((200, 4)) + np.eye(4)[y] * 0.4
    return y, scores / scores.sum(axis=1, keepdims=True)


def test_binary_metrics_equal_scikit_learn():
    rng = np.random.default_rng(1)
    y = rng.random(150) < 0.3
    p = np.round(rng.random(150) * 0.6 + 0.3 * y, 2)
    predicted = (p > 0.5).astype(int)
    assert metrics.auroc(y, p) == pytest.approx(sk.roc_auc_score(y, p), abs=1e-14)
    assert metrics.average_precision(y, p) == pytest.approx(sk.average_precision_score(y, p), abs=1e-14)
    assert metrics.brier(y, p) == pytest.approx(sk.brier_score_loss(y, p), abs=1e-14)
    assert metrics.f1(y, predicted) == sk.f1_score(y, predicted)
    fpr, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    assert metrics.sensitivity_at_specificity(y, p, 0.8) == pytest.approx(tpr[fpr <= 0.2 + 1e-12].max())


def test_class_metrics_equal_scikit_learn(graded):
    y, p = graded
    predicted = p.argmax(axis=1)
    assert metrics.macro_auroc(y, p) == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"), abs=1e-14)
    assert metrics.hand_till_auc(y, p) == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovo"), abs=1e-14)
    assert metrics.quadratic_kappa(y, predicted) == pytest.approx(
        sk.cohen_kappa_score(y, predicted, weights="quadratic"), abs=1e-14
    )
    assert metrics.unweighted_kappa(y, predicted) == pytest.approx(
        sk.cohen_kappa_score(y, predicted), abs=1e-14
    )
    assert metrics.balanced_accuracy(y, predicted) == pytest.approx(sk.balanced_accuracy_score(y, predicted))
    assert metrics.accuracy(y, predicted) == sk.accuracy_score(y, predicted)


def test_predicting_an_absent_class_does_not_change_which_recalls_are_averaged():
    assert metrics.balanced_accuracy([0, 0, 1, 1], [0, 2, 1, 1]) == pytest.approx(0.75)


def test_undefined_metrics_are_nan():
    ones = [1, 1, 1]
    assert math.isnan(metrics.auroc(ones, [0.1, 0.2, 0.3]))
    assert math.isnan(metrics.average_precision([0, 0, 0], [0.1, 0.2, 0.3]))
    assert math.isnan(metrics.quadratic_kappa(ones, ones))
    assert math.isnan(metrics.hand_till_auc([0, 0], [[0.5, 0.5], [0.4, 0.6]]))


def test_hand_till_equals_pROC(golden_classes):
    reference, y, cube = golden_classes
    for model in (0, 1):
        expected = float(reference[f"m{model}"]["hand_till_pROC"])
        assert metrics.hand_till_auc(y, cube[model]) == pytest.approx(expected, abs=1e-12)


@pytest.fixture(params=["m01_idrid_like_5class", "m03_aptos_like_733"])
def golden_classes(request):
    import csv
    import json
    from pathlib import Path

    folder = Path(__file__).parent / "golden" / "statistics"
    with (folder / "inputs" / f"{request.param}.csv").open() as handle:
        rows = np.array([[float(v) for v in row] for row in list(csv.reader(handle))[1:]])
    reference = json.loads((folder / "multiclass_R.json").read_text())["cases"][request.param]
    return reference, rows[:, 0].astype(int), rows[:, 1:].reshape(len(rows), 2, 5).transpose(1, 0, 2)


def test_every_listed_metric_runs_on_what_it_reads(graded):
    y, p = graded
    inputs = {
        "score": (y >= 2, p[:, 2:].sum(axis=1)),
        "classes": (y, p),
        "labels": (np.eye(4)[y], p),
        "prediction": (y >= 2, p.argmax(axis=1) >= 2),
    }
    for name, metric in metrics.METRICS.items():
        value = metric.function(*inputs[metric.reads])
        assert math.isfinite(value), name
        perfect = {"score": inputs["score"][0].astype(float), "prediction": inputs["prediction"][0]}
        if metric.reads in perfect:
            best = metric.function(inputs[metric.reads][0], perfect[metric.reads])
            assert best == (1 if metric.higher_is_better else 0), name
