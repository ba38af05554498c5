"""The names a statistical result can carry, and what each means to the reader.

A test that does not apply returns its verdict and no p-value. The names are strings, so that they can be
written to a file and compared with plain text.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Why a number is shown, or why it is not."""

    OK = "ok"
    SMALL = "small"
    RARE_CLASS = "rare_class"
    TOO_FEW_CASES = "too_few_cases"
    UNDEFINED_AUC = "undefined_auc"
    UNDEFINED_VARIANCE = "undefined_variance"
    IDENTICAL = "identical"
    BOTH_PERFECT = "both_perfect"
    DEGENERATE_VARIANCE = "degenerate_variance"
    CONSTANT_SCORES = "constant_scores"
    CONSTANT_CLASS = "constant_class"
    INVALID_SCORES = "invalid_scores"
    NOT_PAIRED = "not_paired"
    TOO_FEW_DATASETS = "too_few_datasets"

    @property
    def has_p_value(self) -> bool:
        """Whether a result with this verdict may print the p-value and the interval of the asymptotic test alone."""
        return self in (Verdict.OK, Verdict.SMALL, Verdict.IDENTICAL)

    @property
    def explanation(self) -> str:
        """One sentence for a footnote."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Verdict.OK: "The test applies.",
    Verdict.SMALL: (
        "Fewer than 20 cases (or patients) in one class, for a kappa outside the most frequent class: the interval "
        "and the p-value are approximate."
    ),
    Verdict.RARE_CLASS: (
        "One class of the mean has fewer than 10 cases (or patients): no valid interval exists, and the p-value is the "
        "larger of the asymptotic and the permutation one."
    ),
    Verdict.TOO_FEW_CASES: (
        "Fewer than 10 cases (or patients) in one class, for a kappa outside the most frequent class: the asymptotic "
        "test rejects too often and is not shown."
    ),
    Verdict.UNDEFINED_AUC: "One class has no case in the test set, so there is nothing to rank.",
    Verdict.UNDEFINED_VARIANCE: "One class has a single case or patient, so no uncertainty can be estimated.",
    Verdict.IDENTICAL: "Both systems rank the cases in exactly the same way.",
    Verdict.BOTH_PERFECT: "Both systems separate the classes completely; this test set cannot tell them apart.",
    Verdict.DEGENERATE_VARIANCE: (
        "The estimated variance is zero although the value is not settled; no p-value is defined."
    ),
    Verdict.CONSTANT_SCORES: "A system gives every case the same score: it has failed, and is not compared.",
    Verdict.CONSTANT_CLASS: (
        "A system always predicts one class, which leaves this metric without a variance: it is not compared."
    ),
    Verdict.INVALID_SCORES: "Scores contain NaN or infinite values.",
    Verdict.NOT_PAIRED: "The systems were not scored on the same cases.",
    Verdict.TOO_FEW_DATASETS: "Ranks over data sets need six or more independent data sets.",
}

#: Below this many cases (or patients) in the rarer class the asymptotic test is not shown, or not alone.
FEW_CASES = 10
#: Below this many it is marked, and shown together with a permutation test where the metric has one.
SMALL_SAMPLE = 20


def verdict_of_counts(n_positive: int, n_negative: int) -> Verdict:
    """The verdict that the class counts alone give (patients holding a class, where cases are clustered)."""
    smallest = min(n_positive, n_negative)
    if smallest == 0:
        return Verdict.UNDEFINED_AUC
    if smallest == 1:
        return Verdict.UNDEFINED_VARIANCE
    if smallest < FEW_CASES:
        return Verdict.TOO_FEW_CASES
    return Verdict.SMALL if smallest < SMALL_SAMPLE else Verdict.OK
