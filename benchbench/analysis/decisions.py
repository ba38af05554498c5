"""Hard decisions at thresholds that were frozen on validation predictions, and what they are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import choose_threshold, unweighted_kappa
from ..statistics.temperature import fit_temperature
from .cases import Cases, Scored
from .model import FloatArray, OperatingPoint

FIXED = "0.5, fixed in advance"
VALIDATION = "validation images"
OUT_OF_FOLD = "out-of-fold predictions of training images"


@dataclass(frozen=True)
class Frozen:
    """What was settled before the test labels were seen, for one encoder and seed.

    Attributes:
        held_out: Validation (or out-of-fold) predictions; None where the protocol kept none, as where the
            training data were another set's.
        recorded: The cell's details: ``threshold`` and ``temperature`` of the training set's validation images.
        task: The target, for thresholds that belong to one target only.
        source: What the held-out predictions are of.
    """

    held_out: Scored | None
    recorded: Mapping[str, Any]
    task: str
    source: str = VALIDATION

    def threshold(self, column: int = 0) -> tuple[float, str]:
        """Threshold of a column of scores and how it was chosen: Youden's index where held out, else one half."""
        recorded = self.recorded.get(f"threshold {self.task}", self.recorded.get("threshold"))
        if self.held_out is None:
            if recorded is None:
                return 0.5, FIXED
            return float(recorded), "Youden index on held-out predictions of the training set"
        labels, scores = _column(self.held_out, column)
        if len(np.unique(labels)) < 2:
            return 0.5, FIXED
        found = choose_threshold(labels, scores)
        return found.value, f"Youden index on {self.source}"

    def temperature(self) -> float | None:
        """Temperature with the least log loss on validation; None where there are no such images."""
        if self.held_out is None:
            recorded = self.recorded.get("temperature")
            return None if recorded is None else float(recorded)
        labels = self.held_out.labels
        if labels.ndim == 2 or len(np.unique(labels)) < 2:
            return None
        return fit_temperature(labels, self.held_out.scores)


def frozen(cases: Cases, encoder: str, seed: int) -> Frozen:
    """What was settled for one trained model of a panel."""
    row = next(r for r in cases.rows[encoder] if r.seed == seed)
    source = VALIDATION if row.n_validation else OUT_OF_FOLD
    held_out = cases.validation.get(encoder, {}).get(seed)
    return Frozen(held_out, json.loads(row.details or "{}"), row.task, source)


def _column(held_out: Scored, column: int) -> tuple[FloatArray, FloatArray]:
    """Labels and scores of one column, where it is labelled."""
    labels = held_out.labels if held_out.labels.ndim == 1 else held_out.labels[:, column]
    known = ~np.isnan(labels)
    return labels[known], held_out.scores[known, column]


def decide(scores: FloatArray, kind: str, settled: Frozen) -> NDArray[np.intp]:
    """Predicted class codes (n,), or 0/1 per label (n, L) for multi-label tasks."""
    if kind not in ("binary", "multilabel"):
        return scores.argmax(axis=1)
    thresholds = [settled.threshold(c)[0] for c in range(scores.shape[1])]
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
