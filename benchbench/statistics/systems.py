"""The one door for the analysis: k systems, one task, one metric, patients -> estimates and comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics import agreement, auroc, macro, resampling
from benchbench.statistics.comparison import ExcludedClass, Measured, PairedComparison, compare_pair
from benchbench.statistics.contrasts import ChiSquareTest, omnibus_test
from benchbench.statistics.inputs import FloatArray, StatisticsError, score_rows
from benchbench.statistics.intervals import (
    Interval,
    check_confidence,
    metric_interval,
    rule_of_three_bound,
    smallest_detectable_difference,
)
from benchbench.statistics.verdicts import Verdict

#: Metrics without an influence formula, compared by drawing patients.
DRAWN_METRICS = ("average_precision",)
METRICS = (
    "auroc",
    "macro_auroc",
    "multilabel_macro_auroc",
    "quadratic_kappa",
    "linear_kappa",
    "unweighted_kappa",
    "accuracy",
    "balanced_accuracy",
    *DRAWN_METRICS,
)


@dataclass(frozen=True)
class Estimate:
    """One system's metric.

    Attributes:
        metric: Its name.
        value: None where it is undefined.
        ci_low, ci_high: None where no interval applies; for a perfect AUC a one-sided exact-type bound.
        se: Standard error on the plain scale; None where it does not apply.
        method: How the interval was made.
        verdict: "ok", or why a number is missing or must be read with care.
        confidence: Coverage.
        n: Cases.
        n_clusters: Patients.
        excluded: Classes left out of a macro average.
    """

    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    se: float | None
    method: str
    verdict: Verdict
    confidence: float
    n: int
    n_clusters: int
    excluded: tuple[ExcludedClass, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """k systems on one task by one metric.

    Attributes:
        metric: Its name.
        estimates: One per system, in the order handed in.
        covariance: Joint covariance of the estimates, shape (k, k); NaN where unknown.
        pairs: The comparisons asked for; p-values are not corrected, since the family spans tasks (see `holm`).
        omnibus: Test that all systems are equal; None where it does not apply.
        method: Name of the paired test.
        n: Cases.
        n_clusters: Patients.
        excluded: Classes left out of a macro average.
    """

    metric: str
    estimates: tuple[Estimate, ...]
    covariance: FloatArray
    pairs: tuple[PairedComparison, ...]
    omnibus: ChiSquareTest | None
    method: str
    n: int
    n_clusters: int
    excluded: tuple[ExcludedClass, ...] = ()


def estimate(
    metric: str,
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """One system's metric with its confidence interval.

    Args:
        metric: One of `METRICS`.
        y_true: Labels 0 and 1, or class numbers, shape (n,); 0, 1 and NaN, shape (n, L), for the multi-label metric.
        scores: Shape (n,) for binary metrics; (n, C) class scores, or (n,) predicted classes for kappas and
            accuracies.
        groups: Patient of each case, shape (n,).
        confidence: Coverage.
        seed: Of the bootstrap, for average precision.
    """
    array = np.asarray(scores)
    return compare(metric, y_true, array[np.newaxis], groups, confidence=confidence, seed=seed).estimates[0]


def compare(
    metric: str,
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    comparisons: str | int = "all",
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """k systems on the same cases: estimates, covariance and paired comparisons.

    Args:
        metric: One of `METRICS`.
        y_true: As in `estimate`.
        scores: Shape (k, n) for binary metrics and predicted classes, (k, n, C) for class scores.
        groups: Patient of each case, shape (n,).
        comparisons: "all" pairs a < b, or the position of the reference that every other system is compared with
            (other minus reference).
        confidence: Coverage of the intervals.
        seed: Of the permutation test and the bootstrap.

    Raises:
        StatisticsError: Inputs that cannot be used; the message says which and why.
    """
    check_confidence(confidence)
    if metric in DRAWN_METRICS:
        return _compare_by_bootstrap(metric, y_true, scores, groups, comparisons, confidence, seed)
    measured = measure(metric, y_true, scores, groups)
    n = len(np.asarray(y_true))
    covariance = measured.influence.covariance
    pairs = tuple(
        compare_pair(measured, a, b, confidence=confidence, seed=seed)
        for a, b in pair_indices(measured.k, comparisons)
    )
    testable = measured.k > 1 and any(pair.verdict.has_p_value for pair in pairs)
    return Comparison(
        metric,
        tuple(_estimate(measured, i, covariance, confidence, n) for i in range(measured.k)),
        covariance,
        pairs,
        omnibus_test(measured.influence, measured.unfit) if testable else None,
        measured.method,
        n,
        measured.counts.n_clusters,
        measured.excluded,
    )


def measure(metric: str, y_true: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> Measured:
    """A metric of k systems with its influences; arguments as in `compare`."""
    if metric == "auroc":
        return auroc.measure_auroc(y_true, scores, groups, models_first=True)
    if metric == "macro_auroc":
        return macro.measure_macro(y_true, scores, groups)
    if metric == "multilabel_macro_auroc":
        return macro.measure_multilabel(y_true, scores, groups)
    if metric in ("quadratic_kappa", "linear_kappa", "unweighted_kappa"):
        weights = metric.removesuffix("_kappa")
        return agreement.measure_kappa(y_true, scores, groups, weights=weights, models_first=True)
    if metric == "accuracy":
        return agreement.measure_accuracy(y_true, scores, groups, models_first=True)
    if metric == "balanced_accuracy":
        return agreement.measure_balanced_accuracy(y_true, scores, groups, models_first=True)
    raise StatisticsError(
        f"no influence formula for metric {metric!r}.", fix="use one of: " + ", ".join(METRICS)
    )


def pair_indices(k: int, comparisons: str | int = "all") -> list[tuple[int, int]]:
    """Positions of the pairs to compare: all, or every system against a reference."""
    if comparisons == "all":
        return [(a, b) for a in range(k) for b in range(a + 1, k)]
    if isinstance(comparisons, (int, np.integer)) and 0 <= comparisons < k:
        return [(a, int(comparisons)) for a in range(k) if a != comparisons]
    raise StatisticsError(
        f"comparisons is {comparisons!r}.", fix=f'use "all", or the position of the reference, 0 to {k - 1}'
    )


def system_interval(
    measured: Measured, i: int, se: float, confidence: float, df: float | None = None
) -> tuple[Interval | None, Verdict]:
    """Interval of system i with standard error `se` (a t with `df`, where given), or the verdict that forbids one."""
    value, verdict = float(measured.influence.estimate[i]), measured.verdict
    rare = verdict is Verdict.RARE_CLASS
    if math.isnan(value) or not (verdict.has_p_value or rare):
        return None, verdict
    if measured.failed[i]:
        return None, Verdict.CONSTANT_SCORES
    if measured.unfit[i]:
        return None, Verdict.CONSTANT_CLASS
    if rare:
        return None, verdict
    if se > 0:
        return metric_interval(measured.metric, value, se, confidence, df), verdict
    if value == 1 and measured.metric.endswith("auroc"):
        smallest = min(measured.counts.positive_clusters, measured.counts.negative_clusters)
        bound = rule_of_three_bound(smallest, confidence)
        return Interval(bound, 1.0, "rule of three, one-sided"), Verdict.DEGENERATE_VARIANCE
    return None, Verdict.DEGENERATE_VARIANCE


def _estimate(measured: Measured, i: int, covariance: FloatArray, confidence: float, n: int) -> Estimate:
    value = float(measured.influence.estimate[i])
    se = float(np.sqrt(covariance[i, i]))
    interval, verdict = system_interval(measured, i, se, confidence)
    return Estimate(
        measured.metric,
        None if math.isnan(value) else value,
        interval.low if interval else None,
        interval.high if interval else None,
        se if interval and se > 0 else None,
        interval.method if interval else "none",
        verdict,
        confidence,
        n,
        measured.counts.n_clusters,
        measured.excluded,
    )


def _compare_by_bootstrap(
    metric: str,
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None,
    comparisons: str | int,
    confidence: float,
    seed: int,
) -> Comparison:
    n = len(np.asarray(y_true))
    drawn = resampling.draw_systems(
        metric, y_true, score_rows(scores, n, models_first=True), groups, seed=seed
    )
    k = drawn.points.size
    pairs = pair_indices(k, comparisons)
    return Comparison(
        metric,
        tuple(_drawn_estimate(drawn, i, confidence, n) for i in range(k)),
        np.full((k, k), np.nan),
        tuple(drawn_pair(drawn, a, b, confidence) for a, b in pairs),
        None,
        "paired cluster bootstrap",
        n,
        drawn.counts.n_clusters,
    )


def _drawn_estimate(drawn: resampling.DrawnSystems, i: int, confidence: float, n: int) -> Estimate:
    one = drawn.estimate(i, confidence)
    return Estimate(
        drawn.metric,
        one.value,
        one.ci_low,
        one.ci_high,
        one.se,
        "none" if one.ci_low is None else one.method,
        one.verdict,
        confidence,
        n,
        one.n_clusters,
    )


def drawn_pair(drawn: resampling.DrawnSystems, a: int, b: int, confidence: float) -> PairedComparison:
    """The bootstrap's difference of systems a and b as a paired comparison."""
    one = drawn.difference(a, b, confidence)
    values = [None if math.isnan(value) else float(value) for value in (drawn.points[a], drawn.points[b])]
    return PairedComparison(
        metric=drawn.metric,
        value_a=values[0],
        value_b=values[1],
        difference=one.value,
        ci_low=one.ci_low,
        ci_high=one.ci_high,
        z=None,
        p_value=one.p_value,
        verdict=one.verdict,
        se=one.se,
        smallest_detectable_difference=smallest_detectable_difference(one.se) if one.se else None,
        n_positive=drawn.counts.n_positive,
        n_negative=drawn.counts.n_negative,
        n_clusters=drawn.counts.n_clusters,
        method=one.method,
        confidence=confidence,
        verdicts=one.verdicts,
        index_a=a,
        index_b=b,
    )
