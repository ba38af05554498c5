"""What a comparison returns, and how it is filled from influences."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchbench.statistics.influence import Influence
from benchbench.statistics.inputs import FloatArray
from benchbench.statistics.intervals import (
    critical_z,
    normal_p_value,
    smallest_detectable_difference,
    wald_interval,
)
from benchbench.statistics.permutation import sign_flip_test
from benchbench.statistics.verdicts import Verdict, verdict_of_counts


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same cases. Differences are first minus second; higher values are better.

    Attributes:
        metric: Name of the metric.
        value_a, value_b: The metric of each system; None where it is undefined.
        difference: value_a - value_b.
        ci_low, ci_high: Two-sided confidence interval of the difference; None where it does not apply.
        z: Test statistic; None where the test does not apply. `statistic_df` says whether it is normal.
        p_value: p-value of the asymptotic test; None where it does not apply. With the verdict "rare_class" it may not
            be read alone: see `p_to_correct`.
        verdict: "ok", or why a number is missing or must be read with care.
        se: Standard error of the difference; None where it does not apply.
        smallest_detectable_difference: True difference found with 80 % power, 2.80 standard errors; None
            where there is no standard error, or it is 0 because both systems give the same answers.
        n_positive, n_negative: Cases of each class; for several classes, of the rarest class and of the rest.
        n_clusters: Patients (cases, where each patient has one).
        method: Name of the test.
        alternative: "two-sided", "greater" (the first is better) or "less". The interval stays two-sided.
        confidence: Coverage of the interval.
        permutation_p: Two-sided p-value of the rank-swap permutation test, where classes are small.
        statistic_df: Degrees of freedom where the statistic is a t; None for a normal one.
        verdicts: Every verdict that applies, the leading one first.
        index_a, index_b: Positions of the systems in the scores handed in.
    """

    metric: str
    value_a: float | None
    value_b: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    z: float | None
    p_value: float | None
    verdict: Verdict
    se: float | None
    smallest_detectable_difference: float | None
    n_positive: int
    n_negative: int
    n_clusters: int
    method: str
    alternative: str = "two-sided"
    confidence: float = 0.95
    permutation_p: float | None = None
    statistic_df: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    index_a: int = 0
    index_b: int = 1

    @property
    def auc_a(self) -> float | None:
        """The first system's value, by the name it has for AUCs."""
        return self.value_a

    @property
    def auc_b(self) -> float | None:
        """The second system's value, by the name it has for AUCs."""
        return self.value_b

    @property
    def p_to_correct(self) -> float | None:
        """The p-value that a family's correction reads: with a rare class the larger of the two, else `p_value`."""
        if self.verdict is not Verdict.RARE_CLASS:
            return self.p_value
        if self.p_value is None or self.permutation_p is None:
            return None
        return max(self.p_value, self.permutation_p)

    @property
    def explanation(self) -> str:
        """The verdict as a footnote."""
        text = self.verdict.explanation
        if self.permutation_p is None:
            return text
        return f"{text} The permutation p-value needs no large sample, if the two are exchangeable under the null."


@dataclass(frozen=True)
class Counts:
    """Cases and patients behind a comparison; for several classes, of the rarest class against the rest."""

    n_positive: int
    n_negative: int
    positive_clusters: int
    negative_clusters: int
    n_clusters: int

    @property
    def verdict(self) -> Verdict:
        return verdict_of_counts(self.positive_clusters, self.negative_clusters)


@dataclass(frozen=True)
class Measured:
    """A metric of k systems on one test set, ready to be compared.

    Attributes:
        metric: Its name.
        method: Name of the test for a paired difference.
        influence: Estimates of the k systems and the influence of every patient on them.
        counts: Cases and patients.
        verdict: What the counts say: "ok", "small", "too_few_cases", "undefined_...".
        failed: Which systems give every case the same score, shape (k,).
        one_class: Which systems predict one class for every case, where that leaves the metric without a variance,
            shape (k,); None where no such thing can be.
        swaps: What each patient adds to the difference between two systems, for the permutation test.
        excluded: Classes left out of a macro average.
    """

    metric: str
    method: str
    influence: Influence
    counts: Counts
    verdict: Verdict
    failed: NDArray[np.bool_]
    one_class: NDArray[np.bool_] | None = None
    swaps: Callable[[int, int], FloatArray] | None = None
    excluded: tuple[ExcludedClass, ...] = ()

    @property
    def k(self) -> int:
        return int(self.failed.size)

    @property
    def unfit(self) -> NDArray[np.bool_]:
        """Which systems no test may read: failed, or without a variance of their own, shape (k,)."""
        return self.failed if self.one_class is None else self.failed | self.one_class


