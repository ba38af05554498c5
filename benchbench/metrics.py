"""Point metrics as plain functions (y_true, y_score) -> float.

Intervals and comparisons are in `benchbench.statistics`. Probabilities of several classes have shape (n, C), with
columns in the order of the class numbers 0 .. C-1; predicted classes have shape (n,). A metric that is not defined
on the given cases (an AUROC of one class) is NaN, never an error and never a made-up number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Array = Any


def auroc(y_true: Array, y_score: Array) -> float:
    """Area under the ROC curve; labels 0 and 1, higher scores mean 1."""
    from benchbench.statistics import delong_covariance

    return float(delong_covariance(y_true, y_score)[0][0])


def average_precision(y_true: Array, y_score: Array) -> float:
    """Area under the precision-recall curve without interpolation; labels 0 and 1."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    y = np.asarray(y_true)
    return float(average_precision_score(y, y_score)) if (y == 1).any() else float("nan")


def macro_auroc(y_true: Array, y_score: Array) -> float:
    """Mean one-against-rest AUROC over the classes that have two or more cases, (n, C)."""
    from benchbench.statistics import macro_auc

    return float(macro_auc(y_true, y_score).estimate[0])


def multilabel_macro_auroc(y_true: Array, y_score: Array) -> float:
    """Mean AUROC over the labels with ten or more cases on both sides, (n, L); NaN marks unlabelled."""
    from benchbench.statistics import multilabel_macro_auc

    return float(multilabel_macro_auc(y_true, y_score).estimate[0])


def hand_till_auc(y_true: Array, y_score: Array) -> float:
    """Hand and Till's M: the mean over pairs of present classes of both AUROCs between the two, (n, C)."""
    import numpy as np

    y, scores = np.asarray(y_true), np.asarray(y_score, dtype=float)
    present = [c for c in range(scores.shape[1]) if (y == c).any()]
    areas = [
        auroc((y == a)[(y == a) | (y == b)], scores[(y == a) | (y == b), a])
        for a in present
        for b in present
        if a != b
    ]
    return float(np.mean(areas)) if areas else float("nan")


def accuracy(y_true: Array, y_pred: Array) -> float:
    """Share of cases whose predicted class is right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(y_true, y_pred))


def balanced_accuracy(y_true: Array, y_pred: Array) -> float:
    """Mean recall over the classes present in y_true."""
    from sklearn.metrics import recall_score

    labels = sorted(set(_list(y_true)))
    return float(recall_score(y_true, y_pred, labels=labels, average="macro", zero_division=0))


def f1(y_true: Array, y_pred: Array) -> float:
    """F1 of class 1; 0 where nothing is predicted positive, NaN where class 1 is neither present nor predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(y_true, y_pred, zero_division=float("nan")))


def macro_f1(y_true: Array, y_pred: Array) -> float:
    """Mean F1 over the classes present in y_true."""
    from sklearn.metrics import f1_score

    labels = sorted(set(_list(y_true)))
    return float(f1_score(y_true, y_pred, labels=labels, average="macro", zero_division=0))


def quadratic_kappa(y_true: Array, y_pred: Array) -> float:
    """Quadratic-weighted kappa of predicted grades; NaN where the labels hold one class only."""
    return _kappa(y_true, y_pred, "quadratic")


def unweighted_kappa(y_true: Array, y_pred: Array) -> float:
    """Cohen's kappa without weights, the one that RETFound prints."""
    return _kappa(y_true, y_pred, "unweighted")


def sensitivity_at_specificity(y_true: Array, y_score: Array, specificity: float = 0.9) -> float:
    """Largest sensitivity of a threshold whose specificity is at least the given one, on these cases."""
    import numpy as np

    from benchbench.statistics import sensitivity_at_specificity as at

    y = np.asarray(y_true)
    return float(at(specificity)(y, np.asarray(y_score), np.ones((1, y.size)))[0])


def brier(y_true: Array, y_score: Array) -> float:
    """Mean squared error of the probability of class 1."""
    from benchbench.statistics import brier_score

    return brier_score(y_true, y_score)


def expected_calibration_error(y_true: Array, y_score: Array, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal width."""
    from benchbench.statistics import calibration_error

    return calibration_error(y_true, y_score, bins).value


@dataclass(frozen=True)
class Metric:
    """A point metric and what it reads.

    Attributes:
        name: As suites name it.
        function: (y_true, y_score or y_pred) -> float.
        reads: "score" (n,), "classes" (n, C), "labels" (n, L) or "prediction" (n,).
        higher_is_better: Direction.
    """

    name: str
    function: Callable[[Array, Array], float]
    reads: str
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("auroc", auroc, "score"),
        Metric("average_precision", average_precision, "score"),
        Metric("macro_auroc", macro_auroc, "classes"),
        Metric("multilabel_macro_auroc", multilabel_macro_auroc, "labels"),
        Metric("hand_till_auc", hand_till_auc, "classes"),
        Metric("accuracy", accuracy, "prediction"),
        Metric("balanced_accuracy", balanced_accuracy, "prediction"),
        Metric("f1", f1, "prediction"),
        Metric("macro_f1", macro_f1, "prediction"),
        Metric("quadratic_kappa", quadratic_kappa, "prediction"),
        Metric("unweighted_kappa", unweighted_kappa, "prediction"),
        Metric("sensitivity_at_specificity", sensitivity_at_specificity, "score"),
        Metric("brier", brier, "score", higher_is_better=False),
        Metric("ece", expected_calibration_error, "score", higher_is_better=False),
    )
}


def _kappa(y_true: Array, y_pred: Array, weights: str) -> float:
    from benchbench.statistics import kappa

    return float(kappa(y_true, y_pred, weights=weights).estimate[0])


def _list(values: Array) -> list[Any]:
    import numpy as np

    listed: list[Any] = np.asarray(values).tolist()
    return listed
