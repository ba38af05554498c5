"""Agreement and accuracy of hard predictions: kappas, accuracy, balanced accuracy, McNemar.

The influence of a case on a kappa is the one behind the standard error of Fleiss, Cohen & Everitt (1969), which
is what R's vcd::Kappa prints. Differences between systems and patients with several images follow from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from benchbench.statistics.comparison import Counts, Measured, compare_pair
from benchbench.statistics.influence import Influence
from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    as_vector,
    class_labels,
    clusters_of,
    probability_cube,
    score_rows,
)
from benchbench.statistics.placements import with_class_factors
from benchbench.statistics.verdicts import FEW_CASES, SMALL_SAMPLE, Verdict

WEIGHTS = ("quadratic", "linear", "unweighted")


@dataclass(frozen=True)
class Agreement:
    """A metric of k systems' hard predictions.

    Attributes:
        metric: Its name.
        estimate: Shape (k,); a kappa is NaN where the labels hold one class only.
        covariance: Between systems, shape (k, k).
        se: Standard errors, shape (k,).
        n: Cases.
        n_clusters: Patients.
    """

    metric: str
    estimate: FloatArray
    covariance: FloatArray
    n: int
    n_clusters: int

    @property
    def se(self) -> FloatArray:
        return np.sqrt(np.diag(self.covariance))


def quadratic_kappa(
    y_true: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    n_classes: int | None = None,
) -> Agreement:
    """Quadratic-weighted kappa of k systems and its covariance.

    Args:
        y_true: Grades 0 .. C-1, shape (n,).
        predictions: Predicted grades, shape (n,) or (n, k); or class scores (k, n, C), of which the largest is
            taken.
        groups: Patient of each case, shape (n,).
        n_classes: C, where the highest grade may be absent; it changes nothing but the check of the labels.
    """
    return kappa(y_true, predictions, groups, n_classes, weights="quadratic")


def unweighted_kappa(
    y_true: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    n_classes: int | None = None,
) -> Agreement:
    """Cohen's kappa without weights; arguments as in `quadratic_kappa`."""
    return kappa(y_true, predictions, groups, n_classes, weights="unweighted")


def kappa(
    y_true: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    n_classes: int | None = None,
    weights: str = "quadratic",
) -> Agreement:
    """Kappa with "quadratic", "linear" or no weights ("unweighted"); arguments as in `quadratic_kappa`."""
    measured = measure_kappa(y_true, predictions, groups, n_classes, weights)
    n = as_vector(y_true, "y_true").size
    influence = measured.influence
    return Agreement(measured.metric, influence.estimate, influence.covariance, n, measured.counts.n_clusters)


def measure_kappa(
    y_true: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    n_classes: int | None = None,
    weights: str = "quadratic",
    models_first: bool = False,
) -> Measured:
    """A kappa in the form that `compare_pair` reads."""
    if weights not in WEIGHTS:
        raise StatisticsError(f"weights is {weights!r}.", fix="use one of: " + ", ".join(WEIGHTS))
    labels, predicted, size, failed = _graded(y_true, predictions, n_classes, models_first)
    clusters = clusters_of(groups, labels.size)
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    penalty = {"quadratic": distance**2, "linear": distance, "unweighted": (distance > 0).astype(float)}[
        weights
    ]
    both = [_kappa_influence(labels, row, penalty) for row in predicted]
    estimate = np.array([value for value, _ in both])
    total = clusters.sums(np.stack([influence for _, influence in both]))
    # One case per patient keeps Fleiss, Cohen & Everitt's 1 / n; few patients with several images cost more.
    factor = 1.0 if clusters.singletons else clusters.count / max(clusters.count - 1, 1)
    defined = clusters.count > 1 and not np.isnan(estimate).any()
    return Measured(
        metric=f"{weights}_kappa",
        method="influence of each patient on kappa, paired",
        influence=Influence(estimate, total, factor, defined=defined),
        counts=label_counts(labels, clusters),
        verdict=verdict_of_patients(_outside_the_most_frequent(labels, clusters), defined),
        failed=failed,
        one_class=_predicts_one_class(predicted),
    )


