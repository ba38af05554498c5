"""What is drawn about each encoder of a panel: curves, calibration, confusion matrix, per-class results.

All come from one trained model: the seed whose metric is in the middle, never an average of several models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..statistics import (
    FEW_CASES,
    brier_score,
    calibration_error,
    choose_threshold,
    estimate,
    reliability_curve,
    roc_curve,
)
from ..statistics.weighted import average_precision, counts_above
from .cases import Cases, Scored
from .model import Band, ClassResult, Curve, EncoderView, FloatArray, OperatingPoint, Reliability

BINS = 10
MAX_POINTS = 100
"""Points kept of a drawn curve; differences below a pixel are dropped."""


def encoder_view(
    cases: Cases, encoder: str, seed: int, kind: str, classes: tuple[str, ...], banded: bool = True
) -> EncoderView:
    """Curves and tables of one encoder, from the predictions of `seed`; `banded`: with a band around a binary ROC."""
    scores = cases.scores[encoder][seed]
    held_out = cases.validation.get(encoder, {}).get(seed)
    truth = _one_against_rest(cases.labels, kind, len(classes))
    shown = [1] if kind == "binary" else range(len(classes))
    threshold, source = _threshold(kind, held_out)
    predicted = _decide(scores, kind, threshold)
    by_class = _class_results(cases, scores, truth, predicted, kind, classes)
    curves, by_recall = [], []
    for c in shown:
        known, positive = truth[c]
        column = scores[known, 0 if kind == "binary" else c]
        groups = None if cases.groups is None else cases.groups[known]
        area = by_class[c].auroc
        if (
            kind == "binary" and area is None
        ):  # few cases: the headline shows the bare value, so the curve does too
            area = estimate("auroc", positive, column, groups).value
        curves.append(roc(positive, column, groups, area, banded and kind == "binary"))
        by_recall.append(precision_recall(positive, column))
    return EncoderView(
        encoder,
        tuple(curves),
        tuple(by_recall),
        _calibration(cases.labels, scores, kind),
        None if kind == "multilabel" else confusion(cases.labels, predicted, len(classes)),
        tuple(by_class),
        operating_point(cases.labels, predicted, threshold, source) if kind == "binary" else None,
    )


def _one_against_rest(
    labels: FloatArray, kind: str, k: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Per class: which cases are labelled, and which of those are positive."""
    if kind == "multilabel":
        known = [~np.isnan(labels[:, c]) for c in range(k)]
        return [(known[c], labels[known[c], c] == 1) for c in range(k)]
    every = np.ones(len(labels), dtype=bool)
    return [(every, labels == c) for c in range(k)]


def _decide(scores: FloatArray, kind: str, threshold: float) -> NDArray[np.intp]:
    """Predicted class codes (n,), or 0/1 per label (n, L) for multi-label tasks."""
    if kind == "multilabel":
        return (scores >= 0.5).astype(np.intp)
    if kind == "binary":
        return (scores[:, 0] >= threshold).astype(np.intp)
    return scores.argmax(axis=1)


def _threshold(kind: str, held_out: Scored | None) -> tuple[float, str]:
    """Threshold of a binary decision: Youden's on validation predictions, else one half."""
    if kind != "binary" or held_out is None or held_out.labels.ndim != 1:
        return 0.5, "0.5, fixed in advance"
    known = ~np.isnan(held_out.labels)
    if len(np.unique(held_out.labels[known])) < 2:
        return 0.5, "0.5, fixed in advance"
    found = choose_threshold(held_out.labels[known], held_out.scores[known, 0])
    return found.value, found.rule


def roc(
    positive: NDArray[np.bool_],
    scores: FloatArray,
    groups: NDArray[np.object_] | None,
    area: float | None,
    banded: bool,
) -> Curve:
    """ROC curve over the false positive rate, with a pointwise 95 % band unless a class is too small for one.

    Args:
        positive, scores, groups: (n,) each; whether a case is of the class, its score, its patient.
        area: The AUROC that the tables show; the curve carries the same number, and none where they show none.
        banded: Whether a band is drawn.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) == 0:
        return Curve(np.empty(0), np.empty(0))
    draws = 200 if banded and min(m, n) >= FEW_CASES else 0
    found = roc_curve(positive, scores, groups, draws=draws)
    x, y = found.false_positive_rate, found.true_positive_rate
    if draws == 0:
        return Curve(*_thin(x, y), summary=area)
    return Curve(*_thin(x, y), Band(found.grid, found.band_low, found.band_high), area)


def precision_recall(positive: NDArray[np.bool_], scores: FloatArray) -> Curve:
    """Precision over recall at every threshold; `summary` is the average precision."""
    if not positive.any():
        return Curve(np.empty(0), np.empty(0))
    once = np.ones((1, len(positive)))
    true, false = (counts[0] for counts in counts_above(positive.astype(int), scores, once))
    kept = true + false > 0
    recall, precision = true[kept] / true[-1], true[kept] / (true[kept] + false[kept])
    x, y = _thin(np.r_[0.0, recall], np.r_[precision[:1], precision])
    return Curve(x, y, summary=float(average_precision(positive.astype(int), scores, once)[0]))


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Drop points that no reader can see: at most `MAX_POINTS`, evenly along the curve's length."""
    if len(x) <= MAX_POINTS:
        return x, y
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], MAX_POINTS)).clip(0, len(x) - 1))
    kept = np.union1d(kept, [0, len(x) - 1])
    return x[kept], y[kept]


