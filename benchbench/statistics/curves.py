"""Points of ROC curves with a confidence band, for plotting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import FloatArray, StatisticsError, binary_labels, clusters_of, score_rows
from benchbench.statistics.intervals import check_confidence
from benchbench.statistics.resampling import CELLS_AT_ONCE, drawn_weights
from benchbench.statistics.weighted import counts_above


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve and a pointwise band.

    Attributes:
        false_positive_rate, true_positive_rate: Corners of the empirical curve, from (0, 0) to (1, 1).
        grid: False-positive rates at which the band is given, shape (g,).
        band_low, band_high: Sensitivity band at the grid, shape (g,).
        confidence: Coverage of the band at each point, not of the whole curve.
        draws: Bootstrap draws of patients.
    """

    false_positive_rate: FloatArray
    true_positive_rate: FloatArray
    grid: FloatArray
    band_low: FloatArray
    band_high: FloatArray
    confidence: float
    draws: int


def roc_curve(
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
    points: int = 101,
) -> RocCurve:
    """Empirical ROC curve of one system with a pointwise cluster-bootstrap band of the sensitivity.

    Args:
        y_true: Labels 0 and 1, shape (n,); both present.
        scores: Shape (n,).
        groups: Patient of each case, shape (n,).
        draws: Draws of patients; 0: no band (NaN).
        seed: Of the draws.
        confidence: Coverage at each point.
        points: False-positive rates in the band's grid.
    """
    positive = binary_labels(y_true)
    row = score_rows(scores, positive.size)[0]
    clusters = clusters_of(groups, positive.size)
    if positive.all() or not positive.any():
        raise StatisticsError(
            "undefined_auc: a ROC curve needs both classes.", fix="leave this task out of the plot"
        )
    labels = positive.astype(np.intp)
    false, true = _curve(*counts_above(labels, row, np.ones((1, labels.size))))
    grid = np.linspace(0, 1, points)
    rng = np.random.default_rng(seed)
    drawn: list[FloatArray] = []
    step = max(1, CELLS_AT_ONCE // labels.size)
    for start in range(0, draws, step):
        weights = drawn_weights(rng, clusters, min(step, draws - start))
        above = counts_above(labels, row, weights)
        for one_true, one_false in zip(*above, strict=True):
            if one_true[-1] > 0 and one_false[-1] > 0:
                drawn.append(np.interp(grid, *_curve(one_true[np.newaxis], one_false[np.newaxis])))
    tail = (1 - check_confidence(confidence)) / 2
    if drawn:
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    else:  # no draws asked for, or none that held both classes
        low = high = np.full(points, np.nan)
    return RocCurve(false, true, grid, low, high, confidence, len(drawn))


def _curve(true: FloatArray, false: FloatArray) -> tuple[FloatArray, FloatArray]:
    start = np.zeros(1)
    return (
        np.concatenate([start, false[0] / false[0, -1]]),
        np.concatenate([start, true[0] / true[0, -1]]),
    )
