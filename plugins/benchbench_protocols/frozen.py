"""What all protocols on frozen embeddings share: reading, fitting, and scores that thresholds may be frozen on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchbench.api import Task
from benchbench.context import CellContext, Part

from .learned import Learned, Stopwatch, keep_positive
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Table:
    """Embeddings with labels and patients."""

    X: np.ndarray
    """(n, D) float32"""
    y: np.ndarray
    """(n,) class codes, or (n, L) with NaN"""
    groups: tuple[str, ...] = ()

    def rows(self, keep: np.ndarray) -> Table:
        """The rows where the mask `keep` is true."""
        groups = tuple(g for g, k in zip(self.groups, keep, strict=True) if k) if self.groups else ()
        return Table(self.X[keep], self.y[keep], groups)


@dataclass(frozen=True)
class Fitted:
    """A classifier of embeddings."""

    predict: Callable[[np.ndarray], np.ndarray]
    """(m, D) -> (m, K) probabilities with a column per class code, or (m, L) per label"""
    out_of_fold: np.ndarray | None = None
    """(n, K) scores of the training rows by models that did not see their patient, where the fit made them."""
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)


Fit = Callable[[Table, Table | None], Fitted]
"""fit(train, validation)"""


def learn_frozen(
    fit: Fit, context: CellContext, train: Samples, validation: Samples | None, task: Task, folds: int = 5
) -> Learned:
    """Fit on embeddings; validation scores, or out-of-fold scores where the split has no validation images."""
    clock = Stopwatch()
    with clock("read"):
        table = Table(train.features(context), train.labels, train.groups)
        judge = None
        if validation is not None:
            judge = Table(validation.features(context), validation.labels, validation.groups)
    with clock("fit"):
        fitted = fit(table, judge)
    if validation is not None and judge is not None:
        held_out, kept = validation, fitted.predict(judge.X)
    elif fitted.out_of_fold is not None:
        held_out, kept = train, fitted.out_of_fold
    else:
        with clock("out_of_fold"):
            held_out, kept = train, _out_of_fold(fit, table, folds)

    def score(part: Part) -> np.ndarray:
        return keep_positive(fitted.predict(context.features(part)), task)

    details = {"n_train": len(train), "width": table.X.shape[1], **fitted.details}
    return Learned(
        score,
        held_out.image_ids,
        keep_positive(kept, task),
        details,
        {**clock.seconds, **fitted.timings},
        held_out.labels,
    )


def _out_of_fold(fit: Fit, table: Table, folds: int) -> np.ndarray:
    import numpy as np

    from benchbench.probes import grouped_folds

    codes = np.nan_to_num(table.y, nan=-1).astype(np.int64)
    plan = grouped_folds(codes, table.groups, folds)
    kept: np.ndarray | None = None
    for fold in range(plan.count):
        inside = plan.train(fold)
        scores = fit(table.rows(inside), None).predict(table.X[~inside])
        kept = np.zeros((len(table.X), scores.shape[1])) if kept is None else kept
        kept[~inside] = scores
    assert kept is not None
    return kept


def expand(probabilities: np.ndarray, classes: np.ndarray, columns: int) -> np.ndarray:
    """(n, columns) with each probability at its class code; classes that training lacked get 0."""
    import numpy as np

    full = np.zeros((len(probabilities), columns))
    full[:, np.asarray(classes).astype(int)] = probabilities
    return full


def codes(task: Task) -> int:
    """Number of class codes: 2 for a binary task."""
    return max(2, len(task.classes))


def per_label(fit: Fit, names: tuple[str, ...]) -> Fit:
    """From a fit of 0/1 codes to a fit of (n, L) labels: one classifier per label, on the images that carry it.

    A label whose training images are all of one kind cannot be learned; its scores are 0.5 and the details say so.
    """
    import numpy as np

    def many(train: Table, validation: Table | None) -> Fitted:
        fits: list[Fitted | None] = []
        details: dict[str, float | int | str] = {}
        for j, name in enumerate(names):
            one = _label(train, j)
            if len(np.unique(one.y)) < 2:
                fits.append(None)
                details[f"skipped {name}"] = "training images of both kinds are needed"
                continue
            judge = None if validation is None else _label(validation, j)
            fits.append(fit(one, judge if judge is not None and len(judge.X) else None))
            details |= {f"{key} {name}": value for key, value in fits[-1].details.items()}  # type: ignore[union-attr]

        def predict(Z: np.ndarray) -> np.ndarray:
            columns = [np.full(len(Z), 0.5) if f is None else f.predict(Z)[:, 1] for f in fits]
            return np.column_stack(columns)

        return Fitted(predict, details=details)

    return many


def _label(table: Table, j: int) -> Table:
    import numpy as np

    known = ~np.isnan(table.y[:, j])
    one = table.rows(known)
    return Table(one.X, one.y[:, j], one.groups)
