"""Input checks shared by the probes: a wrong table is refused with a sentence, not with a stack of numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.errors import DataError


class ProbeInputError(DataError, ValueError):
    """Embeddings or labels that no probe can be fitted on."""


def embeddings(X: ArrayLike, *, what: str = "training embeddings") -> NDArray:
    """Check an (n, D) table of finite numbers; float32 stays float32, everything else becomes float64.

    Raises:
        ProbeInputError: Wrong shape, no rows, no columns, or values that are not finite.
    """
    table = np.asarray(X)
    if table.ndim != 2 or 0 in table.shape:
        raise ProbeInputError(
            f"the {what} have shape {table.shape}; a table with at least one row and one column is needed",
            fix="give one row per image and one column per embedding dimension",
        )
    if table.dtype != np.float32:
        table = table.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if bad.size:
        shown = ", ".join(map(str, bad[:5])) + (", ..." if bad.size > 5 else "")
        raise ProbeInputError(
            f"{bad.size} of {len(table)} rows of the {what} hold NaN or infinity (rows {shown})",
            fix="embed these images again, in float32 if the encoder ran in half precision, or leave them out",
        )
    return table


def same_length(n: int, **others: Sequence | NDArray | None) -> None:
    """Refuse columns whose length differs from the number of embeddings `n`."""
    for name, values in others.items():
        if values is not None and len(values) != n:
            raise ProbeInputError(
                f"{n} embeddings but {len(values)} entries in {name}",
                fix="match embeddings and labels by image_id before fitting",
            )


def labels(y: ArrayLike, *, what: str = "y") -> tuple[NDArray, NDArray[np.int64]]:
    """Classes in sorted order and codes (n,); a missing label (NaN or None) has the code -1.

    Raises:
        ProbeInputError: Fewer than two classes are labelled.
    """
    values = np.asarray(y)
    if values.ndim != 1:
        raise ProbeInputError(
            f"{what} has shape {values.shape}; one label per image is needed",
            fix="use fit_multilabel_probe for a table with one column per label",
        )
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind == "O":
        missing = np.array([v is None or v != v for v in values], dtype=bool)
    else:
        missing = np.zeros(len(values), dtype=bool)
    classes, found = np.unique(values[~missing], return_inverse=True)
    if len(classes) < 2:
        seen = f"only the class {classes[0]!s}" if len(classes) else "no label at all"
        raise ProbeInputError(
            f"{what} holds {seen}; a probe needs two classes or more",
            fix="check the label column and the training split of this task",
        )
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[~missing] = found
    return classes, codes


def strengths(C: ArrayLike) -> NDArray[np.float64]:
    """The grid of C, sorted, without repeats.

    Raises:
        ProbeInputError: A value is not a positive number, or there is none.
    """
    grid = np.unique(np.asarray(C, dtype=np.float64))
    if grid.size == 0 or not np.isfinite(grid).all() or grid[0] <= 0:
        raise ProbeInputError(
            f"C must be positive numbers, not {np.asarray(C).tolist()}", fix="for instance C_grid=(0.01, 1)"
        )
    return grid
