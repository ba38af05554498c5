"""Rank-swap permutation test for two systems scored on the same cases.

Each system's scores are replaced by their ranks, so that only the ordering counts. If the systems are
exchangeable, a patient's ranks may be swapped between them without changing the distribution of the difference.
For the AUC, the difference after any set of swaps is linear in the swaps: every patient contributes +u or -u,
where u comes from placing the patient's two ranks among both systems' ranks of the other class. No AUC is
computed twice, and ten thousand swaps cost one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    binary_labels,
    clusters_of,
    one_system,
    stack_systems,
)
from benchbench.statistics.placements import doubled_placements

#: Up to this many patients that matter, all 2**count swaps are tried instead of a random sample.
EXACT_LIMIT = 14


@dataclass(frozen=True)
class PermutationTest:
    """Outcome of a rank-swap permutation test.

    Attributes:
        difference: AUC of the first system minus that of the second.
        p_value: Two-sided. Where no random swap is as extreme, the smaller of 1 / (draws + 1) and Hoeffding's bound
            2 exp(-d^2 / (2 sum of squares)), which the exact p-value never exceeds: the number of draws is no floor.
        draws: Number of swaps tried; all of them where `exact`.
        exact: Whether every possible swap was tried.
        n_clusters: Patients whose swap changes anything.
    """

    difference: float
    p_value: float
    draws: int
    exact: bool
    n_clusters: int


def permutation_test(
    y_true: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> PermutationTest:
    """Whether two exchangeable systems could differ this much, whatever the number of cases.

    Exchangeable is more than equally good: a patient's two ranks must be as likely to come from either system. Two
    systems of the same AUC of which one spreads its positives more widely are not, and with few cases they are
    rejected more often than the level says.

    Args:
        y_true: Labels 0 and 1, shape (n,).
        scores_a, scores_b: Scores of the two systems, shape (n,).
        groups: Patient of each case; a patient's cases are swapped together.
        draws: Random swaps, where there are too many patients to try them all.
        seed: Of the random swaps.
    """
    positive = binary_labels(y_true)
    rows = stack_systems(
        [one_system(scores_a, positive.size, "scores_a"), one_system(scores_b, positive.size, "scores_b")]
    )
    clusters = clusters_of(groups, positive.size)
    if positive.all() or not positive.any():
        raise StatisticsError(
            "undefined_auc: only one class is present.", fix="test on cases of both classes"
        )
    return sign_flip_test(swap_contributions(positive, rows[0], rows[1], clusters), draws, seed)


def swap_contributions(
    positive: NDArray[np.bool_], row_a: NDArray[Any], row_b: NDArray[Any], clusters: Clusters
) -> FloatArray:
    """What each patient adds to the AUC difference, and takes away when swapped, shape (patients,)."""
    n = positive.size
    m = int(positive.sum())
    ranks = np.stack([_doubled_ranks(row_a), _doubled_ranks(row_b)])
    pooled_class = np.concatenate([positive, positive])
    # Each of a case's two ranks is placed among both systems' ranks of the other class.
    placed = doubled_placements(pooled_class, ranks.reshape(1, -1))[0]
    by_case = np.empty(n)
    by_case[positive] = placed[:m] - placed[m : 2 * m]
    by_case[~positive] = placed[2 * m : m + n] - placed[m + n :]
    return clusters.sums(by_case[np.newaxis])[0] / (4.0 * m * (n - m))


def sign_flip_test(contributions: FloatArray, draws: int = 10_000, seed: int = 0) -> PermutationTest:
    """Two-sided p-value of a sum whose terms may each change sign with probability one half."""
    if draws < 1:
        raise StatisticsError(
            f"draws is {draws}.", fix="pass a positive number of random swaps, such as 10000"
        )
    terms = contributions[contributions != 0]
    observed = float(terms.sum())
    exact = terms.size <= EXACT_LIMIT
    if exact:
        draws = 2**terms.size
        codes = np.arange(draws)[:, np.newaxis] >> np.arange(terms.size)
        extreme = _count_extreme(codes & 1, terms, observed)
        return PermutationTest(observed, extreme / draws, draws, True, terms.size)
    rng = np.random.default_rng(seed)
    extreme = 0
    step = max(1, 4_000_000 // terms.size)
    for start in range(0, draws, step):
        flips = rng.integers(0, 2, size=(min(step, draws - start), terms.size), dtype=np.int8)
        extreme += _count_extreme(flips, terms, observed)
    p_value = (extreme + 1) / (draws + 1)
    if extreme == 0:
        p_value = min(p_value, 2 * math.exp(-(observed**2) / (2 * float((terms**2).sum()))))
    return PermutationTest(observed, p_value, draws, False, terms.size)


def _count_extreme(flips: NDArray[Any], terms: FloatArray, observed: float) -> int:
    sums = terms.sum() - 2 * (flips @ terms)
    # Sums that are equal in exact arithmetic count as equal.
    slack = 1e-9 * np.abs(terms).sum()
    return int((np.abs(sums) >= abs(observed) - slack).sum())


def _doubled_ranks(row: NDArray[Any]) -> FloatArray:
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    doubled: FloatArray = (2 * np.cumsum(counts) - counts).astype(np.float64)
    return doubled[inverse.reshape(-1)]
