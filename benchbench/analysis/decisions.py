"""Hard decisions at thresholds that were frozen on validation predictions, and what they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..statistics import choose_threshold, unweighted_kappa
from .cases import Scored
from .model import FloatArray, OperatingPoint

FIXED = "0.5, fixed in advance"


def frozen_threshold(held_out: Scored | None, column: int = 0) -> tuple[float, str]:
    """Threshold of one column of scores and how it was chosen: Youden's on validation, else one half.

    Args:
        held_out: Validation (or out-of-fold) predictions; None where the protocol kept none.
        column: Which label, where the scores are of several.
    """
    if held_out is None:
        return 0.5, FIXED
    labels = held_out.labels if held_out.labels.ndim == 1 else held_out.labels[:, column]
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return 0.5, FIXED
    found = choose_threshold(labels[known], held_out.scores[known, column])
    return found.value, found.rule


def decide(scores: FloatArray, kind: str, held_out: Scored | None) -> NDArray[np.intp]:
    """Predicted class codes (n,), or 0/1 per label (n, L) for multi-label tasks."""
    if kind not in ("binary", "multilabel"):
        return scores.argmax(axis=1)
    thresholds = [frozen_threshold(held_out, c)[0] for c in range(scores.shape[1])]
    decided = (scores >= thresholds).astype(np.intp)
    return decided if kind == "multilabel" else decided[:, 0]


def confusion(labels: FloatArray, predicted: NDArray[np.intp], k: int) -> NDArray[np.int64]:
    """(k, k) counts: row the true class, column the predicted one."""
    codes = labels.astype(np.intp) * k + predicted
    return np.bincount(codes, minlength=k * k).reshape(k, k).astype(np.int64)


def operating_point(
    labels: FloatArray, predicted: NDArray[np.intp], threshold: float, source: str
) -> OperatingPoint:
    """Sensitivity and friends of a binary decision."""
    (tn, fp), (fn, tp) = confusion(labels, predicted, 2).tolist()

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    agreement = float(unweighted_kappa(labels, predicted).estimate[0])
    return OperatingPoint(
        threshold,
        source,
        share(tp, tp + fn),
        share(tn, tn + fp),
        share(tp, tp + fp),
        share(tn, tn + fn),
        (tp + tn) / len(labels),
        None if np.isnan(agreement) else agreement,
    )
