"""Several training seeds on one test set, and repeated splits.

Seeds of one method see the same test cases, so that their results are correlated and a t-test over seeds takes
the luck of the test set for a property of the method. Obuchowski-Rockette-Hillis (ORH) separates the two: seeds
play the readers, and the covariance between seeds comes from the cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

from benchbench.statistics.inputs import FloatArray, StatisticsError
from benchbench.statistics.intervals import critical_value, normal_p_value
from benchbench.statistics.verdicts import Verdict


@dataclass(frozen=True)
class MethodMean:
    """One method's mean over seeds.

    Attributes:
        value: Mean over seeds.
        se: Standard error that counts both seeds and test patients.
        df: Degrees of freedom of its t.
        ci_low, ci_high: Confidence interval; None where none applies.
        seed_sd: Standard deviation over seeds on this test set.
    """

    value: float
    se: float
    df: float
    ci_low: float | None
    ci_high: float | None
    seed_sd: float


@dataclass(frozen=True)
class MethodDifference:
    """Difference of two methods' means over seeds, first minus second; None where the verdict forbids a number."""

    index_a: int
    index_b: int
    difference: float
    se: float
    ci_low: float | None
    ci_high: float | None
    t: float | None
    df: float
    p_value: float | None
    verdict: Verdict


@dataclass(frozen=True)
class OrhAnalysis:
    """Obuchowski-Rockette-Hillis analysis, methods fixed, seeds and cases random.

    Attributes:
        methods: One mean per method.
        differences: Every pair of methods, with the pooled denominator.
        f, df1, df2, p_value: Test that all methods are equal; None where nothing varies or a verdict forbids it.
        ms_method, ms_method_seed: Mean squares.
        error, cov1, cov2, cov3: Mean variance, and mean covariances: same seed and another method, same
            method and another seed, both different.
        n_methods, n_seeds: Shape of the design.
        verdict: "ok", or what the test cases say against a test.
    """

    methods: tuple[MethodMean, ...]
    differences: tuple[MethodDifference, ...]
    f: float | None
    df1: int
    df2: float
    p_value: float | None
    ms_method: float
    ms_method_seed: float
    denominator: float
    error: float
    cov1: float
    cov2: float
    cov3: float
    n_methods: int
    n_seeds: int
    verdict: Verdict = Verdict.OK


def orh_from_covariance(estimates: ArrayLike, covariance: ArrayLike, confidence: float = 0.95) -> OrhAnalysis:
    """ORH from estimates and their covariance, whatever the metric is.

    Args:
        estimates: Shape (methods, seeds), two or more of each.
        covariance: Shape (methods * seeds, methods * seeds), method-major.
        confidence: Coverage of the intervals, which are plain t intervals.
    """
    theta = np.asarray(estimates, dtype=np.float64)
    if theta.ndim != 2 or min(theta.shape) < 2 or not np.isfinite(theta).all():
        raise StatisticsError(
            f"estimates of shape {theta.shape} are not methods x seeds.",
            fix="pass finite values of two or more methods with two or more seeds each",
        )
    t, r = theta.shape
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.size != (t * r) ** 2:
        raise StatisticsError(
            f"a covariance of shape {matrix.shape} does not belong to {t} x {r} estimates.",
            fix=f"pass shape ({t * r}, {t * r}), ordered by method, then seed",
        )
    matrix = matrix.reshape(t, r, t, r)
    error, cov1, cov2, cov3 = _mean_covariances(matrix)
    means = theta.mean(axis=1)
    residual = theta - means[:, np.newaxis] - theta.mean(axis=0) + theta.mean()
    ms_method = float(r * ((means - theta.mean()) ** 2).sum() / (t - 1))
    ms_method_seed = _clean(float((residual**2).sum() / ((t - 1) * (r - 1))), error)
    denominator = ms_method_seed + max(r * _clean(cov2 - cov3, error), 0.0)
    df2 = _satterthwaite(denominator, ms_method_seed, (t - 1) * (r - 1))
    f = p_value = None
    if denominator > 0:
        f = ms_method / denominator
        p_value = _f_tail(t - 1, df2, f)
    differences = tuple(
        _difference(a, b, float(means[a] - means[b]), math.sqrt(2 * denominator / r), df2, confidence)
        for a in range(t)
        for b in range(a + 1, t)
    )
    methods = tuple(method_mean(theta[i], matrix[i, :, i, :], confidence) for i in range(t))
    return OrhAnalysis(
        methods,
        differences,
        f,
        t - 1,
        df2,
        p_value,
        ms_method,
        ms_method_seed,
        denominator,
        error,
        cov1,
        cov2,
        cov3,
        t,
        r,
    )


