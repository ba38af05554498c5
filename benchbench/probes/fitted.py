"""What the probes are asked for and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .path import ClassWeight, Floats, Standardisation, class_probabilities
from .selection import Metric, Selection

DEFAULT_C_GRID = tuple(float(c) for c in np.logspace(-6, 2, 17))


@dataclass(frozen=True)
class ProbeGrid:
    """What to fit and how to choose.

    Args:
        C_grid: Inverse penalties to choose from; scikit-learn's `C`. One value: no search.
        folds: Inner folds, where they decide.
        selection: "validation" and "cv" insist; "auto" takes the validation split if there is one, else folds.
        one_standard_error: Prefer the smallest C within one standard error of the best mean score.
        metric: What the held-out rows are scored by.
        class_weight: None, or "balanced" as in scikit-learn, counted on each fit's own training rows.
        solver: "benchbench", or "sklearn": `StandardScaler` and `LogisticRegression(max_iter=20000,
            random_state=42)` at its default tolerance and in the embeddings' own precision, as papers ran it.
        device: Where the products run. "sklearn" ignores it.
        threads: Cap on BLAS and torch threads; None: usable cores.
        shuffle_folds: Assign patients to folds by `seed`. By default the folds need no random numbers.
        seed: Governs nothing unless `shuffle_folds` is set: the optimum is unique.
        max_iter: Iterations after which a fit counts as not converged.
    """

    C_grid: tuple[float, ...] = DEFAULT_C_GRID
    folds: int = 5
    selection: Literal["auto", "validation", "cv"] = "auto"
    one_standard_error: bool = False
    metric: Metric = "log_loss"
    class_weight: ClassWeight = None
    solver: Literal["benchbench", "sklearn"] = "benchbench"
    device: str = "cpu"
    threads: int | None = None
    shuffle_folds: bool = False
    seed: int = 0
    max_iter: int = 3000


@dataclass(frozen=True)
class Timings:
    """Seconds of wall-clock time: standardise (and rotate), fit (search and final), select."""

    standardise: float
    fit: float
    select: float


@dataclass(frozen=True)
class FittedProbe:
    """One logistic regression and how it came about.

    `coef` (K, D) and `intercept` (K,) act on (x - mean) / scale; K is 1 for two classes. `out_of_fold` (n, K
    classes) holds the training rows' held-out probabilities at the chosen C, if folds were used.
    """

    C: float
    classes: NDArray
    coef: Floats
    intercept: Floats
    mean: Floats
    scale: Floats
    selection: Selection
    iterations: int
    converged: bool
    timings: Timings
    out_of_fold: Floats | None = None
    pipeline: Any = field(default=None, repr=False)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities (n, K) in the order of `classes`."""
        table = checks.embeddings(X, what="embeddings to predict")
        if table.shape[1] != len(self.mean):
            raise checks.ProbeInputError(
                f"the probe was fitted on {len(self.mean)} dimensions, these embeddings have {table.shape[1]}",
                fix="predict with the encoder, pooling and variant that the probe was fitted on",
            )
        if self.pipeline is not None:
            return np.asarray(self.pipeline.predict_proba(table), dtype=np.float64)
        logits = Standardisation(self.mean, self.scale)(table) @ self.coef.T + self.intercept
        return class_probabilities(logits.T[None])[0]


@dataclass(frozen=True)
class FittedMultilabelProbe:
    """One binary probe per label; None where a label cannot be learned, with the reason in `skipped`."""

    names: tuple[str, ...]
    probes: tuple[FittedProbe | None, ...]
    skipped: tuple[str, ...]
    timings: Timings

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probability (n, L) that each label is present; NaN in the columns that were skipped."""
        table = checks.embeddings(X, what="embeddings to predict")
        columns = [
            np.full(len(table), np.nan) if p is None else p.predict_proba(table)[:, 1] for p in self.probes
        ]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class FittedPath:
    """Probes for every C on the same rows: `coef` (m, K, D), `intercept` (m, K), `gap` (m,) as in `solver.Solution`."""

    C: Floats
    classes: NDArray
    coef: Floats
    intercept: Floats
    mean: Floats
    scale: Floats
    iterations: NDArray[np.int64]
    converged: NDArray[np.bool_]
    gap: Floats

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities (m, n, K)."""
        z = Standardisation(self.mean, self.scale)(checks.embeddings(X, what="embeddings to predict"))
        return class_probabilities(
            np.moveaxis(z @ np.moveaxis(self.coef, 1, 2), 1, 2) + self.intercept[..., None]
        )
