"""Probes without a training loop: nearest neighbours and nearest class mean, both by cosine similarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .folds import grouped_folds
from .path import Floats
from .selection import Metric, Selection, choose, score
from .threads import thread_limit

DEFAULT_K_GRID = (1, 3, 5, 10, 20, 50, 100)
# Softmax temperature of the similarities, as in the k-NN evaluation of DINO (Caron et al., ICCV 2021).
TEMPERATURE = 0.07
# Rows of one block of similarities.
BLOCK = 2048


def _directions(X: NDArray, mean: Floats) -> Floats:
    """Rows less `mean`, at unit length: embeddings share a large common part that would hide their differences."""
    centred = np.asarray(X, dtype=np.float64) - mean
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def _labelled(X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray, NDArray[np.int64], NDArray[np.bool_]]:
    table = checks.embeddings(X)
    checks.same_length(len(table), y=np.asarray(y))
    classes, codes = checks.labels(y)
    return table, classes, codes, codes >= 0


def _votes(
    queries: Floats, memory: Floats, codes: NDArray[np.int64], n_classes: int, k_grid: tuple[int, ...]
) -> Floats:
    """Class probabilities (len(k_grid), n, K): neighbours vote with exp(similarity / temperature).

    One vote per class is shared out beforehand, so that no probability is 0.
    """
    largest = min(max(k_grid), len(memory))
    result = np.empty((len(k_grid), len(queries), n_classes))
    one_hot = np.eye(n_classes)
    for first in range(0, len(queries), BLOCK):
        similarity = queries[first : first + BLOCK] @ memory.T
        near = np.argsort(-similarity, axis=1, kind="stable")[:, :largest]
        best = np.take_along_axis(similarity, near, axis=1)
        weight = np.exp((best - best[:, :1]) / TEMPERATURE)
        tally = np.cumsum(weight[:, :, None] * one_hot[codes[near]], axis=1)
        for i, k in enumerate(k_grid):
            votes = tally[:, min(k, largest) - 1] + 1 / n_classes
            result[i, first : first + BLOCK] = votes / votes.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class KnnProbe:
    """The `k` most similar training images (n, D) vote, weighted by similarity. `selection.C` lists the values of k."""

    k: int
    classes: NDArray
    mean: Floats
    memory: Floats
    codes: NDArray[np.int64]
    selection: Selection
    threads: int | None = None

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities (n, K) in the order of `classes`."""
        queries = _directions(checks.embeddings(X, what="embeddings to predict"), self.mean)
        with thread_limit(self.threads):
            return _votes(queries, self.memory, self.codes, len(self.classes), (self.k,))[0]


def knn_probe(
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k_grid: tuple[int, ...] = DEFAULT_K_GRID,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
    folds: int = 5,
    metric: Metric = "log_loss",
    threads: int | None = None,
) -> KnnProbe:
    """Weighted cosine k-NN; k from the validation split if there is one, else from the folds of the linear probe.

    Args:
        X: (n, D) embeddings.
        y: (n,) labels; rows without one are left out.
        groups: (n,) patients; the folds keep them whole.
        k_grid: Numbers of neighbours to choose from.
        X_val: (m, D) validation embeddings.
        y_val: (m,) their labels.
        folds: Inner folds.
        metric: What held-out rows are scored by.
        threads: Cap on threads.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be used.
    """
    table, classes, codes, kept = _labelled(X, y)
    table, codes = table[kept], codes[kept]
    grid = tuple(sorted({int(k) for k in k_grid if 1 <= k <= len(table)}))
    if not grid:
        raise checks.ProbeInputError(
            f"no usable number of neighbours in {tuple(k_grid)} for {len(table)} images",
            fix="for instance k_grid=(1, 5)",
        )
    values = np.asarray(grid, dtype=np.float64)
    mean = table.mean(axis=0, dtype=np.float64)
    memory = _directions(table, mean)
    K, note = len(classes), ""
    with thread_limit(threads):
        if len(grid) == 1:
            selection = choose("none", metric, values, np.empty((1, 0)))
        elif X_val is not None and y_val is not None:
            known = {c: i for i, c in enumerate(classes.tolist())}
            truth = np.array([known.get(label, -1) for label in np.asarray(y_val).tolist()])
            queries = _directions(checks.embeddings(X_val, what="validation embeddings"), mean)
            checks.same_length(len(queries), y_val=truth)
            scores = score(metric, truth, _votes(queries, memory, codes, K, grid))[:, None]
            selection = choose("validation", metric, values, scores)
        else:
            patients = None if groups is None else np.asarray(groups)[kept]
            plan = grouped_folds(codes, patients, folds, names=classes.tolist())
            scores = np.empty((len(grid), plan.count))
            for f in range(plan.count):
                train = plan.train(f)
                centre = table[train].mean(axis=0, dtype=np.float64)
                asked, known_rows = _directions(table[~train], centre), _directions(table[train], centre)
                scores[:, f] = score(metric, codes[~train], _votes(asked, known_rows, codes[train], K, grid))
            note = plan.note
            selection = choose("cv", metric, values, scores, note=note)
    return KnnProbe(grid[selection.chosen], classes, mean, memory, codes, selection, threads)


@dataclass(frozen=True)
class PrototypeProbe:
    """Each class is the mean direction of its images: `prototypes` (K, D)."""

    classes: NDArray
    mean: Floats
    prototypes: Floats

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Softmax (n, K) of the cosine similarities over the temperature."""
        from scipy.special import softmax

        queries = _directions(checks.embeddings(X, what="embeddings to predict"), self.mean)
        return softmax(queries @ self.prototypes.T / TEMPERATURE, axis=1)


def prototype_probe(X: ArrayLike, y: ArrayLike) -> PrototypeProbe:
    """Nearest class mean by cosine similarity; nothing to choose.

    Args:
        X: (n, D) embeddings.
        y: (n,) labels; rows without one are left out.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be used.
    """
    table, classes, codes, kept = _labelled(X, y)
    # Mean of the class means: the common part must not lean towards the largest class.
    means = np.stack([table[codes == k].mean(axis=0, dtype=np.float64) for k in range(len(classes))])
    centre = means.mean(axis=0)
    directions = _directions(table[kept], centre)
    prototypes = np.stack([directions[codes[kept] == k].mean(axis=0) for k in range(len(classes))])
    length = np.maximum(np.linalg.norm(prototypes, axis=1, keepdims=True), 1e-12)
    return PrototypeProbe(classes, centre, prototypes / length)
