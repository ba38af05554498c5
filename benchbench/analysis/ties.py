"""Tie groups: which encoders cannot be told apart.

Encoders share a letter when no comparison between them survives correction. The groups are the maximal cliques
of the graph of undecided pairs (the compact letter display of Piepho 2004, by cliques), lettered from the best.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence


def tie_letters(ordered: Sequence[str], decided: Collection[frozenset[str]]) -> dict[str, str]:
    """Letters of each encoder.

    Args:
        ordered: Encoders, best first.
        decided: Pairs whose difference survives correction; every other pair counts as undecided.
    """
    rank = {name: i for i, name in enumerate(ordered)}
    neighbours = {a: {b for b in ordered if b != a and frozenset((a, b)) not in decided} for a in ordered}
    cliques = sorted(
        _cliques(set(), set(ordered), set(), neighbours), key=lambda c: sorted(rank[n] for n in c)
    )
    letters = dict.fromkeys(ordered, "")
    for i, clique in enumerate(cliques):
        for name in clique:
            letters[name] += _letter(i)
    return letters


def _cliques(
    chosen: set[str], candidates: set[str], seen: set[str], neighbours: Mapping[str, set[str]]
) -> Iterator[frozenset[str]]:
    """Maximal cliques (Bron & Kerbosch 1973, with pivot)."""
    if not candidates and not seen:
        yield frozenset(chosen)
        return
    pivot = max(sorted(candidates | seen), key=lambda v: len(candidates & neighbours[v]))
    for vertex in sorted(candidates - neighbours[pivot]):
        yield from _cliques(
            chosen | {vertex}, candidates & neighbours[vertex], seen & neighbours[vertex], neighbours
        )
        candidates = candidates - {vertex}
        seen = seen | {vertex}


def _letter(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"({i + 1})"
