"""Cluster bootstrap: intervals for metrics without a usable formula, by drawing patients with replacement.

A draw is a weight for every case (how often its patient was drawn). Metrics are written for a matrix of weights,
so that scores are sorted once and all draws are computed together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    as_vector,
    clusters_of,
    score_rows,
)
from benchbench.statistics.intervals import check_confidence
from benchbench.statistics.verdicts import Verdict
from benchbench.statistics.weighted import WEIGHTED_METRICS, WeightedMetric

#: Case weights held in memory at once.
CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class BootstrapEstimate:
    """A metric, or a difference of two systems, with its bootstrap interval.

    Attributes:
        metric: Its name.
        value: On the cases as they are; None where undefined.
        ci_low, ci_high: Percentile interval; None where undefined.
        se: Standard deviation of the draws.
        p_value: For a difference, two-sided from the draws centred on 0, never below 1 / (draws + 1).
        draws: Draws in which the metric was defined.
        draws_tried: Draws in all. A draw without a case of one class has no value for some metrics.
    """

    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    se: float | None
    p_value: float | None
    draws: int
    draws_tried: int
    n_clusters: int
    verdict: Verdict
    method: str = "cluster bootstrap, percentile"


def bootstrap(
    metric: str | WeightedMetric,
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapEstimate:
    """Percentile interval of one metric of one system, drawing patients.

    Args:
        metric: "average_precision", "auroc", "accuracy", "balanced_accuracy", "f1", "brier", "ece", or a function
            (y_true (n,), scores (n,), weights (B, n)) -> (B,), such as `sensitivity_at_specificity(0.9)`.
        y_true: Labels, shape (n,).
        scores: Scores or probabilities, shape (n,); predicted classes for accuracy, balanced accuracy and F1.
        groups: Patient of each case, shape (n,).
        draws: Number of draws.
        seed: Of the draws; the same seed draws the same patients for every metric.
        confidence: Coverage.
    """
    labels, rows, clusters, function, name = _prepared(metric, y_true, [scores], groups)
    return draw_systems(name, function, labels, rows, clusters, draws, seed).estimate(0, confidence)


def bootstrap_difference(
    metric: str | WeightedMetric,
    y_true: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapEstimate:
    """Paired difference of two systems, first minus second; both see the same drawn patients.

    Arguments as in `bootstrap`. The p-value asks how often centred differences are as large as the one seen; it
    shrinks with the number of patients, not with the number of draws.
    """
    labels, rows, clusters, function, name = _prepared(metric, y_true, [scores_a, scores_b], groups)
    drawn = draw_systems(name, function, labels, rows, clusters, draws, seed)
    return drawn.difference(0, 1, confidence)


@dataclass(frozen=True)
class DrawnSystems:
    """k systems in the same bootstrap draws.

    Attributes:
        metric: Name of the metric.
        points: On the cases as they are, shape (k,); NaN where undefined.
        values: In each draw, shape (k, draws).
        n_clusters: Patients.
    """

    metric: str
    points: FloatArray
    values: FloatArray
    n_clusters: int

    def estimate(self, i: int, confidence: float = 0.95) -> BootstrapEstimate:
        """Interval of one system."""
        return _summary(self.metric, float(self.points[i]), self.values[i], self.n_clusters, confidence, None)

    def difference(self, a: int, b: int, confidence: float = 0.95) -> BootstrapEstimate:
        """Interval and p-value of system a minus system b."""
        point = float(self.points[a] - self.points[b])
        differences = self.values[a] - self.values[b]
        p_value = _centred_p_value(point, differences)
        return _summary(self.metric, point, differences, self.n_clusters, confidence, p_value)


def draw_systems(
    metric: str,
    function: WeightedMetric,
    labels: np.ndarray,
    rows: np.ndarray,
    clusters: Clusters,
    draws: int = 2000,
    seed: int = 0,
) -> DrawnSystems:
    """Scores of k systems (k, n) in the same draws of patients."""
    whole = np.ones((1, labels.size))
    points = np.array([function(labels, row, whole)[0] for row in rows])
    values = bootstrap_values(function, labels, rows, clusters, draws, seed)
    return DrawnSystems(metric, points, values, clusters.count)


def bootstrap_values(
    function: WeightedMetric,
    labels: np.ndarray,
    rows: np.ndarray,
    clusters: Clusters,
    draws: int,
    seed: int,
) -> FloatArray:
    """Values of k systems in every draw, shape (k, draws); the draws are shared by the systems."""
    rng = np.random.default_rng(seed)
    values = np.empty((len(rows), draws))
    step = max(1, CELLS_AT_ONCE // labels.size)
    for start in range(0, draws, step):
        stop = min(draws, start + step)
        weights = drawn_weights(rng, clusters, stop - start)
        for k, row in enumerate(rows):
            values[k, start:stop] = function(labels, row, weights)
    return values


def drawn_weights(rng: np.random.Generator, clusters: Clusters, draws: int) -> FloatArray:
    """How often each case was drawn, shape (draws, n); patients are drawn with replacement."""
    picks = rng.integers(0, clusters.count, size=(draws, clusters.count))
    picks += np.arange(draws)[:, np.newaxis] * clusters.count
    # One count per draw and patient from a single pass over all picks.
    counts = np.bincount(picks.ravel(), minlength=draws * clusters.count).reshape(draws, clusters.count)
    return counts[:, clusters.ids].astype(np.float64)


def _prepared(
    metric: str | WeightedMetric, y_true: ArrayLike, scores: list[ArrayLike], groups: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, Clusters, WeightedMetric, str]:
    labels = as_vector(y_true, "y_true")
    rows = np.concatenate([score_rows(s, labels.size) for s in scores])
    if len(rows) != len(scores):
        raise StatisticsError("one system at a time.", fix=f"pass scores of shape ({labels.size},)")
    function: WeightedMetric
    if isinstance(metric, str):
        if metric not in WEIGHTED_METRICS:
            raise StatisticsError(
                f"the bootstrap has no metric {metric!r}.", fix="use one of: " + ", ".join(WEIGHTED_METRICS)
            )
        function, name = WEIGHTED_METRICS[metric], metric
    else:
        function, name = metric, getattr(metric, "__name__", "metric")
    return labels, rows, clusters_of(groups, labels.size), function, name


def _centred_p_value(point: float, differences: FloatArray) -> float | None:
    kept = differences[~np.isnan(differences)]
    if kept.size == 0 or np.isnan(point):
        return None
    slack = 1e-12
    extreme = int((np.abs(kept - point) >= abs(point) - slack).sum())
    return (extreme + 1) / (kept.size + 1)


def _summary(
    name: str,
    point: float,
    values: FloatArray,
    n_clusters: int,
    confidence: float,
    p_value: float | None,
) -> BootstrapEstimate:
    tail = (1 - check_confidence(confidence)) / 2
    kept = values[~np.isnan(values)]
    if np.isnan(point) or kept.size < 2 or n_clusters < 2:
        verdict = Verdict.UNDEFINED_AUC if np.isnan(point) else Verdict.UNDEFINED_VARIANCE
        value = None if np.isnan(point) else point
        return BootstrapEstimate(
            name, value, None, None, None, None, kept.size, values.size, n_clusters, verdict
        )
    low, high = np.quantile(kept, [tail, 1 - tail])
    return BootstrapEstimate(
        name,
        point,
        float(low),
        float(high),
        float(kept.std(ddof=1)),
        p_value,
        kept.size,
        values.size,
        n_clusters,
        Verdict.OK,
    )
