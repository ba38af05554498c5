"""Cluster bootstrap: intervals for metrics without a usable formula, by drawing patients with replacement.

A draw is a weight for every case (how often its patient was drawn). Metrics are written for a matrix of weights,
so that scores are sorted once and all draws are computed together.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.statistics.agreement import label_counts, verdict_of_mean, verdict_of_patients
from benchbench.statistics.comparison import Counts, by_precedence
from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    as_vector,
    binary_labels,
    class_labels,
    clusters_of,
    score_rows,
)
from benchbench.statistics.intervals import check_confidence, normal_p_value
from benchbench.statistics.verdicts import Verdict
from benchbench.statistics.weighted import WEIGHTED_METRICS, WeightedMetric

#: Case weights held in memory at once.
CELLS_AT_ONCE = 4_000_000
#: With fewer draws as extreme as the difference their share is too coarse for a corrected p-value.
FEWEST_EXTREME = 10
#: Metrics that read predicted classes.
_DECIDED = ("accuracy", "balanced_accuracy", "f1")
#: Metrics that read probabilities.
_PROBABILITIES = ("brier", "ece")
#: Metrics over all cases alike, which no rare class unsettles.
_OVER_ALL = ("accuracy", *_PROBABILITIES)


@dataclass(frozen=True)
class BootstrapEstimate:
    """A metric, or a difference of two systems, with its bootstrap interval.

    Attributes:
        metric: Its name.
        value: On the cases as they are; None where undefined.
        ci_low, ci_high: Percentile interval; None where the verdict says that none applies.
        se: Standard deviation of the draws; None as the interval.
        p_value: For a difference, two-sided from the draws centred on 0, or from their normal tail where fewer than
            ten are as extreme; None as the interval.
        draws: Draws in which the metric was defined.
        draws_tried: Draws in all. A draw without a case of one class has no value for some metrics.
        verdict, verdicts: As of a paired test: the leading one, and all that apply.
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
    verdicts: tuple[Verdict, ...] = ()


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

    Raises:
        StatisticsError: Inputs that the metric cannot read, such as logits where it reads probabilities.
    """
    return draw_systems(metric, y_true, [scores], groups, draws, seed).estimate(0, confidence)


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
    shrinks with the number of patients, not with the number of draws. Where fewer than ten draws are as large it is
    the normal tail of difference over standard error, so that the number of draws is no floor either.
    """
    return draw_systems(metric, y_true, [scores_a, scores_b], groups, draws, seed).difference(
        0, 1, confidence
    )


@dataclass(frozen=True)
class DrawnSystems:
    """k systems in the same bootstrap draws.

    Attributes:
        metric: Name of the metric.
        points: On the cases as they are, shape (k,); NaN where undefined.
        values: In each draw, shape (k, draws).
        counts: Cases and patients, of the rarest class against the rest.
        verdict: What the counts say.
        failed: Which systems give every case the same score, or predict the same class, shape (k,).
    """

    metric: str
    points: FloatArray
    values: FloatArray
    counts: Counts
    verdict: Verdict
    failed: NDArray[np.bool_]

    def estimate(self, i: int, confidence: float = 0.95) -> BootstrapEstimate:
        """Interval of one system."""
        found = _summary(
            self.metric, float(self.points[i]), self.values[i], self.counts.n_clusters, confidence
        )
        verdicts = {self.verdict, found.verdict}
        if self.failed[i]:
            verdicts.add(self._constant)
        elif found.se == 0:
            verdicts.add(Verdict.DEGENERATE_VARIANCE)
        return _shown(found, verdicts)

    def difference(self, a: int, b: int, confidence: float = 0.95) -> BootstrapEstimate:
        """Interval and p-value of system a minus system b."""
        point = float(self.points[a] - self.points[b])
        differences = self.values[a] - self.values[b]
        found = _summary(self.metric, point, differences, self.counts.n_clusters, confidence)
        found = replace(
            found, p_value=_centred_p_value(point, differences, found.se), method="paired cluster bootstrap"
        )
        verdicts = {self.verdict, found.verdict}
        if self.failed[a] or self.failed[b]:
            verdicts.add(self._constant)
        if found.se == 0:
            verdicts.add(Verdict.IDENTICAL if found.value == 0 else Verdict.DEGENERATE_VARIANCE)
            if self.points[a] == self.points[b] == 1:
                verdicts.add(Verdict.BOTH_PERFECT)
        return _shown(found, verdicts)

    @property
    def _constant(self) -> Verdict:
        """What a constant row means: predicted classes that are all the same are an answer, scores are none."""
        return Verdict.CONSTANT_CLASS if self.metric in _DECIDED else Verdict.CONSTANT_SCORES

    def over_seeds(self, s: int) -> DrawnSystems:
        """Means over groups of s systems, the seeds of one method each, in the same draws."""
        k = self.points.size // s
        return replace(
            self,
            points=self.points.reshape(k, s).mean(axis=1),
            values=self.values.reshape(k, s, -1).mean(axis=1),
            failed=np.asarray(self.failed.reshape(k, s).any(axis=1)),
        )


