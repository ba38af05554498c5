"""Methods with several training seeds, compared on one test set by any metric that has an influence formula."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.comparison import (
    ExcludedClass,
    Measured,
    PairedComparison,
    compare_pair,
    pair_verdicts,
)
from benchbench.statistics.inputs import FloatArray, StatisticsError
from benchbench.statistics.intervals import smallest_detectable_difference
from benchbench.statistics.resampling import DrawnSystems, draw_systems
from benchbench.statistics.seeds import (
    MethodDifference,
    MethodMean,
    OrhAnalysis,
    method_mean,
    orh_from_covariance,
)
from benchbench.statistics.systems import (
    DRAWN_METRICS,
    Comparison,
    compare,
    drawn_pair,
    measure,
    pair_indices,
    system_interval,
)
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
        method: How the interval was made; empty without one.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    se: float | None
    seed_sd: float | None
    per_seed: tuple[float, ...]
    verdict: Verdict
    method: str = ""


@dataclass(frozen=True)
class SeedComparison:
    """k methods, s seeds each, on one task.

    Attributes:
        metric: Its name.
        estimates: One per method.
        pairs: The comparisons asked for, uncorrected; `statistic_df` holds the t's degrees of freedom.
        method: Name of the test.
        claim: What the result is about: "this method" where the spread between seeds is counted (three or more),
            "this trained model" for one seed, "the mean of these trained models" for two, and for average
            precision, which has no formula that could count it.
        n_seeds: Seeds of each method.
        excluded: Classes left out of a macro average.
    """

    metric: str
    estimates: tuple[SeedEstimate, ...]
    pairs: tuple[PairedComparison, ...]
    method: str
    claim: str
    n_seeds: int
    excluded: tuple[ExcludedClass, ...] = ()


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
        metric: One of `compare`'s metrics. Average precision, which has no formula, is compared by drawing
            patients, whatever the number of seeds.
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
    if s == 1:
        return _of_one_seed(compare(metric, y_true, array[:, 0], groups, comparisons, confidence))
    flat = array.reshape(k * s, *array.shape[2:])
    pairs = pair_indices(k, comparisons)
    if metric in DRAWN_METRICS:
        return _by_bootstrap(draw_systems(metric, y_true, flat, groups), s, pairs, confidence)
    measured = measure(metric, y_true, flat, groups)
    means = _mean_over_seeds(measured, k, s)
    if s >= MINIMUM_SEEDS:
        return _by_orh(measured, means, k, s, pairs, confidence)
    errors = np.sqrt(np.diag(means.influence.covariance))
    return SeedComparison(
        metric,
        tuple(_estimate(measured, means, i, s, float(errors[i]), confidence) for i in range(k)),
        tuple(compare_pair(means, a, b, confidence=confidence) for a, b in pairs),
        means.method,
        "the mean of these trained models",
        s,
        measured.excluded,
    )


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
    means = _mean_over_seeds(measured, t, r)
    analysis = orh_from_covariance(
        measured.influence.estimate.reshape(t, r), measured.influence.covariance, confidence
    )
    blocks = [_blocking(means, d.index_a, d.index_b) for d in analysis.differences]
    blocking = next((verdict for verdict in blocks if verdict is not None), None)
    return replace(
        analysis,
        methods=tuple(_within_bounds(m, means, i, confidence) for i, m in enumerate(analysis.methods)),
        differences=tuple(
            d if verdict is None else _without_test(d, verdict)
            for d, verdict in zip(analysis.differences, blocks, strict=True)
        ),
        f=None if blocking else analysis.f,
        p_value=None if blocking else analysis.p_value,
        verdict=blocking or measured.verdict,
    )


def _blocking(means: Measured, a: int, b: int) -> Verdict | None:
    """Why two methods cannot be tested whatever their seeds; a degenerate case variance is ORH's own affair."""
    verdicts = pair_verdicts(means, a, b)
    final = {Verdict.CONSTANT_SCORES, Verdict.CONSTANT_CLASS, Verdict.BOTH_PERFECT}
    if not means.verdict.has_p_value and verdicts[0] is not Verdict.IDENTICAL:
        return verdicts[0]
    return next((verdict for verdict in verdicts if verdict in final), None)


def _without_test(d: MethodDifference, verdict: Verdict) -> MethodDifference:
    return replace(d, ci_low=None, ci_high=None, t=None, p_value=None, verdict=verdict)


def _within_bounds(mean: MethodMean, means: Measured, i: int, confidence: float) -> MethodMean:
    """Hillis' interval on the scale of the metric: it never leaves the metric's range."""
    interval, _ = system_interval(means, i, mean.se, confidence, mean.df)
    return replace(
        mean, ci_low=interval.low if interval else None, ci_high=interval.high if interval else None
    )


