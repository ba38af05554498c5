"""How well probabilities mean what they say, and what a decision at a threshold is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import FloatArray, StatisticsError, binary_labels, score_rows
from benchbench.statistics.intervals import wilson_interval
from benchbench.statistics.weighted import brier, expected_calibration_error, probability_bins


def brier_score(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared error of the probability of class 1, shape (n,); 0 is perfect, 0.25 is always saying 0.5."""
    positive, p = _probabilities(y_true, probabilities)
    return float(brier(positive.astype(int), p, np.ones((1, p.size)))[0])


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error with the bins it was made from."""

    value: float
    bins: int
    binning: str = "equal width"


def calibration_error(y_true: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> CalibrationError:
    """Expected calibration error of the probability of class 1 over bins of equal width."""
    positive, p = _probabilities(y_true, probabilities)
    value = expected_calibration_error(bins)(positive.astype(int), p, np.ones((1, p.size)))
    return CalibrationError(float(value[0]), bins)


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose predicted probability falls into one bin.

    Attributes:
        low, high: Edges.
        n: Cases, one or more.
        mean_probability: Predicted.
        observed: Share of positives, with its Wilson interval, which takes the cases for independent.
    """

    low: float
    high: float
    n: int
    mean_probability: float
    observed: float
    ci_low: float
    ci_high: float


def reliability_curve(
    y_true: ArrayLike, probabilities: ArrayLike, bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Observed share of positives against predicted probability; bins without a case are left out."""
    positive, p = _probabilities(y_true, probabilities)
    number = probability_bins(p, bins)
    edges = np.linspace(0, 1, bins + 1)
    curve = []
    for b in np.unique(number):
        inside = number == b
        n, hits = int(inside.sum()), int(positive[inside].sum())
        interval = wilson_interval(hits, n)
        curve.append(
            ReliabilityBin(
                float(edges[b]),
                float(edges[b + 1]),
                n,
                float(p[inside].mean()),
                hits / n,
                interval.low,
                interval.high,
            )
        )
    return tuple(curve)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of treating by the model, of treating everyone, and (always 0) of treating nobody.

    Attributes:
        thresholds: Probability from which a clinician would treat, shape (t,).
        model: Net benefit per patient, shape (t,).
        treat_all: The same for treating everyone, shape (t,).
    """

    thresholds: FloatArray
    model: FloatArray
    treat_all: FloatArray


def decision_curve(
    y_true: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
) -> DecisionCurve:
    """Net benefit: true positives minus false positives weighted by the odds of the threshold, per patient.

    Args:
        y_true: Labels 0 and 1, shape (n,).
        probabilities: Of class 1, shape (n,).
        thresholds: Strictly between 0 and 1; None for 0.01, 0.02, ..., 0.99.
    """
    positive, p = _probabilities(y_true, probabilities)
    cut = (
        np.arange(1, 100) / 100 if thresholds is None else np.atleast_1d(np.asarray(thresholds, dtype=float))
    )
    if not ((cut > 0) & (cut < 1)).all():
        raise StatisticsError("thresholds lie strictly between 0 and 1.", fix="leave out 0 and 1")
    odds = cut / (1 - cut)
    treated = p[np.newaxis, :] >= cut[:, np.newaxis]
    n = p.size
    model = (treated & positive).sum(axis=1) / n - odds * (treated & ~positive).sum(axis=1) / n
    return DecisionCurve(cut, model, positive.mean() - odds * (~positive).mean())


@dataclass(frozen=True)
class FrozenThreshold:
    """A threshold chosen on held-out cases (validation, or out-of-fold), to be applied unchanged to the test split.

    Attributes:
        value: A case is called positive when its score is `value` or more.
        rule: How it was chosen.
        sensitivity, specificity: On the held-out cases, not on the test split.
        n_positive, n_negative: Held-out cases.
    """

    value: float
    rule: str
    sensitivity: float
    specificity: float
    n_positive: int
    n_negative: int

    def apply(self, scores: ArrayLike) -> np.ndarray:
        """Predicted classes 0 and 1."""
        return (np.asarray(scores) >= self.value).astype(int)


def choose_threshold(
    y_validation: ArrayLike, scores_validation: ArrayLike, specificity: float | None = None
) -> FrozenThreshold:
    """Threshold from validation cases: largest Youden index, or largest sensitivity at a given specificity.

    Args:
        y_validation: Labels 0 and 1, shape (n,).
        scores_validation: Scores, shape (n,).
        specificity: Specificity to keep at least; None takes the Youden index.
    """
    positive = binary_labels(y_validation)
    scores = score_rows(scores_validation, positive.size)[0]
    if positive.all() or not positive.any():
        raise StatisticsError("a threshold needs validation cases of both classes.", fix="use another split")
    candidates = np.unique(scores)
    called_positive = np.searchsorted(np.sort(scores[positive]), candidates, side="left")
    called_negative = np.searchsorted(np.sort(scores[~positive]), candidates, side="left")
    sensitivity = 1 - called_positive / positive.sum()
    kept_specificity = called_negative / (~positive).sum()
    if specificity is None:
        best, rule = int(np.argmax(sensitivity + kept_specificity)), "Youden index on held-out cases"
    else:
        allowed = np.flatnonzero(kept_specificity >= specificity)
        if allowed.size == 0:
            raise StatisticsError(
                f"no observed threshold reaches a specificity of {specificity:g} on the validation split.",
                fix="lower the specificity, or use more validation cases",
            )
        best, rule = int(allowed[0]), f"specificity {specificity:g} on held-out cases"
    return FrozenThreshold(
        float(candidates[best]),
        rule,
        float(sensitivity[best]),
        float(kept_specificity[best]),
        int(positive.sum()),
        int((~positive).sum()),
    )


def _probabilities(y_true: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, FloatArray]:
    positive = binary_labels(y_true)
    p = score_rows(probabilities, positive.size)[0].astype(np.float64)
    if p.min() < 0 or p.max() > 1:
        raise StatisticsError(
            f"probabilities lie between 0 and 1, but the values run from {p.min():g} to {p.max():g}.",
            fix="apply a sigmoid or softmax to logits first",
        )
    return positive, p
