"""Tie letters: which encoders cannot be told apart, and which ranks that leaves open to each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..statistics import rank_intervals, significant_pairs, tie_groups


def tie_letters(ordered: Sequence[str], decided: Collection[frozenset[str]]) -> dict[str, str]:
    """Letters of each encoder; encoders share one exactly when no comparison between them survives correction.

    Args:
        ordered: Encoders, best first.
        decided: Pairs whose difference survives correction; every other pair counts as undecided.
    """
    letters = dict.fromkeys(ordered, "")
    for i, group in enumerate(tie_groups(*_table(ordered, decided))):
        for member in group:
            letters[ordered[member]] += _letter(i)
    return letters


def open_ranks(ordered: Sequence[str], decided: Collection[frozenset[str]]) -> dict[str, tuple[int, int]]:
    """Best and worst rank that the decided pairs leave open to each encoder; arguments as in `tie_letters`."""
    found = rank_intervals(*_table(ordered, decided))
    return {ordered[r.index]: (r.best, r.worst) for r in found}


def _table(ordered: Sequence[str], decided: Collection[frozenset[str]]) -> tuple[np.ndarray, np.ndarray]:
    place = {name: i for i, name in enumerate(ordered)}
    pairs = [(place[a], place[b]) for a, b in map(sorted, decided) if a in place and b in place]
    return -np.arange(len(ordered)), significant_pairs(len(ordered), pairs, np.ones(len(pairs), dtype=bool))


def _letter(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"({i + 1})"
