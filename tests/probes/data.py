"""Synthetic embeddings with the traits of real ones: correlated, unevenly scaled, a few directions informative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def embeddings(
    n: int, width: int, classes: int, *, seed: int = 0, signal: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """X (n, width) float32, y (n,), groups (n,) with two images each."""
    random = np.random.default_rng(seed)
    factors = random.standard_normal((n, width)) * np.arange(1, width + 1) ** -0.5
    informative = min(width, 20)
    prior = np.log(1 / np.arange(1, classes + 1))
    logits = signal * factors[:, :informative] @ random.standard_normal((informative, classes)) + prior
    y = (logits + random.gumbel(size=logits.shape)).argmax(1)
    y[:classes] = np.arange(classes)
    mixed = factors @ random.standard_normal((width, width)) / width**0.5 * 3 + random.standard_normal(width)
    return mixed.astype(np.float32), y, np.arange(n) // 2
