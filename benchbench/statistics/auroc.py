"""Area under the ROC curve: DeLong, and its family for patients with several images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.statistics.comparison import (
    Counts,
    Measured,
    PairedComparison,
    as_proc_reports,
    compare_pair,
)
from benchbench.statistics.contrasts import ChiSquareTest, omnibus_test
from benchbench.statistics.influence import Influence
from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    binary_labels,
    clusters_of,
    one_system,
    score_rows,
    stack_systems,
)
from benchbench.statistics.intervals import (
    check_alternative,
    check_confidence,
    critical_value,
    normal_p_value,
)
from benchbench.statistics.permutation import swap_contributions
from benchbench.statistics.placements import auc_influence
from benchbench.statistics.verdicts import Verdict


def delong_covariance(
    y_true: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None
) -> tuple[FloatArray, FloatArray]:
    """AUCs of k systems and their joint covariance.

    Higher scores mean the positive class; the direction is never flipped. With `groups` the covariance is
    Obuchowski's (1997) for clustered cases, without it DeLong's (1988).

    Args:
        y_true: Labels 0 and 1, shape (n,).
        scores: Shape (n, k), one column a system; (n,) for one system. (k, n) is taken where only that fits
            the labels. Finite numbers of any magnitude; equal scores are ties.
        groups: Patient of each case, shape (n,), numbers or strings; None where each case is its own patient.

    Returns:
        AUCs, shape (k,), and covariance, shape (k, k). NaN where a class is absent (both) or has a single
        case or patient (covariance).

    Raises:
        StatisticsError: Labels, scores or patients that cannot be used; the message says which and why.
    """
    measured = measure_auroc(y_true, scores, groups)
    return measured.influence.estimate, measured.influence.covariance


def delong_test(
    y_true: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    alternative: str = "two-sided",
    compat: str | None = None,
    confidence: float = 0.95,
) -> PairedComparison:
    """Paired test of two AUCs on the same cases.

    Args:
        y_true: Labels 0 and 1, shape (n,).
        scores_a, scores_b: Scores of the two systems, shape (n,).
        groups: Patient of each case; the clustered variance is used where a patient has several.
        alternative: "two-sided", "greater" (the first AUC is larger) or "less".
        compat: "pROC" fills z, p and interval with what R's pROC prints even where the verdict says that no
            test applies (Z = Inf with p = 0, NaN). None leaves them out there.
        confidence: Coverage of the interval.

    Returns:
        AUCs, difference, interval, z, p and verdict. Below 20 cases of a class a permutation p-value stands
        beside them, below 10 it stands alone.

    Raises:
        StatisticsError: Inputs that cannot be used (`InvalidScores`, `NotPaired`).
    """
    _check_options(alternative, compat, confidence)
    positive = binary_labels(y_true)
    rows = [
        one_system(scores, positive.size, name)
        for scores, name in ((scores_a, "scores_a"), (scores_b, "scores_b"))
    ]
    measured = measure_auroc(positive, stack_systems(rows), groups, models_first=True)
    result = compare_pair(measured, 0, 1, alternative=alternative, confidence=confidence)
    return as_proc_reports(result, measured.influence) if compat else result


@dataclass(frozen=True)
class AllPairs:
    """k systems compared jointly on the same cases.

    Attributes:
        auc: AUCs, shape (k,).
        covariance: Their covariance, shape (k, k).
        pairs: Every pair a < b.
        omnibus: Test that all k AUCs are equal; None where no pair can be tested.
    """

    auc: FloatArray
    covariance: FloatArray
    pairs: tuple[PairedComparison, ...]
    omnibus: ChiSquareTest | None


def delong_test_all(
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    alternative: str = "two-sided",
    confidence: float = 0.95,
) -> AllPairs:
    """All pairs of k systems, and the test that all are equal; arguments as in `delong_covariance`.

    The p-values are not corrected for their number: see `holm`.
    """
    measured = measure_auroc(y_true, scores, groups)
    k = measured.k
    pairs = tuple(
        compare_pair(measured, a, b, alternative=alternative, confidence=confidence)
        for a in range(k)
        for b in range(a + 1, k)
    )
    testable = k > 1 and any(pair.verdict.has_p_value for pair in pairs)
    covariance = measured.influence.covariance
    return AllPairs(
        measured.influence.estimate,
        covariance,
        pairs,
        omnibus_test(measured.influence, measured.failed) if testable else None,
    )


@dataclass(frozen=True)
class UnpairedComparison:
    """Two AUCs from different patients (different data sets, or different parts of one).

    Attributes:
        value_a, value_b: AUCs; None where undefined.
        difference: value_a - value_b.
        ci_low, ci_high: Interval of the difference by Student's t.
        statistic: Difference over its standard error; a t with `df` degrees of freedom (Welch).
        p_value: None where the test does not apply.
        verdict: "ok" or the reason.
    """

    value_a: float | None
    value_b: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    statistic: float | None
    df: float | None
    p_value: float | None
    verdict: Verdict
    se: float | None
    method: str = "DeLong, unpaired (Welch)"


def delong_test_unpaired(
    y_true_a: ArrayLike,
    scores_a: ArrayLike,
    y_true_b: ArrayLike,
    scores_b: ArrayLike,
    groups_a: ArrayLike | None = None,
    groups_b: ArrayLike | None = None,
    alternative: str = "two-sided",
    compat: str | None = None,
    confidence: float = 0.95,
) -> UnpairedComparison:
    """Test of two AUCs measured on different patients, as pROC does for unpaired curves.

    Args:
        y_true_a, scores_a: Labels 0 and 1 and scores of the first test set, shape (n_a,).
        y_true_b, scores_b: The same of the second, shape (n_b,).
        groups_a, groups_b: Patients, where some have several cases.
        alternative: "two-sided", "greater" or "less".
        compat: "pROC" prints its numbers also where no test applies.
        confidence: Coverage of the interval.
    """
    _check_options(alternative, compat, confidence)
    first = measure_auroc(y_true_a, scores_a, groups_a)
    second = measure_auroc(y_true_b, scores_b, groups_b)
    for measured in (first, second):
        if measured.k != 1:
            raise StatisticsError("an unpaired test compares one system on each side.", fix="pass shape (n,)")
    values = [float(m.influence.estimate[0]) for m in (first, second)]
    variances = [float(m.influence.covariance[0, 0]) for m in (first, second)]
    difference = values[0] - values[1]
    verdict = _unpaired_verdict(first, second, values, sum(variances))
    if not verdict.has_p_value and compat != "pROC":
        a, b, d = (None if math.isnan(v) else v for v in (*values, difference))
        return UnpairedComparison(a, b, d, None, None, None, None, None, verdict, None)
    se = math.sqrt(sum(variances))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(np.float64(difference) / np.float64(se))
        sizes = [m.counts.n_clusters - 1 for m in (first, second)]
        parts = sum(v * v / size for v, size in zip(variances, sizes, strict=True))
        df = float(np.float64(sum(variances) ** 2) / np.float64(parts))
    half = critical_value(confidence, df) * se
    p_value = normal_p_value(statistic, alternative, df)
    return UnpairedComparison(
        values[0],
        values[1],
        difference,
        difference - half,
        difference + half,
        statistic,
        df,
        p_value,
        verdict,
        se,
    )


def _check_options(alternative: str, compat: str | None, confidence: float) -> None:
    check_alternative(alternative)
    check_confidence(confidence)
    if compat not in (None, "pROC"):
        raise StatisticsError(f"compat is {compat!r}.", fix='use compat="pROC", or leave it out')


def _unpaired_verdict(first: Measured, second: Measured, values: list[float], variance: float) -> Verdict:
    order = (
        Verdict.UNDEFINED_AUC,
        Verdict.UNDEFINED_VARIANCE,
        Verdict.TOO_FEW_CASES,
    )
    for verdict in order:
        if verdict in (first.verdict, second.verdict):
            return verdict
    if values == [1.0, 1.0]:
        return Verdict.BOTH_PERFECT
    if variance == 0:
        return Verdict.DEGENERATE_VARIANCE
    if first.failed.any() or second.failed.any():
        return Verdict.CONSTANT_SCORES
    return Verdict.SMALL if Verdict.SMALL in (first.verdict, second.verdict) else Verdict.OK


def measure_auroc(
    y_true: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, models_first: bool = False
) -> Measured:
    """AUCs of k systems in the form that `compare_pair` reads; arguments as in `delong_covariance`."""
    positive = binary_labels(y_true)
    rows = score_rows(scores, positive.size, models_first)
    clusters = clusters_of(groups, positive.size)
    counts = class_counts(positive, clusters)
    if counts.verdict is Verdict.UNDEFINED_AUC:
        influence = undefined_influence(rows.shape[0])
    else:
        influence = auc_influence(positive, rows, clusters)
    return Measured(
        metric="auroc",
        method="DeLong, paired"
        if clusters.singletons
        else "DeLong, paired, clustered by patient (Obuchowski)",
        influence=influence,
        counts=counts,
        verdict=counts.verdict,
        failed=np.array([bool((row == row[0]).all()) for row in rows]),
        swaps=lambda a, b: swap_contributions(positive, rows[a], rows[b], clusters),
    )


def class_counts(positive: NDArray[np.bool_], clusters: Clusters) -> Counts:
    """Cases and patients of the two classes."""
    return Counts(
        n_positive=int(positive.sum()),
        n_negative=int((~positive).sum()),
        positive_clusters=int(clusters.holding(positive).sum()),
        negative_clusters=int(clusters.holding(~positive).sum()),
        n_clusters=clusters.count,
    )


def undefined_influence(k: int) -> Influence:
    """k estimates that do not exist."""
    return Influence(np.full(k, np.nan), np.zeros((k, 0)), 1.0, defined=False)