def _calibration(labels: FloatArray, scores: FloatArray, kind: str) -> Reliability | None:
    """Binary: probability of the positive class; otherwise of the predicted class (top-label calibration)."""
    if kind == "multilabel" or scores.min() < 0 or scores.max() > 1:
        return None
    if kind == "binary":
        predicted, observed = scores[:, 0], (labels == 1).astype(float)
        brier = brier_score(observed, predicted)
    else:
        predicted, observed = scores.max(axis=1), (scores.argmax(axis=1) == labels).astype(float)
        one_hot = labels[:, None] == np.arange(scores.shape[1])
        brier = float(np.mean(((scores - one_hot) ** 2).sum(axis=1)))
    bins = reliability_curve(observed, predicted, BINS)
    error = calibration_error(observed, predicted)
    means, shares, lows, highs, counts = (
        np.array([float(getattr(b, name)) for b in bins])
        for name in ("mean_probability", "observed", "ci_low", "ci_high", "n")
    )
    return Reliability(means, shares, lows, highs, counts, brier, error.value, error.bins)


def confusion(labels: FloatArray, predicted: NDArray[np.intp], k: int) -> NDArray[np.int64]:
    """(k, k) counts: row the true class, column the predicted one."""
    codes = labels.astype(np.intp) * k + predicted
    return np.bincount(codes, minlength=k * k).reshape(k, k).astype(np.int64)


def _class_results(
    cases: Cases,
    scores: FloatArray,
    truth: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    predicted: NDArray[np.intp],
    kind: str,
    classes: tuple[str, ...],
) -> list[ClassResult]:
    results = []
    for c, name in enumerate(classes):
        known, positive = truth[c]
        if kind == "binary":
            column = scores[:, 0] if c == 1 else -scores[:, 0]
        else:
            column = scores[known, c]
        chosen = predicted[known, c] == 1 if kind == "multilabel" else predicted == c
        groups = None if cases.groups is None else cases.groups[known]
        results.append(_class_result(name, positive, column, chosen, groups))
    return results


def _class_result(
    name: str,
    positive: NDArray[np.bool_],
    scores: FloatArray,
    chosen: NDArray[np.bool_],
    groups: NDArray[np.object_] | None,
) -> ClassResult:
    support = int(positive.sum())
    hit = int((positive & chosen).sum())
    recall = hit / support if support else None
    precision = hit / int(chosen.sum()) if chosen.any() else None
    f1 = 2 * hit / (support + int(chosen.sum())) if support + chosen.sum() else None
    smallest = min(support, len(positive) - support)
    if smallest < FEW_CASES:
        note = f"{smallest} cases on one side: too few for an AUROC" if smallest else "no case of one side"
        return ClassResult(name, support, None, None, None, None, recall, precision, f1, note)
    auroc = estimate("auroc", positive, scores, groups)
    ap = average_precision(positive.astype(int), scores, np.ones((1, len(positive))))[0]
    return ClassResult(
        name, support, auroc.value, auroc.ci_low, auroc.ci_high, float(ap), recall, precision, f1
    )


def operating_point(
    labels: FloatArray, predicted: NDArray[np.intp], threshold: float, source: str
) -> OperatingPoint:
    """Sensitivity and friends of a binary decision."""
    truth, positive = labels == 1, predicted == 1
    tp, fp = int((truth & positive).sum()), int((~truth & positive).sum())
    fn, tn = int((truth & ~positive).sum()), int((~truth & ~positive).sum())

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return OperatingPoint(
        threshold,
        source,
        share(tp, tp + fn),
        share(tn, tn + fp),
        share(tp, tp + fp),
        share(tn, tn + fn),
        (tp + tn) / len(labels),
    )
