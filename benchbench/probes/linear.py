"""The linear probe: standardised embeddings, L2 logistic regression, C chosen on held-out patients.

Nothing here is random unless shuffled folds are asked for: the optimum is unique, and the folds follow from the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .accuracy import KEPT
from .fitted import FittedMultilabelProbe, FittedPath, FittedProbe, ProbeGrid
from .path import ClassWeight, Embeddings, Job
from .search import Search, warn_if_unfinished
from .threads import thread_limit


def fit_path(
    X: ArrayLike,
    y: ArrayLike,
    C: ArrayLike,
    *,
    class_weight: ClassWeight = None,
    device: str = "cpu",
    threads: int | None = None,
    tol: float = KEPT.nats,
    max_iter: int = 3000,
) -> FittedPath:
    """Fit one logistic regression per C, to scikit-learn's optimum.

    Args:
        X: (n, D) embeddings.
        y: (n,) labels; NaN or None: this row only helps to standardise.
        C: Inverse penalties; the result has them in ascending order.
        class_weight: None or "balanced".
        device: Where the products run.
        threads: Cap on threads.
        tol: Estimated distance of the mean loss from its optimum, in nats.
        max_iter: Iterations after which a fit counts as not converged.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be fitted.
    """
    table = checks.embeddings(X)
    checks.same_length(len(table), y=np.asarray(y))
    classes, codes = checks.labels(y)
    grid = checks.strengths(C)
    with thread_limit(threads):
        data = Embeddings(table, device=device, fits=len(grid))
        everything = np.ones(len(table), dtype=bool)
        job = Job(codes, everything, grid, class_weight)
        (fit,) = data.solve([job], replace(KEPT, nats=tol), max_iter)
    warn_if_unfinished(fit.converged, max_iter)
    return FittedPath(
        grid,
        classes,
        fit.coef,
        fit.intercept,
        fit.standard.mean,
        fit.standard.scale,
        fit.iterations,
        fit.converged,
        fit.gap,
    )


def fit_probe(
    X_train: ArrayLike,
    y_train: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
    grid: ProbeGrid | None = None,
    **settings: Any,
) -> FittedProbe:
    """Choose C and fit the probe on all training rows.

    Args:
        X_train: (n, D) embeddings.
        y_train: (n,) labels; NaN or None where a row is not labelled.
        groups: (n,) patients; the folds keep them whole.
        X_val: (m, D) embeddings of the official validation split, if there is one.
        y_val: Its labels (m,).
        grid: What to fit; the default tries 17 values of C with five folds.
        settings: Fields of `ProbeGrid` that replace those of `grid`, for instance `C_grid=(1.0,)`.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be fitted.
    """
    y = np.asarray(y_train)
    checks.same_length(len(checks.embeddings(X_train)), y_train=y)
    classes, codes = checks.labels(y, what="y_train")
    val = None
    if y_val is not None:
        val = _codes_like(classes, np.asarray(y_val))
    asked = replace(grid or ProbeGrid(), **settings)
    column = None if val is None else val[:, None]
    (probe,) = Search(X_train, codes[:, None], [classes], groups, X_val, column, asked, None).probes()
    return probe


def fit_multilabel_probe(
    X_train: ArrayLike,
    Y_train: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    Y_val: ArrayLike | None = None,
    grid: ProbeGrid | None = None,
    names: Sequence[str] | None = None,
    **settings: Any,
) -> FittedMultilabelProbe:
    """One binary probe per label, all solved together; each label has its own C.

    Args:
        X_train: (n, D) embeddings.
        Y_train: (n, L) of 0, 1 and NaN (not labelled, masked for this label only).
        groups: (n,) patients.
        X_val: (m, D) embeddings of the validation split.
        Y_val: Its labels (m, L).
        grid: What to fit. The folds are shared by all labels.
        names: Names of the labels.
        settings: Fields of `ProbeGrid` that replace those of `grid`.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be fitted.
    """
    codes = _binary_codes(Y_train, "Y_train")
    checks.same_length(len(checks.embeddings(X_train)), Y_train=codes)
    val = None if Y_val is None else _binary_codes(Y_val, "Y_val")
    labels = tuple(names) if names is not None else tuple(str(j) for j in range(codes.shape[1]))
    learnable = [j for j in range(codes.shape[1]) if (codes[:, j] == 0).any() and (codes[:, j] == 1).any()]
    if not learnable:
        raise checks.ProbeInputError(
            "no label has both positive and negative images", fix="check the label columns of this task"
        )
    binary = [np.array([0, 1])] * len(learnable)
    chosen_val = None if val is None else val[:, learnable]
    chosen_names = [labels[j] for j in learnable]
    asked = replace(grid or ProbeGrid(), **settings)
    run = Search(X_train, codes[:, learnable], binary, groups, X_val, chosen_val, asked, chosen_names)
    probes: list[FittedProbe | None] = [None] * codes.shape[1]
    for j, probe in zip(learnable, run.probes(), strict=True):
        probes[j] = probe
    skipped = tuple(
        "" if j in learnable else f"{labels[j]}: positive and negative training images are both needed"
        for j in range(codes.shape[1])
    )
    return FittedMultilabelProbe(labels, tuple(probes), skipped, run.timings)


def _codes_like(classes: NDArray, y: NDArray) -> NDArray[np.int64]:
    """Codes of labels in the order of `classes`; labels that training never saw do not count (-1)."""
    places = {c: i for i, c in enumerate(classes.tolist())}
    return np.array([places.get(label, -1) for label in y.tolist()], dtype=np.int64)


def _binary_codes(Y: ArrayLike, what: str) -> NDArray[np.int64]:
    table = np.asarray(Y, dtype=np.float64)
    if table.ndim != 2 or not np.isin(table[~np.isnan(table)], (0, 1)).all():
        raise checks.ProbeInputError(
            f"{what} must be a table (images, labels) of 0, 1 and NaN; its shape is {table.shape}",
            fix="use fit_probe for one label with several classes",
        )
    return np.where(np.isnan(table), -1, table).astype(np.int64)
