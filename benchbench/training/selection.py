"""How good a model is on validation images: the number that the best epoch is chosen by."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CellError

if TYPE_CHECKING:
    from ..api import Task


def selection_value(select_on: str, metric: str, y: np.ndarray, scores: np.ndarray) -> float:
    """Higher is better.

    Args:
        select_on: What the recipe says; "declared" means `metric`.
        y: (n,) class codes, or (n, L) with NaN.
        scores: (n, K) probabilities; K = 1 for binary tasks.

    Returns:
        NaN where the last epoch is kept whatever it is worth, and the metric is not defined on these images.
    """
    if select_on == "last" and not _can_judge(metric, y):
        return float("nan")
    if select_on == "macro_auroc":
        return macro_auroc(y, scores)
    if select_on == "retfound_composite":
        return retfound_composite(y, scores)
    return _METRICS[_known(metric)](y, scores)


def check_selection(select_on: str, metric: str, task: Task, y: np.ndarray) -> None:
    """Refuse validation images that no epoch can be chosen on, before any time is spent.

    Raises:
        CellError: They are all of one class, or the metric cannot be selected on.
    """
    if select_on == "last":
        return
    if select_on == "declared":
        _known(metric)
    if not both_kinds(y):
        raise CellError(
            "The validation images are all of one class: no model can be selected on them.",
            where=task.name,
            fix="use a split with more validation images, or select_on: last",
        )


def _can_judge(metric: str, y: np.ndarray) -> bool:
    return metric in _METRICS and both_kinds(y)


def both_kinds(y: np.ndarray) -> bool:
    """Two classes or more; of several labels, one at least with both kinds of images."""
    columns = y.T if y.ndim == 2 else y[None]
    return any(len(np.unique(c[~np.isnan(c)])) > 1 for c in columns)


def _known(metric: str) -> str:
    if metric not in _METRICS:
        raise CellError(
            f"The fine-tune loop cannot select on the metric {metric!r}.",
            fix=f"declare one of: {', '.join(_METRICS)}; or set select_on: macro_auroc",
        )
    return metric


def macro_auroc(y: np.ndarray, scores: np.ndarray) -> float:
    """Unweighted mean of the one-versus-rest AUROCs of the classes (or labels) that have both kinds of images."""
    return _mean_over_columns(_auroc, y, scores)


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """Average precision, macro over classes or labels."""
    from sklearn.metrics import average_precision_score

    return _mean_over_columns(average_precision_score, y, scores)


def retfound_composite(y: np.ndarray, scores: np.ndarray) -> float:
    """Mean of macro F1, macro AUROC and unweighted kappa, as RETFound's 2025 code selects.

    Of several labels, the mean over those that have both kinds of images, each on the images that carry it.
    """
    from sklearn.metrics import f1_score

    if y.ndim == 2:
        each = [
            retfound_composite(truth[known], score[known, None])
            for truth, score in _columns(y, scores)
            if both_kinds(truth) and (known := ~np.isnan(truth)).any()
        ]
        return float(np.mean(each))
    f1 = float(f1_score(y, _predicted(scores), average="macro", zero_division=0))
    return (f1 + macro_auroc(y, scores) + _kappa(y, scores, None)) / 3


def _auroc(truth: np.ndarray, score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def _mean_over_columns(function: object, y: np.ndarray, scores: np.ndarray) -> float:
    values = []
    for truth, score in _columns(y, scores):
        known = ~np.isnan(truth)
        if len(np.unique(truth[known])) == 2:
            values.append(float(function(truth[known], score[known])))  # type: ignore[operator]
    return float(np.mean(values))


def _columns(y: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    if y.ndim == 2:
        return [(y[:, j], scores[:, j]) for j in range(y.shape[1])]
    if scores.shape[1] == 1:
        return [(y, scores[:, 0])]
    return [((y == k).astype(float), scores[:, k]) for k in range(scores.shape[1])]


def _predicted(scores: np.ndarray) -> np.ndarray:
    if scores.shape[1] == 1:
        return (scores[:, 0] >= 0.5).astype(int)
    predicted: np.ndarray = scores.argmax(axis=1)
    return predicted


def _kappa(y: np.ndarray, scores: np.ndarray, weights: str | None) -> float:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one predicted class: undefined, counted as 0
        value = float(cohen_kappa_score(y.astype(int), _predicted(scores), weights=weights))
    return value if np.isfinite(value) else 0.0


def _balanced_accuracy(y: np.ndarray, scores: np.ndarray) -> float:
    predicted = _predicted(scores)
    return float(np.mean([(predicted[y == k] == k).mean() for k in np.unique(y)]))


_METRICS = {
    "auroc": macro_auroc,
    "macro_auroc": macro_auroc,
    "average_precision": average_precision,
    "quadratic_kappa": lambda y, s: _kappa(y, s, "quadratic"),
    "unweighted_kappa": lambda y, s: _kappa(y, s, None),
    "balanced_accuracy": _balanced_accuracy,
}
