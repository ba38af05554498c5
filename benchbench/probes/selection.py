"""Choosing C: scores of held-out rows, one column per fold, and the rule that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["log_loss", "auroc"]
Method = Literal["validation", "cv", "none"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """How C was chosen.

    `scores` (len(C), folds): higher is better (log-loss is negated); one column if a validation split decided, none
    if there was nothing to choose. `chosen` indexes `C`. `note` says what the data did not allow.
    """

    method: Method
    metric: Metric
    C: Floats
    scores: Floats
    chosen: int
    one_standard_error: bool = False
    note: str = ""

    @property
    def mean(self) -> Floats:
        """Mean score over the folds (len(C),); a fold that cannot be scored is left out."""
        return _fold_mean(self.scores)

    @property
    def contenders(self) -> list[int]:
        """Positions of the C that was chosen and of the best one, with their neighbours: what decides the choice."""
        mean = self.mean
        centres = {self.chosen} | ({int(np.nanargmax(mean))} if np.isfinite(mean).any() else set())
        return sorted({i + d for i in centres for d in (-1, 0, 1)} & set(range(len(self.C))))

    @property
    def standard_error(self) -> Floats:
        """Standard error of the mean over the folds (len(C),); NaN with fewer than two."""
        return _fold_error(self.scores)


def _fold_mean(scores: Floats) -> Floats:
    known = np.isfinite(scores)
    total = np.where(known, scores, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _fold_error(scores: Floats) -> Floats:
    known = np.isfinite(scores)
    count = known.sum(axis=1)
    square = np.where(known, (scores - _fold_mean(scores)[:, None]) ** 2, 0.0).sum(axis=1)
    return np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1) / np.maximum(count, 1)), np.nan)


def choose(
    method: Method,
    metric: Metric,
    C: Floats,
    scores: Floats,
    *,
    one_standard_error: bool = False,
    note: str = "",
) -> Selection:
    """The C of the best mean score, the smallest one on a tie.

    With `one_standard_error`, the smallest C whose mean is within one standard error of the best (Breiman et al.,
    1984, section 3.4.3), which needs two folds or more.
    """
    if len(C) == 1:
        return Selection("none", metric, C, scores[:, :0], 0, note=note)
    mean = _fold_mean(scores)
    if not np.isfinite(mean).any():
        note = "; ".join(filter(None, [note, "no fold could be scored, so the middle of the grid was taken"]))
        return Selection(method, metric, C, scores, len(C) // 2, note=note)
    best = int(np.nanargmax(mean))
    error = _fold_error(scores)[best]
    if one_standard_error and np.isfinite(error):
        best = int(np.flatnonzero(mean >= mean[best] - error)[0])
    elif one_standard_error:
        note = "; ".join(
            filter(None, [note, "the one-standard-error rule needs two folds or more; best C taken"])
        )
    return Selection(method, metric, C, scores, best, one_standard_error, note)


def score(metric: Metric, codes: NDArray[np.int64], p: Floats) -> Floats:
    """Score predictions (m, n, K) of rows with class `codes` (n,); rows without a label (-1) do not count.

    Returns (m,), higher is better; NaN where the metric does not exist for these rows.
    """
    labelled = codes >= 0
    codes, p = codes[labelled], p[:, labelled]
    if len(codes) == 0:
        return np.full(len(p), np.nan)
    if metric == "log_loss":
        hit = p[:, np.arange(len(codes)), codes]
        return np.log(np.clip(hit, np.finfo(np.float64).eps, 1)).mean(axis=1)
    return _macro_auroc(codes, p)


def _macro_auroc(codes: NDArray[np.int64], p: Floats) -> Floats:
    """Unweighted mean of one-vs-rest AUROCs over the classes that occur; ties count one half."""
    from scipy.stats import rankdata

    columns = [1] if p.shape[2] == 2 else range(p.shape[2])
    found = []
    for k in columns:
        positive = codes == k
        n1, n0 = int(positive.sum()), int((~positive).sum())
        if n1 and n0:
            ranks = rankdata(p[:, :, k], axis=1)
            found.append((ranks[:, positive].sum(axis=1) - n1 * (n1 + 1) / 2) / (n1 * n0))
    return np.mean(found, axis=0) if found else np.full(len(p), np.nan)