def _of_one_seed(plain: Comparison) -> SeedComparison:
    estimates = tuple(
        SeedEstimate(
            e.value,
            e.ci_low,
            e.ci_high,
            e.se,
            None,
            () if e.value is None else (e.value,),
            e.verdict,
            "" if e.method == "none" else e.method,
        )
        for e in plain.estimates
    )
    return SeedComparison(
        plain.metric, estimates, plain.pairs, plain.method, "this trained model", 1, plain.excluded
    )


def _by_bootstrap(
    drawn: DrawnSystems, s: int, pairs: list[tuple[int, int]], confidence: float
) -> SeedComparison:
    """Means over seeds in the same draws of patients; the spread between seeds is shown but not counted."""
    means = drawn.over_seeds(s)
    label = ", mean over seeds"
    estimates = []
    for per_seed, i in zip(drawn.points.reshape(-1, s), range(means.points.size), strict=True):
        one = means.estimate(i, confidence)
        method = "" if one.ci_low is None else one.method + label
        sd = float(per_seed.std(ddof=1))
        estimates.append(
            SeedEstimate(
                one.value,
                one.ci_low,
                one.ci_high,
                one.se,
                None if one.value is None else sd,
                tuple(float(v) for v in per_seed),
                one.verdict,
                method,
            )
        )
    compared = [drawn_pair(means, a, b, confidence) for a, b in pairs]
    return SeedComparison(
        drawn.metric,
        tuple(estimates),
        tuple(replace(pair, method=pair.method + label) for pair in compared),
        "paired cluster bootstrap" + label,
        "the mean of these trained models",
        s,
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
        blocking = _blocking(means, a, b)
        rare = blocking is Verdict.RARE_CLASS
        # The permutation test is about these trained models, not about the methods: only a second check on ORH.
        tested = means if rare else replace(means, swaps=None)
        plain = replace(compare_pair(tested, a, b, confidence=confidence), method=method)
        if blocking is not None and not rare:
            compared.append(_blocked_pair(plain, blocking))
            continue
        both = [a, b]
        part = covariance[both][:, :, both].reshape(2 * s, 2 * s)
        compared.append(_orh_pair(plain, orh_from_covariance(values[both], part, confidence)))
    estimates = []
    for i in range(k):
        mean = method_mean(values[i], covariance[i, :, i], confidence)
        estimates.append(_estimate(measured, means, i, s, mean.se, confidence, mean.df))
    return SeedComparison(
        measured.metric, tuple(estimates), tuple(compared), method, "this method", s, measured.excluded
    )


def _blocked_pair(plain: PairedComparison, verdict: Verdict) -> PairedComparison:
    return replace(
        plain,
        ci_low=None,
        ci_high=None,
        z=None,
        p_value=None,
        se=None,
        smallest_detectable_difference=None,
        verdict=verdict,
    )


def _orh_pair(plain: PairedComparison, analysis: OrhAnalysis) -> PairedComparison:
    found = analysis.differences[0]
    if plain.verdict is Verdict.RARE_CLASS and found.verdict is Verdict.OK:
        return replace(plain, p_value=found.p_value, z=found.t, se=found.se, statistic_df=found.df)
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
        smallest_detectable_difference=(
            smallest_detectable_difference(found.se, df=found.df) if applies else None
        ),
        statistic_df=found.df,
    )


def _estimate(
    measured: Measured,
    means: Measured,
    i: int,
    s: int,
    se: float,
    confidence: float,
    df: float | None = None,
) -> SeedEstimate:
    """One method's mean with standard error `se`, a t with `df` where the spread between seeds is in it."""
    per_seed = measured.influence.estimate.reshape(-1, s)[i]
    value = float(means.influence.estimate[i])
    values = tuple(float(v) for v in per_seed)
    interval, verdict = system_interval(means, i, se, confidence, df)
    if math.isnan(value):
        return SeedEstimate(None, None, None, None, None, values, verdict)
    sd = float(per_seed.std(ddof=1))
    if interval is None:
        return SeedEstimate(value, None, None, None, sd, values, verdict)
    hillis = "" if df is None else "Hillis, "
    method = interval.method if se == 0 else f"{hillis}{interval.method}, mean over seeds"
    return SeedEstimate(
        value, interval.low, interval.high, se if se > 0 else None, sd, values, verdict, method
    )


def _mean_over_seeds(measured: Measured, k: int, s: int) -> Measured:
    members = np.repeat(np.eye(k), s, axis=1)
    swaps, one_class = measured.swaps, measured.one_class

    def averaged(a: int, b: int) -> FloatArray:
        assert swaps is not None
        return np.mean([swaps(a * s + i, b * s + i) for i in range(s)], axis=0)

    return replace(
        measured,
        influence=measured.influence.contrast(members, divisor=s),
        failed=np.asarray(measured.failed.reshape(k, s).any(axis=1)),
        # Seeds that answer otherwise give the mean a variance.
        one_class=None if one_class is None else np.asarray(one_class.reshape(k, s).all(axis=1)),
        swaps=averaged if swaps else None,
        method=measured.method + ", mean over seeds",
    )