@dataclass(frozen=True)
class ExcludedClass:
    """A class or label left out of a macro average, and why."""

    index: int
    n_positive: int
    n_negative: int
    verdict: Verdict


def compare_pair(
    measured: Measured,
    a: int,
    b: int,
    *,
    alternative: str = "two-sided",
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedComparison:
    """Difference of systems a and b with interval and test, as far as the verdicts allow."""
    influence = measured.influence
    difference, variance = influence.difference(a, b)
    verdicts = pair_verdicts(measured, a, b)
    applies, rare = verdicts[0].has_p_value, verdicts[0] is Verdict.RARE_CLASS
    se = z = p_value = low = high = permutation_p = None
    if applies or rare:
        se = math.sqrt(variance)
        z = difference / se if se > 0 else 0.0
        p_value = normal_p_value(z, alternative)
    if applies and se is not None:
        interval = wald_interval(difference, se, confidence)
        low, high = interval.low, interval.high
    if verdicts[0] in _WITH_PERMUTATION and measured.swaps is not None:
        permutation_p = sign_flip_test(measured.swaps(a, b), seed=seed).p_value
    return PairedComparison(
        metric=measured.metric,
        value_a=_number(influence.estimate[a]),
        value_b=_number(influence.estimate[b]),
        difference=_number(difference),
        ci_low=low,
        ci_high=high,
        z=z,
        p_value=p_value,
        verdict=verdicts[0],
        se=se,
        smallest_detectable_difference=smallest_detectable_difference(se) if applies and se else None,
        n_positive=measured.counts.n_positive,
        n_negative=measured.counts.n_negative,
        n_clusters=measured.counts.n_clusters,
        method=measured.method,
        alternative=alternative,
        confidence=confidence,
        permutation_p=permutation_p,
        verdicts=verdicts,
        index_a=a,
        index_b=b,
    )


def pair_verdicts(measured: Measured, a: int, b: int) -> tuple[Verdict, ...]:
    """Every verdict about the difference between systems a and b, the leading one first."""
    difference, variance = measured.influence.difference(a, b)
    found = {measured.verdict}
    if measured.failed[a] or measured.failed[b]:
        found.add(Verdict.CONSTANT_SCORES)
    elif measured.unfit[a] or measured.unfit[b]:
        found.add(Verdict.CONSTANT_CLASS)
    estimate = measured.influence.estimate
    if estimate[a] == 1 and estimate[b] == 1:
        found.add(Verdict.BOTH_PERFECT)
    if variance == 0:
        found.add(Verdict.IDENTICAL if difference == 0 else Verdict.DEGENERATE_VARIANCE)
    return by_precedence(found)


def by_precedence(found: Collection[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts in `found`, the leading one first; "ok" alone where none objects."""
    return tuple(verdict for verdict in _PRECEDENCE if verdict in found) or (Verdict.OK,)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def as_proc_reports(result: PairedComparison, influence: Influence) -> PairedComparison:
    """`result` with the numbers that R's pROC prints, also where they mean nothing (Z = Inf and p = 0, NaN)."""
    difference, variance = influence.difference(result.index_a, result.index_b)
    se = math.sqrt(variance)
    if variance == 0:
        z = 0.0 if difference == 0 else math.copysign(math.inf, difference)
    else:
        z = difference / se
    half = critical_z(result.confidence) * se
    return replace(
        result,
        z=z,
        p_value=normal_p_value(z, result.alternative),
        ci_low=difference - half,
        ci_high=difference + half,
        se=se,
        smallest_detectable_difference=smallest_detectable_difference(se) if se else None,
        method=result.method + ", degenerate cases as in pROC",
    )


#: Verdicts beside which the permutation test is made.
_WITH_PERMUTATION = (Verdict.SMALL, Verdict.RARE_CLASS, Verdict.TOO_FEW_CASES)
#: Which verdict leads where several apply: first what makes the value undefined, then what forbids the test.
_PRECEDENCE = (
    Verdict.UNDEFINED_AUC,
    Verdict.UNDEFINED_VARIANCE,
    Verdict.TOO_FEW_CASES,
    Verdict.BOTH_PERFECT,
    Verdict.CONSTANT_CLASS,
    Verdict.DEGENERATE_VARIANCE,
    Verdict.CONSTANT_SCORES,
    Verdict.IDENTICAL,
    Verdict.RARE_CLASS,
    Verdict.SMALL,
)
