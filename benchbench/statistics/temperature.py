"""Temperature scaling (Guo et al., ICML 2017): one number that makes probabilities as sure as they should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import FloatArray

_LEAST = 1e-12
"""Probabilities are kept this far from 0 and 1, where a logarithm ends."""
_RANGE = (np.log(0.05), np.log(20.0))


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature with the least log loss on held-out cases; above 1 where the probabilities are too sure.

    Args:
        labels: Class codes, shape (n,).
        probabilities: (n, 1), the probability of class 1, or (n, C).
    """
    from scipy.optimize import minimize_scalar

    codes = np.asarray(labels).astype(np.intp)
    logits = _logits(probabilities)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(codes)), codes]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method="bounded").x))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> FloatArray:
    """Probabilities at this temperature, in the shape they came in; their order does not change."""
    scaled = _logits(probabilities) / temperature
    found = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
    return found[:, 1:] if np.asarray(probabilities).shape[1] == 1 else found


def _logits(probabilities: ArrayLike) -> FloatArray:
    """(n, C) logarithms; a column of class 1 gets its counterpart."""
    p = np.asarray(probabilities, dtype=np.float64)
    both = np.column_stack([1 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p
    logits: FloatArray = np.log(np.clip(both, _LEAST, 1.0))
    return logits