@dataclass(frozen=True)
class NadeauBengio:
    """Corrected resampled t-test over repeated splits of one data set."""

    mean_difference: float
    t: float | None
    df: int
    p_value: float | None
    naive_p_value: float | None
    label: str = "Nadeau-Bengio corrected resampled t-test over repeated splits"


def nadeau_bengio(differences: ArrayLike, test_over_train: float) -> NadeauBengio:
    """Repeated splits of one data set share their training cases; the variance is enlarged for that.

    Args:
        differences: Difference of two methods in each split, shape (J,).
        test_over_train: Test cases over training cases of a split, such as 0.25 for 20 % against 80 %.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise StatisticsError(
            "two or more finite differences are needed.", fix="pass one difference per split"
        )
    if not test_over_train > 0:
        raise StatisticsError(
            f"test_over_train is {test_over_train}.", fix="pass test cases / training cases"
        )
    j = values.size
    mean, variance = float(values.mean()), _clean(float(values.var(ddof=1)), float((values**2).max()))
    if variance == 0:
        return NadeauBengio(mean, None, j - 1, None, None)
    t = mean / math.sqrt(variance * (1 / j + test_over_train))
    naive = mean / math.sqrt(variance / j)
    return NadeauBengio(mean, t, j - 1, normal_p_value(t, df=j - 1), normal_p_value(naive, df=j - 1))


def _mean_covariances(matrix: FloatArray) -> tuple[float, float, float, float]:
    t, r = matrix.shape[:2]
    method = np.eye(t, dtype=bool)[:, np.newaxis, :, np.newaxis]
    seed = np.eye(r, dtype=bool)[np.newaxis, :, np.newaxis, :]
    full = np.ones(matrix.shape, dtype=bool)
    cells = (method & seed & full, ~method & seed & full, method & ~seed & full, ~method & ~seed & full)
    error, cov1, cov2, cov3 = (float(matrix[cell].mean()) for cell in cells)
    return error, cov1, cov2, cov3


def method_mean(values: FloatArray, covariance: FloatArray, confidence: float) -> MethodMean:
    """Mean of one method's seeds, values (r,) with covariance (r, r), and its interval by Hillis."""
    r = values.size
    ms_seed = float(values.var(ddof=1))
    between_seeds = float(covariance[~np.eye(r, dtype=bool)].mean())
    total = ms_seed + max(r * between_seeds, 0.0)
    df = _satterthwaite(total, ms_seed, r - 1)
    se = math.sqrt(total / r)
    half = critical_value(confidence, df) * se
    value = float(values.mean())
    return MethodMean(value, se, df, value - half, value + half, math.sqrt(ms_seed))


def _difference(
    a: int, b: int, difference: float, se: float, df: float, confidence: float
) -> MethodDifference:
    if se == 0:
        verdict = Verdict.IDENTICAL if difference == 0 else Verdict.DEGENERATE_VARIANCE
        p_value = 1.0 if difference == 0 else None
        return MethodDifference(a, b, difference, 0.0, difference, difference, None, df, p_value, verdict)
    t = difference / se
    half = critical_value(confidence, df) * se
    return MethodDifference(
        a,
        b,
        difference,
        se,
        difference - half,
        difference + half,
        t,
        df,
        normal_p_value(t, df=df),
        Verdict.OK,
    )


def _satterthwaite(total: float, mean_square: float, df: int) -> float:
    return math.inf if mean_square == 0 else df * (total / mean_square) ** 2


def _clean(value: float, scale: float) -> float:
    # Values that are equal leave rounding, not variance.
    return 0.0 if abs(value) <= 1e-12 * abs(scale) else value


def _f_tail(df1: int, df2: float, f: float) -> float:
    return float(fdtrc(df1, min(df2, 1e12), f))
