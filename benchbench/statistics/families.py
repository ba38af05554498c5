"""Many comparisons at once: corrections, what equal systems would win by chance, and honest ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import FloatArray, StatisticsError


@dataclass(frozen=True)
class Correction:
    """p-values of a family after correction.

    Attributes:
        adjusted: In the order handed in; NaN where a test did not apply (it does not count in the family).
        rejected: Which are below `alpha`.
        family_size: Tests that applied.
        alpha: Level.
        method: "Holm" or "Benjamini-Hochberg".
    """

    adjusted: FloatArray
    rejected: np.ndarray
    family_size: int
    alpha: float
    method: str


def holm(p_values: ArrayLike | Sequence[float | None], alpha: float = 0.05) -> Correction:
    """Holm's step-down correction: the chance of any false win in the family stays below alpha.

    Args:
        p_values: Shape (m,); None or NaN where a test did not apply.
        alpha: Level of the family.
    """
    return _correct(p_values, alpha, "Holm", _holm)


def benjamini_hochberg(p_values: ArrayLike | Sequence[float | None], alpha: float = 0.05) -> Correction:
    """Benjamini-Hochberg: the expected share of false finds among the finds stays below alpha. For exploring.

    Arguments as in `holm`.
    """
    return _correct(p_values, alpha, "Benjamini-Hochberg", _benjamini_hochberg)


@dataclass(frozen=True)
class ExpectedFalseWins:
    """What uncorrected tests would find among equally good systems.

    Attributes:
        expected: Mean number of false wins, alpha times the number of tests.
        chance_of_any: Chance of one or more, were the tests independent; correlated tests lower it.
        family_size: Tests.
    """

    expected: float
    chance_of_any: float
    family_size: int


def expected_false_wins(family_size: int, alpha: float = 0.05) -> ExpectedFalseWins:
    """Wins that equal systems would collect in `family_size` uncorrected tests."""
    if family_size < 0 or not 0 < alpha < 1:
        raise StatisticsError(
            "a family has zero or more tests and a level between 0 and 1.", fix="check both"
        )
    return ExpectedFalseWins(alpha * family_size, 1 - (1 - alpha) ** family_size, family_size)


@dataclass(frozen=True)
class RankInterval:
    """Ranks that a system may hold, given which differences are significant; 1 is best."""

    index: int
    best: int
    worst: int


def rank_intervals(estimates: ArrayLike, significant: ArrayLike) -> tuple[RankInterval, ...]:
    """Ranks that the significant differences leave open.

    Args:
        estimates: Shape (k,), higher is better.
        significant: Symmetric, shape (k, k): whether a pair differs after correction.
    """
    values, matrix = _ranked(estimates, significant)
    k = values.size
    better = matrix & (values[np.newaxis, :] > values[:, np.newaxis])
    worse = matrix & (values[np.newaxis, :] < values[:, np.newaxis])
    return tuple(RankInterval(i, 1 + int(better[i].sum()), k - int(worse[i].sum())) for i in range(k))


def tie_groups(estimates: ArrayLike, significant: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """Largest groups of systems without a significant difference inside, best first.

    These are the maximal cliques of the graph of undecided pairs (the compact letter display of Piepho 2004), by
    Bron & Kerbosch (1973) with pivot. A system may be in several groups: being tied is not transitive. Arguments
    as in `rank_intervals`.
    """
    values, matrix = _ranked(estimates, significant)
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    place = {system: position for position, system in enumerate(order)}
    tied = {i: {j for j in order if j != i and not matrix[i, j]} for i in order}
    cliques = [sorted(place[i] for i in c) for c in _cliques(set(), set(order), set(), tied)]
    return tuple(tuple(order[position] for position in clique) for clique in sorted(cliques))


def _cliques(
    chosen: set[int], candidates: set[int], seen: set[int], tied: Mapping[int, set[int]]
) -> Iterator[set[int]]:
    if not candidates and not seen:
        yield chosen
        return
    pivot = max(sorted(candidates | seen), key=lambda v: len(candidates & tied[v]))
    for vertex in sorted(candidates - tied[pivot]):
        yield from _cliques(chosen | {vertex}, candidates & tied[vertex], seen & tied[vertex], tied)
        candidates = candidates - {vertex}
        seen = seen | {vertex}


def significant_pairs(k: int, pairs: Sequence[tuple[int, int]], rejected: ArrayLike) -> np.ndarray:
    """Symmetric (k, k) table from a list of pairs and whether each is significant."""
    table = np.zeros((k, k), dtype=bool)
    for (a, b), hit in zip(pairs, np.asarray(rejected, dtype=bool), strict=True):
        table[a, b] = table[b, a] = hit
    return table


def _correct(
    p_values: ArrayLike | Sequence[float | None],
    alpha: float,
    method: str,
    rule: Callable[[FloatArray], FloatArray],
) -> Correction:
    raw = np.array(
        [np.nan if p is None else p for p in np.ravel(np.asarray(p_values, dtype=object))], dtype=float
    )
    applies = ~np.isnan(raw)
    if ((raw[applies] < 0) | (raw[applies] > 1)).any():
        raise StatisticsError("p-values lie between 0 and 1.", fix="pass p-values, not statistics")
    adjusted = np.full(raw.shape, np.nan)
    adjusted[applies] = rule(raw[applies])
    with np.errstate(invalid="ignore"):
        rejected = adjusted < alpha
    return Correction(adjusted, rejected, int(applies.sum()), alpha, method)


def _holm(p: FloatArray) -> FloatArray:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    return _restored(order, steps)


def _benjamini_hochberg(p: FloatArray) -> FloatArray:
    order = np.argsort(p, kind="stable")
    steps = p[order] * p.size / np.arange(1, p.size + 1)
    return _restored(order, np.minimum.accumulate(steps[::-1])[::-1])


def _restored(order: np.ndarray, values: FloatArray) -> FloatArray:
    out = np.empty_like(values)
    out[order] = np.minimum(values, 1)
    return out


def _ranked(estimates: ArrayLike, significant: ArrayLike) -> tuple[FloatArray, np.ndarray]:
    values = np.asarray(estimates, dtype=np.float64)
    matrix = np.asarray(significant, dtype=bool)
    if values.ndim != 1 or matrix.shape != (values.size, values.size):
        raise StatisticsError(
            f"{values.size} estimates, but a table of shape {matrix.shape}.",
            fix="pass one row and column per system",
        )
    return values, matrix
