"""Linear contrasts of estimates: any weighted difference, and the test that several are all zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from benchbench.statistics.influence import Influence
from benchbench.statistics.inputs import StatisticsError
from benchbench.statistics.intervals import normal_p_value, wald_interval


@dataclass(frozen=True)
class ContrastTest:
    """A weighted sum of estimates, its interval, and the test that it is zero."""

    value: float
    se: float
    ci_low: float
    ci_high: float
    z: float | None
    p_value: float | None


@dataclass(frozen=True)
class ChiSquareTest:
    """Test that several contrasts are all zero.

    Attributes:
        statistic: Chi-square (Wald).
        df: Rank of the contrasts' covariance.
        p_value: None where the rank is 0.
    """

    statistic: float
    df: int
    p_value: float | None


def linear_contrast(
    estimate: ArrayLike, covariance: ArrayLike, weights: ArrayLike, confidence: float = 0.95
) -> ContrastTest:
    """Test of one weighted sum of estimates.

    Args:
        estimate: Shape (k,).
        covariance: Their covariance, shape (k, k).
        weights: Shape (k,); they sum to 0 for a comparison.
        confidence: Coverage of the interval.
    """
    values, matrix = _checked(estimate, covariance)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != values.shape:
        raise StatisticsError(
            f"{w.size} weights for {values.size} estimates.", fix="pass one weight per estimate"
        )
    value, variance = float(w @ values), max(float(w @ matrix @ w), 0.0)
    se = math.sqrt(variance)
    interval = wald_interval(value, se, confidence)
    z = value / se if se > 0 else None
    return ContrastTest(value, se, interval.low, interval.high, z, None if z is None else normal_p_value(z))


def chi_square_test(
    estimate: ArrayLike, covariance: ArrayLike, contrasts: ArrayLike | None = None
) -> ChiSquareTest:
    """Test that contrasts of the estimates are all zero.

    Args:
        estimate: Shape (k,).
        covariance: Shape (k, k).
        contrasts: Shape (r, k); None tests that all k estimates are equal.
    """
    values, matrix = _checked(estimate, covariance)
    rows = (
        _equality(values.size)
        if contrasts is None
        else np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
    )
    return _wald_chi_square(rows @ values, rows @ matrix @ rows.T)


def omnibus_test(influence: Influence, failed: NDArray[np.bool_]) -> ChiSquareTest | None:
    """Test that all estimates are equal, with differences taken before anything is squared.

    Args:
        influence: Of k systems.
        failed: Systems left out since they give every case the same score, shape (k,).

    Returns:
        None with fewer than two systems left.
    """
    kept = np.flatnonzero(~failed)
    if kept.size < 2:
        return None
    influence = influence.contrast(np.eye(failed.size)[kept])
    equal = influence.contrast(_equality(influence.numerator.size))
    return _wald_chi_square(equal.estimate, equal.covariance)


def _equality(k: int) -> np.ndarray:
    return np.hstack([np.ones((k - 1, 1)), -np.eye(k - 1)])


def _wald_chi_square(values: np.ndarray, covariance: np.ndarray) -> ChiSquareTest:
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
    if rank == 0:
        return ChiSquareTest(0.0, 0, None)
    statistic = float(values @ np.linalg.pinv(covariance, hermitian=True) @ values)
    return ChiSquareTest(statistic, rank, float(chdtrc(rank, statistic)))


def _checked(estimate: ArrayLike, covariance: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values = np.atleast_1d(np.asarray(estimate, dtype=np.float64))
    matrix = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
    if matrix.shape != (values.size, values.size):
        raise StatisticsError(
            f"{values.size} estimates, but a covariance of shape {matrix.shape}.",
            fix="pass the covariance that belongs to the estimates",
        )
    return values, matrix