def draw_systems(
    metric: str | WeightedMetric,
    y_true: ArrayLike,
    scores: ArrayLike | list[ArrayLike],
    groups: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> DrawnSystems:
    """Scores of k systems (k, n) in the same draws of patients; other arguments as in `bootstrap`."""
    if draws < 2:
        raise StatisticsError(f"draws is {draws}.", fix="pass two or more draws; 2000 are usual")
    function, name = _metric(metric)
    labels, rows = _checked(name, as_vector(y_true, "y_true"), scores)
    clusters = clusters_of(groups, labels.size)
    whole = np.ones((1, labels.size))
    points = np.array([function(labels, row, whole)[0] for row in rows])
    counts = label_counts(labels, clusters)
    constant = (rows == rows[:, :1]).all(axis=1)
    return DrawnSystems(
        name,
        points,
        bootstrap_values(function, labels, rows, clusters, draws, seed),
        counts,
        _verdict_of(name, labels, counts),
        np.zeros(len(rows), dtype=bool) if name in _PROBABILITIES else constant,
    )


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


def _metric(metric: str | WeightedMetric) -> tuple[WeightedMetric, str]:
    if not isinstance(metric, str):
        return metric, getattr(metric, "__name__", "metric")
    if metric not in WEIGHTED_METRICS:
        raise StatisticsError(
            f"the bootstrap has no metric {metric!r}.", fix="use one of: " + ", ".join(WEIGHTED_METRICS)
        )
    return WEIGHTED_METRICS[metric], metric


def _checked(
    name: str, y_true: np.ndarray, scores: ArrayLike | list[ArrayLike]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as integers (n,) and scores (k, n) that the metric can read."""
    n = y_true.size
    if name in ("accuracy", "balanced_accuracy"):
        labels = class_labels(y_true, None)
    else:
        labels = binary_labels(y_true).astype(np.intp)
    systems = [score_rows(s, n) for s in np.asarray(scores)]  # one by one: k and n are never confused
    if any(len(system) != 1 for system in systems):
        raise StatisticsError("one system at a time.", fix=f"pass scores of shape ({n},)")
    rows = np.concatenate(systems)
    if name in _DECIDED:
        rows = np.stack([class_labels(row, None, "predicted classes") for row in rows])
    if name in _PROBABILITIES and (rows.min() < 0 or rows.max() > 1):
        raise StatisticsError(
            f"{name} reads probabilities, but the values run from {rows.min():g} to {rows.max():g}.",
            fix="apply a sigmoid or softmax to logits first",
        )
    return labels, rows


def _verdict_of(name: str, labels: np.ndarray, counts: Counts) -> Verdict:
    if name in _OVER_ALL:
        return verdict_of_patients(counts.n_clusters)
    return verdict_of_mean(counts, np.unique(labels).size)


def _shown(found: BootstrapEstimate, verdicts: Collection[Verdict]) -> BootstrapEstimate:
    """`found` with its verdicts, and without the numbers that they forbid."""
    ordered = by_precedence(verdicts)
    if not ordered[0].has_p_value:
        found = replace(found, ci_low=None, ci_high=None, se=None, p_value=None)
    return replace(found, verdict=ordered[0], verdicts=ordered)


def _centred_p_value(point: float, differences: FloatArray, se: float | None) -> float | None:
    kept = differences[~np.isnan(differences)]
    if kept.size == 0 or np.isnan(point):
        return None
    slack = 1e-12
    extreme = int((np.abs(kept - point) >= abs(point) - slack).sum())
    if extreme < FEWEST_EXTREME and se:
        return normal_p_value(point / se)
    return (extreme + 1) / (kept.size + 1)


def _summary(
    name: str,
    point: float,
    values: FloatArray,
    n_clusters: int,
    confidence: float,
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
        float(kept.std(ddof=1)) if np.ptp(kept) > 0 else 0.0,
        None,
        kept.size,
        values.size,
        n_clusters,
        Verdict.OK,
    )
