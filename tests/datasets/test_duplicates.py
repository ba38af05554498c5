"""Near duplicates: the fast search finds what counting bits finds, and its memory on disk may be broken."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench.datasets import duplicates
from benchbench.datasets.duplicates import close_hashes, perceptual_hashes
from benchbench.store import Store

from .conftest import write_image


def brute_force(hashes: np.ndarray, distance: int) -> list[tuple[int, int]]:
    values = [int(v) for v in hashes]
    return [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= distance
    ]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    centres=st.integers(1, 30),
    flips=st.integers(0, 9),
    distance=st.integers(0, 12),
    chunk=st.sampled_from([1, 50, 1 << 20]),
)
def test_the_search_finds_what_counting_bits_one_by_one_finds(seed, centres, flips, distance, chunk):
    rng = np.random.default_rng(seed)
    hashes = rng.choice(rng.integers(0, 2**64, centres, dtype=np.uint64), 80)
    for _ in range(
        flips
    ):  # a bit of some of them, so that clusters hold identical, near and just too distant ones
        flipped = np.uint64(1) << rng.integers(0, 64, 80, dtype=np.uint64)
        hashes = np.where(rng.random(80) < 0.7, hashes ^ flipped, hashes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_CHUNK", chunk)
        assert list(close_hashes(hashes, distance)) == brute_force(hashes, distance)


@pytest.mark.parametrize("distance", [0, 6, 62, 63, 64])
def test_extreme_distances_and_few_hashes(distance):
    for hashes in ([], [5], [5, 5], [0, 2**64 - 1, 2**63, 0]):
        array = np.array(hashes, dtype=np.uint64)
        assert list(close_hashes(array, distance)) == brute_force(array, distance)


def test_few_of_many_hashes_are_compared(monkeypatch):
    compared = []
    bits = duplicates._bits
    monkeypatch.setattr(duplicates, "_bits", lambda words: compared.append(len(words)) or bits(words))
    hashes = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    hashes[:5_000] = 0  # identical black images are one hash
    assert next(close_hashes(hashes, 6)) == (0, 1)
    assert 0 < sum(compared) < 1_000_000  # of 200 million pairs


def hashes_of(tmp_path):
    path = tmp_path / "a.png"
    if not path.exists():
        write_image(path, 1)
    return perceptual_hashes([path], ["d" * 64], Store(tmp_path / "s"))


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "null",
        "{half",
        '{"version": 2, "known": null}',
        '{"version": 2, "known": ["d"]}',
        *(
            json.dumps({"version": 2, "known": {"d" * 64: value}})
            for value in (None, "x", -1, 1.5, True, 2**64)
        ),
    ],
)
def test_a_broken_memory_is_ignored_and_written_again(tmp_path, content):
    right = hashes_of(tmp_path)
    memory = tmp_path / "s" / "perceptual_hashes.json"
    memory.write_text(content)
    assert hashes_of(tmp_path) == right
    assert json.loads(memory.read_text())["known"] == {"d" * 64: int(right[0])}


def test_what_is_remembered_is_not_computed_again(tmp_path, monkeypatch):
    right = hashes_of(tmp_path)
    monkeypatch.setattr(duplicates, "_hash", None)
    assert hashes_of(tmp_path) == right


def test_a_store_that_cannot_be_written_only_warns(tmp_path, caplog):
    (tmp_path / "s").write_text("a file, so that no folder can be made here")
    with caplog.at_level(logging.WARNING, "benchbench"):
        assert hashes_of(tmp_path).shape == (1,)
    assert "cannot remember" in caplog.text