def measure_accuracy(
    y_true: ArrayLike, predictions: ArrayLike, groups: ArrayLike | None = None, models_first: bool = False
) -> Measured:
    """Accuracy in the form that `compare_pair` reads; predictions as in `quadratic_kappa`."""
    labels, predicted, _, failed = _graded(y_true, predictions, None, models_first)
    clusters = clusters_of(groups, labels.size)
    hits = (predicted == labels).astype(np.float64)
    n = labels.size
    right = hits.sum(axis=1)
    total = clusters.sums(hits * n - right[:, np.newaxis]) / n**2
    factor = clusters.count / max(clusters.count - 1, 1)
    defined = clusters.count > 1
    return Measured(
        metric="accuracy",
        method="influence of each patient on accuracy, paired",
        influence=Influence(right, total, factor, denominator=float(n), defined=defined),
        counts=label_counts(labels, clusters),
        verdict=verdict_of_patients(clusters.count, defined),
        failed=failed,
        swaps=lambda a, b: clusters.sums((hits[a] - hits[b])[np.newaxis])[0] / n,
    )


def measure_balanced_accuracy(
    y_true: ArrayLike, predictions: ArrayLike, groups: ArrayLike | None = None, models_first: bool = False
) -> Measured:
    """Mean recall over the classes present, in the form that `compare_pair` reads."""
    labels, predicted, _, failed = _graded(y_true, predictions, None, models_first)
    clusters = clusters_of(groups, labels.size)
    hits = (predicted == labels).astype(np.float64)
    present = np.unique(labels)
    parts, recalls, by_case = [], [], np.zeros(hits.shape)
    for c in present:
        members = labels == c
        n_c = int(members.sum())
        recall = hits[:, members].mean(axis=1)
        by_case[:, members] = (hits[:, members] - recall[:, np.newaxis]) / (n_c * present.size)
        recalls.append(recall)
        sums = clusters.sums(by_case[:, members], np.flatnonzero(members))
        parts.append(sums[:, clusters.holding(members)])
    counts = label_counts(labels, clusters)
    weight = 1 / (np.bincount(labels)[labels] * present.size)
    return Measured(
        metric="balanced_accuracy",
        method="influence of each patient on balanced accuracy, paired",
        influence=with_class_factors(
            np.mean(recalls, axis=0), clusters.sums(by_case), tuple(parts), clusters.count
        ),
        counts=counts,
        verdict=verdict_of_mean(counts, present.size),
        failed=failed,
        one_class=_predicts_one_class(predicted),
        swaps=lambda a, b: clusters.sums(((hits[a] - hits[b]) * weight)[np.newaxis])[0],
    )


@dataclass(frozen=True)
class McNemarTest:
    """Two systems' right and wrong answers on the same cases.

    Attributes:
        only_a, only_b: Cases that only the first, or only the second, gets right.
        p_value: Exact binomial, two-sided; clustered where patients have several cases. None where the verdict
            says that no test applies.
        method: Which of the two it was.
        verdict: "ok", "identical" (the same cases are right), or why there is no p-value.
    """

    only_a: int
    only_b: int
    p_value: float | None
    method: str
    verdict: Verdict = Verdict.OK


def mcnemar(
    y_true: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike, groups: ArrayLike | None = None
) -> McNemarTest:
    """Exact McNemar test of two systems' accuracies at a threshold frozen beforehand.

    Args:
        y_true: Class numbers, shape (n,).
        predictions_a, predictions_b: Predicted classes, shape (n,). Choose any threshold on the validation
            split: one chosen on the test cases makes the p-value meaningless.
        groups: Patient of each case. The binomial assumes independent cases, so that with several cases a
            patient the clustered normal test of the difference in accuracy takes its place.
    """
    labels = class_labels(y_true, None)
    rows = [class_labels(p, None, "predictions") for p in (predictions_a, predictions_b)]
    for row in rows:
        if row.size != labels.size:
            raise StatisticsError(
                f"{row.size} predictions for {labels.size} labels.",
                fix="predict the same cases with both systems",
            )
    right_a, right_b = rows[0] == labels, rows[1] == labels
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    clusters = clusters_of(groups, labels.size)
    if clusters.singletons:
        verdict = Verdict.OK if only_a or only_b else Verdict.IDENTICAL
        return McNemarTest(only_a, only_b, _exact_binomial_half(only_a, only_b), "McNemar, exact", verdict)
    measured = measure_accuracy(labels, np.stack(rows), groups, models_first=True)
    pair = compare_pair(measured, 0, 1)
    method = "difference in accuracy, clustered by patient"
    return McNemarTest(only_a, only_b, pair.p_value, method, pair.verdict)


