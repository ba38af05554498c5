"""Warning signs in reported numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import StatisticsError, binary_labels, score_rows
from benchbench.statistics.verdicts import FEW_CASES


@dataclass(frozen=True)
class Lint:
    """One warning: a short name and a sentence for the reader."""

    name: str
    message: str


@dataclass(frozen=True)
class ConfusionSummary:
    """What a confusion matrix alone says."""

    accuracy: float
    kappa: float
    balanced_accuracy: float
    n: int


def summarise_confusion(matrix: ArrayLike) -> ConfusionSummary:
    """Accuracy, unweighted kappa and balanced accuracy; rows are the truth, columns the predictions."""
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.sum() == 0 or (table < 0).any():
        raise StatisticsError(
            "a confusion matrix is square, with counts of 0 or more.", fix="check the table"
        )
    n = table.sum()
    truth, guess = table.sum(axis=1), table.sum(axis=0)
    accuracy = float(np.trace(table) / n)
    chance = float(truth @ guess / n**2)
    present = truth > 0
    recall = float((np.diag(table)[present] / truth[present]).mean())
    kappa = (accuracy - chance) / (1 - chance) if chance < 1 else float("nan")
    return ConfusionSummary(accuracy, kappa, recall, int(n))


def auc_equals_balanced_accuracy(
    auc: float, sensitivity: float, specificity: float, digits: int | None = None
) -> Lint | None:
    """An "AUC" that equals (sensitivity + specificity) / 2 was computed from hard predictions, not from scores.

    Args:
        auc, sensitivity, specificity: As reported.
        digits: Decimals they were rounded to; None for unrounded numbers.
    """
    # Three rounded numbers: half a unit for the AUC, and half a unit for the mean of the other two.
    slack = 1e-9 if digits is None else 10.0**-digits + 1e-9
    if abs(auc - (sensitivity + specificity) / 2) > slack:
        return None
    return Lint(
        "AUC equals balanced accuracy",
        f"AUC {auc:g} is the mean of sensitivity {sensitivity:g} and specificity {specificity:g}: it was computed "
        "from predicted classes. Compute it from scores.",
    )


def lint_binary(y_true: ArrayLike, scores: ArrayLike) -> tuple[Lint, ...]:
    """Warning signs in one system's binary predictions, labels (n,) and scores (n,)."""
    positive = binary_labels(y_true)
    row = score_rows(scores, positive.size)[0]
    found = []
    distinct = np.unique(row).size
    if distinct == 2 and positive.size > 2:
        found.append(
            Lint(
                "AUC equals balanced accuracy",
                "The scores take two values only, so that the AUC is the balanced accuracy of predicted classes. "
                "Store probabilities or logits.",
            )
        )
    elif row.dtype.kind == "f" and np.mean((row == 0) | (row == 1)) > 0.05:
        found.append(
            Lint(
                "saturated scores",
                "More than 5 % of the scores are exactly 0 or 1, and so tied. Store logits, or probabilities in "
                "double precision.",
            )
        )
    rare = min(int(positive.sum()), int((~positive).sum()))
    if rare < FEW_CASES:
        found.append(
            Lint(
                "few cases",
                f"The rarer class has {rare} cases; an AUC from fewer than {FEW_CASES} is not settled.",
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class ReportedInterval:
    """An interval in a results table.

    Attributes:
        training_set: What the system was trained on.
        test_set: What it was tested on.
        low, high: Limits as printed.
        kind: How it was made: "cases", "seeds", "splits", ...
    """

    training_set: str
    test_set: str
    low: float
    high: float
    kind: str


def lint_intervals(intervals: Iterable[ReportedInterval]) -> tuple[Lint, ...]:
    """Intervals of different kinds in one table, and one interval printed for two training sets."""
    rows = list(intervals)
    found = []
    kinds = sorted({row.kind for row in rows})
    if len(kinds) > 1:
        found.append(
            Lint(
                "mixed intervals",
                f"The table mixes intervals over {', '.join(kinds)}; they cannot be compared.",
            )
        )
    seen: dict[tuple[str, float, float], str] = {}
    for row in rows:
        other = seen.setdefault((row.test_set, row.low, row.high), row.training_set)
        if other != row.training_set:
            found.append(
                Lint(
                    "same interval twice",
                    f"{row.test_set}: training on {other} and on {row.training_set} give the same interval "
                    f"[{row.low:g}, {row.high:g}]; one of them is probably a copy.",
                )
            )
    return tuple(found)
