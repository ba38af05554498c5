"""Macro-averaged AUCs with the covariance between classes that share their cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.statistics.auroc import class_counts, delong_test, undefined_influence
from benchbench.statistics.comparison import Counts, ExcludedClass, Measured, PairedComparison
from benchbench.statistics.influence import Influence
from benchbench.statistics.inputs import (
    Clusters,
    FloatArray,
    StatisticsError,
    as_vector,
    class_labels,
    clusters_of,
    probability_cube,
)
from benchbench.statistics.permutation import swap_contributions
from benchbench.statistics.placements import Task, joint_auc_influence
from benchbench.statistics.verdicts import FEW_CASES, Verdict


@dataclass(frozen=True)
class MacroAUC:
    """Macro-averaged AUCs of k systems.

    Attributes:
        estimate: Shape (k,); NaN where every class is excluded.
        covariance: Between systems, shape (k, k).
        excluded: Classes left out of the mean, with their counts and the reason.
        per_class: AUC of each system and included class, shape (k, included classes).
        classes: Which classes these are.
        n_clusters: Patients.
    """

    estimate: FloatArray
    covariance: FloatArray
    excluded: tuple[ExcludedClass, ...]
    per_class: FloatArray
    classes: tuple[int, ...]
    n_clusters: int


def macro_auc(y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None) -> MacroAUC:
    """Mean over classes of the one-against-rest AUC, for k systems jointly.

    Args:
        y_true: Class numbers 0 .. C-1, shape (n,).
        probabilities: Class scores, shape (k, n, C); (n, C) for one system. Rows need not sum to one.
        groups: Patient of each case, shape (n,).

    Returns:
        Estimates and covariance over systems. A class with fewer than two cases or patients has no AUC, or
        no variance, and is left out and listed; all other classes count, so that the mean is the usual one.
    """
    return _as_macro(*_measure_classes(y_true, probabilities, groups))


def multilabel_macro_auc(
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    minimum_cases: int = FEW_CASES,
) -> MacroAUC:
    """Mean over labels of the AUC of each label, for k systems jointly.

    Args:
        y_true: 0, 1, or NaN for "not labelled", shape (n, L).
        scores: Shape (k, n, L); (n, L) for one system.
        groups: Patient of each case, shape (n,).
        minimum_cases: Labels with fewer cases (or patients) on either side are left out and listed.
    """
    return _as_macro(*_measure_labels(y_true, scores, groups, minimum_cases))


def per_class_tests(
    y_true: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, groups: ArrayLike | None = None
) -> tuple[PairedComparison, ...]:
    """DeLong for each class against the rest; correct the p-values with `holm` inside the task.

    Args:
        y_true: Class numbers 0 .. C-1, shape (n,).
        scores_a, scores_b: Class scores of the two systems, shape (n, C).
        groups: Patient of each case, shape (n,).
    """
    n = as_vector(y_true, "y_true").size
    cube = np.concatenate([probability_cube(scores_a, n), probability_cube(scores_b, n)])
    labels = class_labels(y_true, cube.shape[2])
    return tuple(delong_test(labels == c, cube[0, :, c], cube[1, :, c], groups) for c in range(cube.shape[2]))


def measure_macro(y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None) -> Measured:
    """Macro one-against-rest AUC in the form that `compare_pair` reads."""
    return _measure_classes(y_true, probabilities, groups)[0]


def measure_multilabel(
    y_true: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    minimum_cases: int = FEW_CASES,
) -> Measured:
    """Multi-label macro AUC in the form that `compare_pair` reads."""
    return _measure_labels(y_true, scores, groups, minimum_cases)[0]


def _measure_classes(
    y_true: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None
) -> tuple[Measured, Influence | None, tuple[int, ...]]:
    n = as_vector(y_true, "y_true").size
    cube = probability_cube(probabilities, n)
    labels = class_labels(y_true, cube.shape[2])
    rows = np.arange(n)
    tasks = [Task(rows, labels == c, cube[:, :, c]) for c in range(cube.shape[2])]
    return _measure(tasks, clusters_of(groups, n), cube.shape[0], "macro_auroc", minimum_cases=2)


def _measure_labels(
    y_true: ArrayLike, scores: ArrayLike, groups: ArrayLike | None, minimum_cases: int
) -> tuple[Measured, Influence | None, tuple[int, ...]]:
    labels = _label_matrix(y_true)
    n, n_labels = labels.shape
    cube = probability_cube(scores, n)
    if cube.shape[2] != n_labels:
        raise StatisticsError(
            f"{cube.shape[2]} score columns for {n_labels} labels.", fix="pass one score column per label"
        )
    tasks = []
    for j in range(n_labels):
        rows = np.flatnonzero(~np.isnan(labels[:, j]))
        tasks.append(Task(rows, labels[rows, j] == 1, cube[:, rows, j]))
    clusters = clusters_of(groups, n)
    return _measure(tasks, clusters, cube.shape[0], "multilabel_macro_auroc", max(minimum_cases, 2))


def _measure(
    tasks: list[Task], clusters: Clusters, k: int, metric: str, minimum_cases: int
) -> tuple[Measured, Influence | None, tuple[int, ...]]:
    counts = [
        class_counts(task.positive, _restricted(clusters, task.rows))
        if task.rows.size
        else Counts(0, 0, 0, 0, 0)
        for task in tasks
    ]
    smallest = [min(c.positive_clusters, c.negative_clusters) for c in counts]
    kept = tuple(j for j, size in enumerate(smallest) if size >= minimum_cases)
    excluded = tuple(
        ExcludedClass(j, c.n_positive, c.n_negative, c.verdict) for j, c in enumerate(counts) if j not in kept
    )
    if kept:
        joint = joint_auc_influence([tasks[j] for j in kept], clusters)
        influence = joint.contrast(np.tile(np.eye(k), len(kept)), divisor=len(kept))
        rarest = min(kept, key=lambda j: smallest[j])
        count = counts[rarest]
        # The mean over classes is steadier than its rarest class, but not by an amount that is known.
        verdict = count.verdict
        if verdict is Verdict.TOO_FEW_CASES:
            verdict = Verdict.RARE_CLASS
    else:
        joint, influence, verdict, count = None, undefined_influence(k), Verdict.UNDEFINED_AUC, counts[0]
        if max(smallest) == 1:
            verdict = Verdict.UNDEFINED_VARIANCE
        elif max(smallest) > 1:
            verdict = Verdict.TOO_FEW_CASES
    measured = Measured(
        metric=metric,
        method="influence of each patient on the macro AUC, paired",
        influence=influence,
        counts=Counts(
            count.n_positive,
            count.n_negative,
            count.positive_clusters,
            count.negative_clusters,
            clusters.count,
        ),
        verdict=verdict,
        failed=_constant_systems([tasks[j] for j in kept], k),
        swaps=lambda a, b: _swaps([tasks[j] for j in kept], a, b, clusters),
        excluded=excluded,
    )
    return measured, joint, kept


def _as_macro(measured: Measured, joint: Influence | None, kept: tuple[int, ...]) -> MacroAUC:
    k = measured.k
    per_class = np.zeros((k, 0)) if joint is None else joint.estimate.reshape(len(kept), k).T
    return MacroAUC(
        measured.influence.estimate,
        measured.influence.covariance,
        measured.excluded,
        per_class,
        kept,
        measured.counts.n_clusters,
    )


def _swaps(tasks: list[Task], a: int, b: int, clusters: Clusters) -> FloatArray:
    total = np.zeros(clusters.count)
    for task in tasks:
        inside = Clusters(clusters.ids[task.rows], clusters.count)
        total += swap_contributions(task.positive, task.scores[a], task.scores[b], inside)
    return total / max(len(tasks), 1)


def _constant_systems(tasks: list[Task], k: int) -> NDArray[np.bool_]:
    constant = np.full(k, bool(tasks))
    for task in tasks:
        constant &= (task.scores == task.scores[:, :1]).all(axis=1)
    return constant


def _restricted(clusters: Clusters, rows: NDArray[np.intp]) -> Clusters:
    return Clusters(clusters.ids[rows], clusters.count)


def _label_matrix(y_true: ArrayLike) -> FloatArray:
    try:
        labels = np.asarray(y_true, dtype=np.float64)
    except (TypeError, ValueError):
        raise StatisticsError("labels hold values that are not numbers.", fix="use 0, 1 and NaN") from None
    if labels.ndim != 2:
        raise StatisticsError(
            f"multi-label labels must have shape (n, L), not {labels.shape}.", fix="pass one column per label"
        )
    if not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise StatisticsError(
            "multi-label labels must be 0, 1, or NaN for not labelled.",
            fix="code present as 1 and absent as 0",
        )
    return labels
