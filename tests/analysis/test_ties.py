"""Tie groups."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from benchbench.analysis.ties import tie_letters


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(n.split("-")) for n in names}


def test_encoders_share_no_letter_when_every_pair_is_decided() -> None:
    letters = tie_letters(["a", "b", "c"], pairs("a-b", "b-c", "a-c"))
    assert letters == {"a": "a", "b": "b", "c": "c"}


def test_all_encoders_share_one_letter_when_nothing_is_decided() -> None:
    assert set(tie_letters(["a", "b", "c"], set()).values()) == {"a"}


def test_the_middle_of_a_chain_gets_both_letters() -> None:
    # a beats c, but b can be told from neither: the textbook case of overlapping groups.
    assert tie_letters(["a", "b", "c"], pairs("a-c")) == {"a": "a", "b": "ab", "c": "b"}


@given(st.integers(1, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15))
def test_two_encoders_share_a_letter_exactly_when_their_pair_is_undecided(
    n: int, decided: set[tuple[int, int]]
) -> None:
    names = [f"e{i}" for i in range(n)]
    table = {frozenset((names[i], names[j])) for i, j in decided if i < j < n}
    letters = tie_letters(names, table)
    for a, b in itertools.combinations(names, 2):
        assert bool(set(letters[a]) & set(letters[b])) == (frozenset((a, b)) not in table)
