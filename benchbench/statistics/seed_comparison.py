"""Methods with several training seeds, compared on one test set by any metric that has an influence formula."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.comparison import Measured, PairedComparison, compare_pair
from benchbench.statistics.inputs import FloatArray, StatisticsError
from benchbench.statistics.intervals import critical_z, smallest_detectable_difference
from benchbench.statistics.seeds import OrhAnalysis, method_mean, orh_from_covariance
from benchbench.statistics.systems import compare, measure, pair_indices
from benchbench.statistics.verdicts import Verdict

#: From this many seeds on, the spread between seeds is estimated and counted.
MINIMUM_SEEDS = 3


@dataclass(frozen=True)
class SeedEstimate:
    """One method's mean over seeds.

    Attributes:
        value: Mean over seeds; None where undefined.
        ci_low, ci_high, se: None where the verdict says that no interval applies.
        seed_sd: Standard deviation over seeds on this test set; None for a single seed.
        per_seed: Value of each seed.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    se: float | None
    seed_sd: float | None
    per_seed: tuple[float, ...]
    verdict: Verdict


@dataclass(frozen=True)
class SeedComparison:
    """k methods, s seeds each, on one task.

    Attributes:
        metric: Its name.
        estimates: One per method.
        pairs: The comparisons asked for, uncorrected; `statistic_df` holds the t's degrees of freedom.
        method: Name of the test.
        claim: What the result is about: "this method" where seeds are counted (three or more), "this trained
            model" for one seed, "the mean of these trained models" for two.
        n_seeds: Seeds of each method.
    """

    metric: str
    estimates: tuple[SeedEstimate, ...]
    pairs: tuple[PairedComparison, ...]
    method: str
    claim: str
    n_seeds: int


def compare_seeds(
    metric: str,
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    comparisons: str | int = "all",
    confidence: float = 0.95,
) -> SeedComparison:
    """Methods compared over their seeds: ORH from three seeds on, the test of `compare` below.

    Args:
        metric: One of `compare`'s metrics with an influence formula.
        y_true: As in `compare`.
        scores: Shape (k, s, n) or (k, s, n, C): methods, seeds, cases, classes.
        groups: Patient of each case, shape (n,).
        comparisons: "all" pairs, or the position of the reference method.
        confidence: Coverage of the intervals.
    """
    array = np.asarray(scores)
    if array.ndim not in (3, 4):
        raise StatisticsError(
            f"scores of shape {array.shape} are not methods x seeds x cases.",
            fix="pass shape (k, s, n) or (k, s, n, C)",
        )
    k, s = array.shape[:2]
    measured = measure(metric, y_true, array.reshape(k * s, *array.shape[2:]), groups)
    pairs = pair_indices(k, comparisons)
    means = _mean_over_seeds(measured, k, s)
    if s >= MINIMUM_SEEDS:
        return _by_orh(measured, means, k, s, pairs, confidence)
    if s == 1:
        plain = compare(metric, y_true, array[:, 0], groups, comparisons, confidence)
        single = tuple(
            SeedEstimate(
                e.value, e.ci_low, e.ci_high, e.se, None, () if e.value is None else (e.value,), e.verdict
            )
            for e in plain.estimates
        )
        return SeedComparison(metric, single, plain.pairs, plain.method, "this trained model", 1)
    compared = tuple(compare_pair(means, a, b, confidence=confidence) for a, b in pairs)
    estimates = tuple(_plain_estimate(measured, means, i, s, confidence) for i in range(k))
    return SeedComparison(metric, estimates, compared, means.method, "the mean of these trained models", s)


def orh(
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    metric: str = "auroc",
) -> OrhAnalysis:
    """Methods compared over several seeds on one test set.

    Args:
        y_true: Labels, shape (n,).
        scores: Shape (methods, seeds, n) for binary tasks, (methods, seeds, n, C) for class scores. Seed s of
            every method takes the place of reader s.
        groups: Patient of each case, shape (n,).
        confidence: Coverage of the intervals.
        metric: Any metric of `compare` that has an influence formula.
    """
    array = np.asarray(scores)
    if array.ndim not in (3, 4) or min(array.shape[:2]) < 2:
        raise StatisticsError(
            f"scores of shape {array.shape} are not methods x seeds x cases.",
            fix="pass at least two methods and two seeds, shape (methods, seeds, n) or (methods, seeds, n, C)",
        )
    t, r = array.shape[:2]
    measured = measure(metric, y_true, array.reshape(t * r, *array.shape[2:]), groups)
    if not measured.influence.defined:
        raise StatisticsError(
            f"{measured.verdict}: {measured.verdict.explanation}", fix="report the values without a test"
        )
    return orh_from_covariance(
        measured.influence.estimate.reshape(t, r), measured.influence.covariance, confidence
    )


