"""L2 logistic regression by scikit-learn, for one task with class codes or with one 0/1/NaN column per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchbench.errors import CellError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FittedProbe:
    """One fitted model per head: a single multinomial head, or one binary head per label."""

    heads: tuple[Any, ...]
    n_classes: int | None
    """Number of class codes of the multinomial head; None for one binary head per label."""
    C: tuple[float, ...]
    """Chosen inverse strength of each head."""
    out_of_fold: np.ndarray | None
    """(n, K) scores of the training images by models that did not see their group; None where C was not searched
    by folds."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """(n, n_classes) probabilities, or (n, L) probabilities of the positive class of each label."""
        import numpy as np

        if self.n_classes is not None:
            return _expand(self.heads[0], X, self.n_classes)
        return np.column_stack([_expand(h, X, 2)[:, 1] for h in self.heads])


def fit_probe(
    X: np.ndarray,
    y: np.ndarray,
    *,
    groups: Sequence[str],
    n_classes: int,
    C_grid: Sequence[float],
    X_val: np.ndarray | None = None,
    y_val: np.ndarray | None = None,
    folds: int = 5,
    out_of_fold: bool = True,
    max_iter: int = 2000,
    tol: float = 1e-4,
) -> FittedProbe:
    """Choose C on the validation set, or by grouped stratified folds, by log-loss; then fit on all of X."""
    import numpy as np

    columns = y[:, None] if y.ndim == 1 else y
    val_columns = None if y_val is None else (y_val[:, None] if y_val.ndim == 1 else y_val)
    k = n_classes if y.ndim == 1 else 2
    heads, chosen, outs = [], [], []
    for j in range(columns.shape[1]):
        has = ~np.isnan(columns[:, j])
        target = columns[has, j].astype(int)
        if len(np.unique(target)) < 2:
            raise CellError(f"The training images of label {j} are all of one class.")
        val = None
        if X_val is not None and val_columns is not None:
            known = ~np.isnan(val_columns[:, j])
            val = (X_val[known], val_columns[known, j].astype(int)) if known.any() else None
        g = np.asarray(groups)[has]
        C, oof = _search(X[has], target, g, val, C_grid, folds, out_of_fold, k, max_iter, tol)
        head = _model(C, max_iter, tol).fit(X[has], target)
        full = _expand(head, X, k)
        if oof is not None:
            full[has] = oof  # images without this label were never trained on: the final model may score them
        heads.append(head)
        chosen.append(C)
        outs.append(None if oof is None else full)
    stacked = None
    if all(o is not None for o in outs):
        stacked = outs[0] if y.ndim == 1 else np.column_stack([o[:, 1] for o in outs if o is not None])
    return FittedProbe(tuple(heads), n_classes if y.ndim == 1 else None, tuple(chosen), stacked)


def _model(C: float, max_iter: int, tol: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(), LogisticRegression(C=C, max_iter=max_iter, tol=tol, random_state=42)
    )


def _expand(model: Any, X: np.ndarray, k: int) -> np.ndarray:
    """Probabilities with a column for every class code; classes that training lacked get 0."""
    import numpy as np

    full = np.zeros((len(X), k))
    if len(X):
        full[:, model.classes_] = model.predict_proba(X)
    return full


def _search(
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    val: tuple[np.ndarray, np.ndarray] | None,
    C_grid: Sequence[float],
    folds: int,
    out_of_fold: bool,
    k: int,
    max_iter: int,
    tol: float,
) -> tuple[float, np.ndarray | None]:
    import numpy as np

    if val is not None:
        if len(C_grid) == 1:
            return C_grid[0], None
        losses = [_loss(_expand(_model(C, max_iter, tol).fit(X, y), val[0], k), val[1]) for C in C_grid]
        return C_grid[int(np.argmin(losses))], None
    if len(C_grid) == 1 and not out_of_fold:
        return C_grid[0], None
    outs = np.zeros((len(C_grid), len(X), k))
    for train, held in grouped_folds(y, groups, folds):
        for i, C in enumerate(C_grid):
            outs[i, held] = _expand(_model(C, max_iter, tol).fit(X[train], y[train]), X[held], k)
    best = int(np.argmin([_loss(o, y) for o in outs]))
    return C_grid[best], outs[best]


def grouped_folds(y: np.ndarray, groups: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds that keep each group whole; fewer folds where the rarest class has fewer groups."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    rarest = min(len(np.unique(groups[y == c])) for c in np.unique(y))
    splitter = StratifiedGroupKFold(max(2, min(folds, rarest)), shuffle=True, random_state=0)
    parts = [(a, b) for a, b in splitter.split(np.zeros(len(y)), y, groups) if len(b)]
    return [(a, b) for a, b in parts if len(np.unique(y[a])) > 1]


def _loss(p: np.ndarray, y: np.ndarray) -> float:
    import numpy as np

    return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-12, 1)).mean())
