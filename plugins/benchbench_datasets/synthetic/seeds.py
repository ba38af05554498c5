"""One random generator per image, patient or purpose, from names and a seed."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: object) -> np.random.Generator:
    """A generator that depends on `seed` and `names` only, the same on every machine."""
    text = "\x1f".join(str(n) for n in (seed, *names))
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))
    )


def exact_counts(
    n: int, shares: tuple[float, ...], rng: np.random.Generator, at_least: int = 0
) -> np.ndarray:
    """(n,) class codes in random order, whose counts follow `shares` as closely as whole numbers can."""
    wanted = np.asarray(shares, dtype=float) / sum(shares) * n
    counts = np.maximum(np.floor(wanted).astype(int), at_least)
    while counts.sum() < n:
        counts[np.argmax(wanted - counts)] += 1
    while counts.sum() > n:
        counts[np.argmax(np.where(counts > at_least, counts - wanted, -np.inf))] -= 1
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))
