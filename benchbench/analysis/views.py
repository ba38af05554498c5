"""What is drawn about each encoder of a panel: curves, calibration, confusion matrix, per-class results.

All come from one trained model: the seed whose metric is in the middle, never an average of several models.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..statistics import (
    FEW_CASES,
    brier_score,
    calibration_error,
    estimate,
    reliability_curve,
    roc_curve,
)
from ..statistics.temperature import apply_temperature
from ..statistics.weighted import average_precision, counts_above
from .cases import Cases
from .decisions import confusion, decide, frozen, operating_point
from .model import COUNTED_ONLY, Band, ClassResult, Curve, EncoderView, FloatArray, Reliability

BINS = 10
_NO_CURVE = Curve(np.empty(0), np.empty(0))
MAX_POINTS = 100
"""Points kept of a drawn curve; differences below a pixel are dropped."""


def encoder_view(
    cases: Cases, encoder: str, seed: int, kind: str, classes: tuple[str, ...], banded: bool = True
) -> EncoderView:
    """Curves and tables of one encoder, from the predictions of `seed`; `banded`: with a band around a binary ROC."""
    scores = cases.scores[encoder][seed]
    settled = frozen(cases, encoder, seed)
    truth = _one_against_rest(cases.labels, kind, len(classes))
    predicted = decide(scores, kind, settled)
    results = _class_results(cases, scores, truth, predicted, kind, classes)
    shown = [1] if kind == "binary" else range(len(classes))
    curves, by_recall = [], []
    for c in shown:
        known, positive = truth[c]
        if results[c].auroc is None:  # too few cases: counted, not drawn
            curves.append(_NO_CURVE)
            by_recall.append(_NO_CURVE)
            continue
        column = scores[known, 0 if kind == "binary" else c]
        groups = None if cases.groups is None else cases.groups[known]
        drawn = banded and kind == "binary" and cases.testable
        curves.append(roc(positive, column, groups, results[c].auroc, drawn))
        by_recall.append(precision_recall(positive, column))
    return EncoderView(
        encoder,
        tuple(curves),
        tuple(by_recall),
        _calibration(cases, scores, kind, settled.temperature()),
        None if kind == "multilabel" else confusion(cases.labels, predicted, len(classes)),
        tuple(results),
        operating_point(cases.labels, predicted, *settled.threshold()) if kind == "binary" else None,
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
        return _NO_CURVE
    draws = 200 if banded and min(m, n) >= FEW_CASES else 0
    found = roc_curve(positive, scores, groups, draws=draws)
    x, y = found.false_positive_rate, found.true_positive_rate
    if draws == 0:
        return Curve(*_thin(x, y), summary=area)
    return Curve(*_thin(x, y), Band(found.grid, found.band_low, found.band_high), area)


def precision_recall(positive: NDArray[np.bool_], scores: FloatArray) -> Curve:
    """Precision over recall at every threshold; `summary` is the average precision."""
    if not positive.any():
        return _NO_CURVE
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


def _calibration(
    cases: Cases, scores: FloatArray, kind: str, temperature: float | None
) -> Reliability | None:
    """As `_reliability`, with the error after temperature scaling beside it."""
    if kind == "multilabel" or scores.min() < 0 or scores.max() > 1:
        return None
    labels, found = cases.labels, _reliability(cases.labels, scores, kind)
    if not cases.testable:
        nothing = np.full_like(found.low, np.nan)
        found = replace(found, low=nothing, high=nothing)
    if temperature is None:
        return found
    after = _reliability(labels, apply_temperature(scores, temperature), kind)
    return replace(found, temperature=temperature, ece_after=after.ece, brier_after=after.brier)


def _reliability(labels: FloatArray, scores: FloatArray, kind: str) -> Reliability:
    """Binary: probability of the positive class; otherwise of the predicted class (top-label calibration)."""
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
        result = _class_result(name, positive, column, chosen, groups)
        if not cases.testable:
            result = replace(result, ci_low=None, ci_high=None)
        results.append(result)
    return results


def _class_result(
    name: str,
    positive: NDArray[np.bool_],
    scores: FloatArray,
    chosen: NDArray[np.bool_],
    groups: NDArray[np.object_] | None,
) -> ClassResult:
    support = int(positive.sum())
    auroc = estimate("auroc", positive, scores, groups)
    if str(auroc.verdict) in COUNTED_ONLY:
        return ClassResult(name, support, None, None, None, None, None, None, None, auroc.verdict.explanation)
    hit = int((positive & chosen).sum())
    recall = hit / support if support else None
    precision = hit / int(chosen.sum()) if chosen.any() else None
    f1 = 2 * hit / (support + int(chosen.sum())) if support + chosen.sum() else None
    ap = average_precision(positive.astype(int), scores, np.ones((1, len(positive))))[0]
    return ClassResult(
        name, support, auroc.value, auroc.ci_low, auroc.ci_high, float(ap), recall, precision, f1
    )