def _exact_binomial_half(b: int, c: int) -> float:
    n = b + c
    return min(1.0, 2 * float(bdtr(min(b, c), n, 0.5))) if n else 1.0


def _kappa_influence(
    labels: NDArray[np.intp], predicted: NDArray[np.intp], penalty: FloatArray
) -> tuple[float, FloatArray]:
    size = penalty.shape[0]
    n = labels.size
    table = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size) / n
    truth, guess = table.sum(axis=1), table.sum(axis=0)
    if (truth > 0).sum() < 2:  # kappa is then 0 whatever is predicted, which says nothing of the predictions
        return math.nan, np.zeros(n)
    observed = float((penalty * table).sum())
    expected = float(truth @ penalty @ guess)
    by_truth, by_guess = penalty @ guess, truth @ penalty
    cell = -(penalty - observed) / expected + (observed / expected**2) * (
        by_truth[:, np.newaxis] + by_guess[np.newaxis, :] - 2 * expected
    )
    return 1 - observed / expected, cell[labels, predicted] / n


def _graded(
    y_true: ArrayLike, predictions: ArrayLike, n_classes: int | None, models_first: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], int, NDArray[np.bool_]]:
    """Labels (n,), predicted classes (k, n), the number of classes, and which systems' scores are constant (k,).

    Predicted classes alone cannot show that a system failed: always the same class is an answer, and no fault.
    """
    labels = class_labels(y_true, n_classes)
    array = np.asarray(predictions)
    if array.ndim == 3:
        cube = probability_cube(array, labels.size)
        labels = class_labels(labels, cube.shape[2])
        constant = (cube == cube[:, :1]).all(axis=(1, 2))
        return labels, cube.argmax(axis=2), cube.shape[2], constant
    rows = score_rows(predictions, labels.size, models_first)
    predicted = np.stack([class_labels(row, n_classes, "predictions") for row in rows])
    size = n_classes or int(max(labels.max(), predicted.max())) + 1
    return labels, predicted, size, np.zeros(len(rows), dtype=bool)


def _predicts_one_class(predicted: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.asarray((predicted == predicted[:, :1]).all(axis=1))


def _outside_the_most_frequent(labels: NDArray[np.intp], clusters: Clusters) -> int:
    """Patients with a case outside the most frequent class: they carry what a kappa can be wrong about."""
    most = int(np.bincount(labels).argmax())
    return int(clusters.holding(labels != most).sum())


def label_counts(labels: NDArray[np.intp], clusters: Clusters) -> Counts:
    """Cases and patients of the rarest class (n,) against the rest."""
    sizes = {int(c): labels == c for c in np.unique(labels)}
    rarest = min(sizes, key=lambda c: int(clusters.holding(sizes[c]).sum()))
    members = sizes[rarest]
    return Counts(
        int(members.sum()),
        int((~members).sum()),
        int(clusters.holding(members).sum()),
        int(clusters.holding(~members).sum()),
        clusters.count,
    )


def verdict_of_mean(counts: Counts, n_classes: int) -> Verdict:
    """The verdict of a mean over `n_classes` classes, the rarest of which has `counts`."""
    # A mean over several classes is shown, marked, where one of them is rare; a binary one is not.
    if counts.verdict is Verdict.TOO_FEW_CASES and n_classes > 2:
        return Verdict.RARE_CLASS
    return counts.verdict


def verdict_of_patients(count: int, defined: bool = True) -> Verdict:
    """The verdict of a metric that `count` patients carry: all of them, or for a kappa those outside one class."""
    if not defined:
        return Verdict.UNDEFINED_VARIANCE
    if count < FEW_CASES:
        return Verdict.TOO_FEW_CASES
    return Verdict.SMALL if count < SMALL_SAMPLE else Verdict.OK
