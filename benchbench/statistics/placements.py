"""The AUC of many systems and the influence of every case on it, from ranks.

A placement is the share of the other class that a case beats. Counted doubled (two for a win, one for a tie)
placements are whole numbers, so that AUCs are compared exactly and rounding never decides a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.statistics.influence import Block, Influence, stack
from benchbench.statistics.inputs import Clusters, FloatArray

#: Shorter rows are sorted by `numpy.argsort`.
RADIX_FROM = 5_000


@dataclass(frozen=True)
class Task:
    """One binary question about some of the cases.

    Attributes:
        rows: Cases that have a label, shape (r,).
        positive: Class of these cases, shape (r,).
        scores: Scores of these cases, shape (k, r).
    """

    rows: NDArray[np.intp]
    positive: NDArray[np.bool_]
    scores: NDArray[Any]


def doubled_placements(positive: NDArray[np.bool_], scores: NDArray[Any]) -> FloatArray:
    """Doubled number of pairs that each case wins (positives) or lets be won (negatives).

    Args:
        positive: Class of each case, shape (n,).
        scores: Scores, shape (k, n).

    Returns:
        Shape (k, n) with the positives first, then the negatives, each in their original order. Both parts of
        a row sum to the same number, 2 m n A for m positives, n negatives and AUC A.
    """
    cases = np.concatenate([np.flatnonzero(positive), np.flatnonzero(~positive)])
    m = int(positive.sum())
    placed = np.empty(scores.shape, dtype=np.float64)
    for row, out in zip(scores, placed, strict=True):
        _place(row[cases], m, out)
    return placed


def _place(row: NDArray[Any], m: int, out: FloatArray) -> None:
    """Doubled placements of one system; the first m scores of `row` are the positives'."""
    n = row.size
    order = ascending_order(row)
    ordered = row[order]
    negative = order >= m
    # negatives_before[i]: negatives among the first i cases in order; one entry more than cases.
    negatives_before = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(negative, out=negatives_before[1:])
    fresh = ordered[1:] != ordered[:-1]
    if fresh.all():
        negatives_below = negatives_before[:-1] + negatives_before[1:]
        everyone_below = np.arange(1, 2 * n, 2)
    else:
        starts = np.concatenate([[0], np.flatnonzero(fresh) + 1])
        stops = np.append(starts[1:], n)
        sizes = stops - starts
        # Doubled counts: those before a group of ties plus those up to its end.
        negatives_below = np.repeat(negatives_before[starts] + negatives_before[stops], sizes)
        everyone_below = np.repeat(starts + stops, sizes)
    # A negative lets be won what is above it: all positives less those below.
    out[order] = np.where(negative, 2 * m - (everyone_below - negatives_below), negatives_below)


def ascending_order(row: NDArray[Any]) -> NDArray[np.intp]:
    """Positions that sort `row`, in no particular order among ties.

    Long rows of doubles are sorted by the 16-bit digits of their bit pattern, for which numpy has a radix sort;
    where it has no vectorised `argsort` for the processor, that takes half the time. The lowest digit only decides
    between neighbours that differ in their last bits, and is left to a sort that is fast on nearly sorted values.
    """
    if row.dtype != np.float64 or row.size < RADIX_FROM:
        return np.argsort(row)
    bits = (row + 0.0).view(np.int64)  # adding 0.0 turns -0.0 into 0.0
    keys = (bits ^ ((bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF))).view(np.uint64) ^ np.uint64(1 << 63)
    order = np.argsort((keys >> np.uint64(16)).astype(np.uint16), kind="stable")
    for shift in (32, 48):
        digit = (keys >> np.uint64(shift)).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    ordered = row[order]
    if (ordered[1:] < ordered[:-1]).any():
        order = order[np.argsort(ordered, kind="stable")]
    return order


def auc_influence(
    positive: NDArray[np.bool_], scores: NDArray[Any], clusters: Clusters, by_patient: bool = False
) -> Influence:
    """AUCs of k systems with the influence of every patient.

    Args:
        positive: Class of each case, shape (n,); both classes must be present.
        scores: Finite scores, shape (k, n).
        clusters: Patients of the cases.
        by_patient: Order the influences by patient number; without it, one case per patient, they stay with
            the positives first, which saves a copy.
    """
    m = int(positive.sum())
    n = positive.size - m
    influence = doubled_placements(positive, scores)
    wins = influence[:, :m].sum(axis=1)
    # Centred placements times class size stay whole numbers below 2**53: no rounding up to here.
    for part, size in ((influence[:, :m], m), (influence[:, m:], n)):
        part *= size
        part -= wins[:, np.newaxis]
    scale_positive = 1 / (2.0 * n * m * m)
    scale_negative = 1 / (2.0 * m * n * n)
    if clusters.singletons and not by_patient:
        influence[:, :m] *= scale_positive
        influence[:, m:] *= scale_negative
        parts = (influence[:, :m], influence[:, m:])
        total = influence
    else:
        rows_positive, rows_negative = np.flatnonzero(positive), np.flatnonzero(~positive)
        by_positives = clusters.sums(influence[:, :m], rows_positive) * scale_positive
        by_negatives = clusters.sums(influence[:, m:], rows_negative) * scale_negative
        total = by_positives + by_negatives
        parts = (
            by_positives[:, clusters.holding(positive)],
            by_negatives[:, clusters.holding(~positive)],
        )
    return with_class_factors(wins, total, parts, clusters.count, denominator=2.0 * m * n)


def with_class_factors(
    numerator: FloatArray,
    total: FloatArray,
    parts: tuple[FloatArray, ...],
    n_clusters: int,
    denominator: float = 1.0,
) -> Influence:
    """An influence whose parts each lose one degree of freedom, by the number of patients that hold the part."""
    if min(part.shape[1] for part in parts) < 2:
        return Influence(numerator, total, 1.0, (), denominator, defined=False)
    factor = n_clusters / (n_clusters - 1)
    blocks = tuple(Block(part, part.shape[1] / (part.shape[1] - 1) - factor) for part in parts)
    return Influence(numerator, total, factor, blocks, denominator)


def joint_auc_influence(tasks: Sequence[Task], clusters: Clusters) -> Influence:
    """Joint influence of the AUCs of several tasks on the same patients, such as one class against the rest.

    Args:
        tasks: Each with the same systems, and both classes present.
        clusters: Patients of all cases; only those with a case in some task are counted.

    Returns:
        Estimates task by task: task 0 of systems 0 .. k-1, task 1 of systems 0 .. k-1, ...
    """
    used = np.unique(np.concatenate([clusters.ids[task.rows] for task in tasks]))
    number = np.zeros(clusters.count, dtype=np.intp)
    number[used] = np.arange(used.size)
    return stack(
        [
            auc_influence(
                task.positive,
                task.scores,
                Clusters(number[clusters.ids[task.rows]], used.size),
                by_patient=True,
            )
            for task in tasks
        ]
    )
