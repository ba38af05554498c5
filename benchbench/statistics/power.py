"""Chance that a test set of a given size shows an AUC, or a difference of two, as R's pROC computes it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from benchbench.statistics.auroc import delong_covariance
from benchbench.statistics.inputs import StatisticsError, as_vector, one_system
from benchbench.statistics.intervals import critical_value


def auc_power(auc: float, n_positive: int, n_negative: int, alpha: float = 0.05) -> float:
    """Power to tell an AUC from 0.5, by the binormal variance of Obuchowski, Lieber & Wians (2004).

    Args:
        auc: Assumed true AUC, above 0.5.
        n_positive, n_negative: Test cases of each class.
        alpha: Level of the two-sided test.
    """
    if not 0.5 < auc < 1 or min(n_positive, n_negative) < 1:
        raise StatisticsError(
            f"no power exists for AUC {auc} on {n_positive} and {n_negative} cases.",
            fix="pass an AUC between 0.5 and 1, and at least one case of each class",
        )
    ratio = n_negative / n_positive

    def variance(a: float) -> float:
        return 0.0099 * math.exp(-(a**2) / 2) * ((5 * a**2 + 8) + (a**2 + 8) / ratio)

    # The source writes the square root of two as 1.414.
    spread, null = math.sqrt(variance(1.414 * float(ndtri(auc)))), math.sqrt(variance(0.0))
    return float(ndtr((math.sqrt(n_positive) * (auc - 0.5) - critical_value(1 - alpha) * null) / spread))


def auc_difference_power(
    y_true: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, alpha: float = 0.05
) -> float:
    """Power of a paired comparison on a test set like this one, were its AUCs the true ones (Obuchowski 1997).

    Under equality both systems are taken to have the first one's variance, so that the order matters a little.

    Args:
        y_true: Labels 0 and 1, shape (n,).
        scores_a, scores_b: Scores of the two systems, shape (n,).
        alpha: Level of the two-sided test.
    """
    labels = as_vector(y_true, "y_true")
    rows = [one_system(s, labels.size, name) for s, name in ((scores_a, "scores_a"), (scores_b, "scores_b"))]
    auc, covariance = delong_covariance(labels, np.stack(rows, axis=1))
    own, shared = float(covariance[0, 0]), float(covariance[0, 1])
    variance = own + float(covariance[1, 1]) - 2 * shared
    if not variance > 0:
        raise StatisticsError(
            "the difference of these systems has no variance, and so no power.",
            fix="see the verdict of delong_test on the same scores",
        )
    null = math.sqrt(max(2 * own - 2 * shared, 0.0))
    return float(ndtr((abs(float(auc[0] - auc[1])) - critical_value(1 - alpha) * null) / math.sqrt(variance)))
