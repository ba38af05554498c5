"""Systems compared across several data sets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from benchbench.statistics.families import tie_groups
from benchbench.statistics.inputs import FloatArray, StatisticsError
from benchbench.statistics.intervals import critical_z, normal_p_value
from benchbench.statistics.verdicts import Verdict

#: Fewer independent data sets leave a critical difference that spans most of the ranks.
MINIMUM_DATASETS = 6


@dataclass(frozen=True)
class FriedmanNemenyi:
    """Ranks over data sets, with everything a critical-difference diagram needs.

    Attributes:
        mean_ranks: Shape (k,); 1 is best. None, as all below, where there are too few data sets.
        chi_square, p_value: Friedman's test, corrected for ties.
        iman_davenport_f, iman_davenport_p: Its F version, less conservative; None where all data sets agree.
        critical_difference: Mean ranks further apart than this differ (Nemenyi, at `alpha`).
        pairwise_p: Nemenyi p-values, shape (k, k).
        groups: Systems joined by a bar in the diagram: runs of mean ranks within the critical difference.
        verdict: "ok" or "too_few_datasets".
        n_datasets: Data sets handed in.
    """

    mean_ranks: FloatArray | None
    chi_square: float | None
    p_value: float | None
    iman_davenport_f: float | None
    iman_davenport_p: float | None
    critical_difference: float | None
    pairwise_p: FloatArray | None
    groups: tuple[tuple[int, ...], ...]
    verdict: Verdict
    n_datasets: int
    alpha: float = 0.05


def friedman_nemenyi(values: ArrayLike, alpha: float = 0.05) -> FriedmanNemenyi:
    """Friedman's test and Nemenyi's comparison of all pairs.

    Args:
        values: Metric of each system on each data set, shape (data sets, systems), higher is better. Tasks that
            share images are one data set, not several: average them first.
        alpha: Level of the critical difference.

    Returns:
        Ranks and tests; only the verdict "too_few_datasets" below six data sets.
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import rankdata, studentized_range

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise StatisticsError(
            "ranks need a complete table of data sets x systems, with at least two systems.",
            fix="leave out data sets on which a system has no value",
        )
    n, k = table.shape
    if n < MINIMUM_DATASETS:
        empty: tuple[tuple[int, ...], ...] = ()
        return FriedmanNemenyi(
            None, None, None, None, None, None, None, empty, Verdict.TOO_FEW_DATASETS, n, alpha
        )
    ranks = np.stack([rankdata(-row) for row in table])
    mean_ranks = ranks.mean(axis=0)
    between = n * ((mean_ranks - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))
    chi_square = float(between / within) if within > 0 else 0.0
    p_value = float(chdtrc(k - 1, chi_square))
    room = n * (k - 1) - chi_square
    # The same order on every data set leaves no variance for an F: chi-square alone speaks.
    f = (n - 1) * chi_square / room if room > 1e-12 * n * (k - 1) else None
    step = math.sqrt(k * (k + 1) / (6 * n))
    gaps = np.abs(mean_ranks[:, np.newaxis] - mean_ranks)
    critical = float(studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2) * step
    pairwise = np.clip(studentized_range.sf(gaps / step * math.sqrt(2), k, np.inf), 0, 1)
    np.fill_diagonal(pairwise, 1)
    return FriedmanNemenyi(
        mean_ranks,
        chi_square,
        p_value,
        f,
        None if f is None else float(f_distribution.sf(f, k - 1, (k - 1) * (n - 1))),
        critical,
        pairwise,
        tie_groups(-mean_ranks, gaps > critical),
        Verdict.OK,
        n,
        alpha,
    )


@dataclass(frozen=True)
class PooledDifference:
    """Mean difference over data sets (random effects, DerSimonian & Laird).

    Attributes:
        difference: Pooled difference.
        se, ci_low, ci_high, p_value: Of the pooled difference.
        tau: Standard deviation of the true differences between data sets.
        i_squared: Share of the spread that is not sampling error.
        n_datasets: Data sets.
    """

    difference: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    tau: float
    i_squared: float
    n_datasets: int


def pooled_difference(differences: ArrayLike, ses: ArrayLike, confidence: float = 0.95) -> PooledDifference:
    """Difference of two systems pooled over independent data sets.

    Args:
        differences: Shape (data sets,).
        ses: Their standard errors, shape (data sets,).
        confidence: Coverage.
    """
    d, s = np.asarray(differences, dtype=np.float64), np.asarray(ses, dtype=np.float64)
    if d.ndim != 1 or d.shape != s.shape or d.size < 2 or not (s > 0).all():
        raise StatisticsError(
            "pooling needs two or more differences, each with a positive standard error.",
            fix="leave out data sets whose verdict says that no test applies",
        )
    w = 1 / s**2
    fixed = (w * d).sum() / w.sum()
    q = float((w * (d - fixed) ** 2).sum())
    df = d.size - 1
    tau2 = max(0.0, (q - df) / float(w.sum() - (w**2).sum() / w.sum()))
    v = 1 / (s**2 + tau2)
    value, se = float((v * d).sum() / v.sum()), float(1 / math.sqrt(v.sum()))
    half = critical_z(confidence) * se
    i_squared = max(0.0, (q - df) / q) if q > 0 else 0.0
    return PooledDifference(
        value, se, value - half, value + half, normal_p_value(value / se), math.sqrt(tau2), i_squared, d.size
    )