def _by_orh(
    measured: Measured, means: Measured, k: int, s: int, pairs: list[tuple[int, int]], confidence: float
) -> SeedComparison:
    """ORH for every pair on its own, so that one method's unsteady seeds do not blur another pair."""
    values = measured.influence.estimate.reshape(k, s)
    covariance = measured.influence.covariance.reshape(k, s, k, s)
    method = "Obuchowski-Rockette-Hillis, seed as reader"
    compared = []
    for a, b in pairs:
        plain = compare_pair(means, a, b, confidence=confidence)
        # The same cases decide whether a test applies; only a degenerate case variance is ORH's own affair.
        blocked = not means.verdict.has_p_value or Verdict.CONSTANT_SCORES in plain.verdicts
        analysis = None
        if not blocked:
            both = [a, b]
            part = covariance[both][:, :, both].reshape(2 * s, 2 * s)
            analysis = orh_from_covariance(values[both], part, confidence)
        compared.append(_orh_pair(plain, analysis, method))
    return SeedComparison(
        measured.metric,
        tuple(_orh_estimate(measured, values[i], covariance[i, :, i], confidence) for i in range(k)),
        tuple(compared),
        method,
        "this method",
        s,
    )


def _orh_pair(plain: PairedComparison, analysis: OrhAnalysis | None, method: str) -> PairedComparison:
    if analysis is None:
        return replace(plain, method=method, permutation_p=None)
    found = analysis.differences[0]
    applies = found.verdict.has_p_value
    small = found.verdict is Verdict.OK and Verdict.SMALL in plain.verdicts
    verdict = Verdict.SMALL if small else found.verdict
    return replace(
        plain,
        ci_low=found.ci_low if applies else None,
        ci_high=found.ci_high if applies else None,
        z=found.t,
        p_value=found.p_value,
        verdict=verdict,
        verdicts=(verdict,),
        se=found.se if applies else None,
        smallest_detectable_difference=smallest_detectable_difference(found.se) if applies else None,
        method=method,
        permutation_p=None,
        statistic_df=found.df,
    )


def _orh_estimate(
    measured: Measured, values: FloatArray, covariance: FloatArray, confidence: float
) -> SeedEstimate:
    per_seed = tuple(float(v) for v in values)
    if np.isnan(values).any():
        return SeedEstimate(None, None, None, None, None, per_seed, measured.verdict)
    mean = method_mean(values, covariance, confidence) if measured.verdict.has_p_value else None
    sd = float(values.std(ddof=1))
    if mean is None:
        return SeedEstimate(float(values.mean()), None, None, None, sd, per_seed, measured.verdict)
    return SeedEstimate(mean.value, mean.ci_low, mean.ci_high, mean.se, sd, per_seed, measured.verdict)


def _mean_over_seeds(measured: Measured, k: int, s: int) -> Measured:
    weights = np.kron(np.eye(k), np.full((1, s), 1 / s))
    swaps = measured.swaps

    def averaged(a: int, b: int) -> FloatArray:
        assert swaps is not None
        return np.mean([swaps(a * s + i, b * s + i) for i in range(s)], axis=0)

    return replace(
        measured,
        influence=measured.influence.contrast(weights),
        failed=np.asarray(measured.failed.reshape(k, s).any(axis=1)),
        swaps=averaged if swaps else None,
        method=measured.method + ", mean over seeds",
    )


def _plain_estimate(measured: Measured, means: Measured, i: int, s: int, confidence: float) -> SeedEstimate:
    per_seed = measured.influence.estimate.reshape(-1, s)[i]
    value = float(means.influence.estimate[i])
    sd = float(per_seed.std(ddof=1)) if s > 1 else None
    values = tuple(float(v) for v in per_seed)
    variance = float(means.influence.covariance[i, i])
    if not measured.verdict.has_p_value or not variance > 0:
        shown = None if np.isnan(value) else value
        return SeedEstimate(shown, None, None, None, sd, values, measured.verdict)
    se = float(np.sqrt(variance))
    half = critical_z(confidence) * se
    return SeedEstimate(value, value - half, value + half, se, sd, values, measured.verdict)
