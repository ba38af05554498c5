"""Metrics of one system for many weightings of its cases at once.

Every function takes labels (n,), scores (n,) and weights (B, n), and returns (B,): scores are sorted once, and
each of the B weightings (bootstrap draws, or a single row of ones) costs a cumulative sum. A value is NaN where
a weighting leaves a class empty that the metric needs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchbench.statistics.inputs import FloatArray, StatisticsError

WeightedMetric = Callable[[np.ndarray, np.ndarray, FloatArray], FloatArray]


def auroc(labels: np.ndarray, scores: np.ndarray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve."""
    true, false = counts_above(labels, scores, weights)
    area = np.diff(false, prepend=0) * (
        true + np.concatenate([np.zeros((len(true), 1)), true[:, :-1]], axis=1)
    )
    return _divide(area.sum(axis=1), 2 * true[:, -1] * false[:, -1])


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: FloatArray) -> FloatArray:
    """Sum over thresholds of precision times gain in recall, without interpolation (as scikit-learn's)."""
    true, false = counts_above(labels, scores, weights)
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return _divide((np.diff(true, prepend=0) * precision).sum(axis=1), true[:, -1])


def sensitivity_at_specificity(specificity: float) -> WeightedMetric:
    """Largest sensitivity of a threshold whose specificity is at least `specificity`."""
    if not 0 <= specificity <= 1:
        raise StatisticsError(
            f"specificity is {specificity}.", fix="pass a share between 0 and 1, such as 0.9"
        )

    def metric(labels: np.ndarray, scores: np.ndarray, weights: FloatArray) -> FloatArray:
        true, false = counts_above(labels, scores, weights)
        allowed = false <= (1 - specificity + 1e-12) * false[:, -1:]
        best = np.where(allowed, true, 0).max(axis=1)
        return np.where(false[:, -1] > 0, _divide(best, true[:, -1]), np.nan)

    metric.__name__ = f"sensitivity_at_specificity_{specificity:g}"
    return metric


def accuracy(labels: np.ndarray, predicted: np.ndarray, weights: FloatArray) -> FloatArray:
    """Share of cases whose predicted class is right."""
    return _divide(weights @ (labels == predicted).astype(float), weights.sum(axis=1))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, weights: FloatArray) -> FloatArray:
    """Mean recall over the classes present in all cases; NaN where a draw misses one of them."""
    members = labels[:, np.newaxis] == np.unique(labels)
    right = members & (labels == predicted)[:, np.newaxis]
    return _divide(weights @ right.astype(float), weights @ members.astype(float)).mean(axis=1)


def f1(labels: np.ndarray, predicted: np.ndarray, weights: FloatArray) -> FloatArray:
    """F1 of class 1 from predicted classes 0 and 1."""
    truth, guess = labels == 1, predicted == 1
    hits = weights @ (truth & guess).astype(float)
    return _divide(2 * hits, weights @ truth.astype(float) + weights @ guess.astype(float))


def brier(labels: np.ndarray, probabilities: np.ndarray, weights: FloatArray) -> FloatArray:
    """Mean squared error of the probability of class 1."""
    return _divide(weights @ (probabilities - (labels == 1)) ** 2, weights.sum(axis=1))


def expected_calibration_error(bins: int = 15) -> WeightedMetric:
    """Mean distance of observed rate and mean probability over `bins` bins of equal width."""
    if bins < 1:
        raise StatisticsError(f"{bins} bins.", fix="use at least one bin; 10 and 15 are usual")

    def ece(labels: np.ndarray, probabilities: np.ndarray, weights: FloatArray) -> FloatArray:
        members = probability_bins(probabilities, bins)[:, np.newaxis] == np.arange(bins)
        gap = ((labels == 1) - probabilities)[:, np.newaxis] * members
        return _divide(np.abs(weights @ gap).sum(axis=1), weights.sum(axis=1))

    return ece


def probability_bins(probabilities: np.ndarray, bins: int) -> NDArray[np.intp]:
    """Bin number of each probability: bins of equal width, closed on the right, the first holding 0."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(edges, probabilities, side="left")


WEIGHTED_METRICS: dict[str, WeightedMetric] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "brier": brier,
    "ece": expected_calibration_error(),
}


def counts_above(
    labels: np.ndarray, scores: np.ndarray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weight of positives and negatives at or above each distinct score, highest first, shapes (B, t)."""
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), ordered.size - 1)
    taken = weights[:, order]
    positive = (labels == 1)[order]
    everything = np.cumsum(taken, axis=1)
    true = np.cumsum(taken * positive, axis=1)
    return true[:, last_of_tie], (everything - true)[:, last_of_tie]


def _divide(top: FloatArray, bottom: FloatArray) -> FloatArray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
