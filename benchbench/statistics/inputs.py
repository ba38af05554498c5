"""Checking and shaping what callers hand in: labels, scores, patients.

Lists, tuples, numpy arrays and pandas objects are all welcome. What cannot be used is refused with a message
that says where it is and how to mend it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.errors import BenchError
from benchbench.statistics.verdicts import Verdict

FloatArray = NDArray[np.float64]


class StatisticsError(BenchError, ValueError):
    """The labels, scores or patients handed to a test cannot be used."""

    verdict: Verdict | None = None


class InvalidScores(StatisticsError):
    """Scores hold NaN, infinite or non-numeric values."""

    verdict = Verdict.INVALID_SCORES


class NotPaired(StatisticsError):
    """Arrays that should describe the same cases have different lengths."""

    verdict = Verdict.NOT_PAIRED


@dataclass(frozen=True)
class Clusters:
    """Which cases belong to which patient.

    Attributes:
        ids: Patient number of each case, 0 .. count - 1, shape (n,).
        count: Number of patients.
        singletons: True where every patient has exactly one case.
    """

    ids: NDArray[np.intp]
    count: int

    @property
    def singletons(self) -> bool:
        return self.count == self.ids.size

    def sums(self, values: FloatArray, rows: NDArray[np.intp] | slice = slice(None)) -> FloatArray:
        """Sum each row of `values` (q, n) over patients; `rows` says which cases its columns are."""
        ids = self.ids[rows]
        return np.stack([np.bincount(ids, weights=row, minlength=self.count) for row in values])

    def holding(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which patients have at least one case inside `mask` (n,)."""
        held = np.zeros(self.count, dtype=bool)
        held[self.ids[mask]] = True
        return held


def as_vector(values: ArrayLike, name: str) -> NDArray[Any]:
    """One-dimensional array of `values`; a single column (n, 1) is flattened."""
    array = np.asarray(values)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        raise StatisticsError(
            f"{name} must have one value per case, but has shape {array.shape}.",
            fix=f"pass {name} as a list or a one-dimensional array",
        )
    if array.size == 0:
        raise StatisticsError(f"{name} is empty.", fix="check that the test split holds cases")
    return array


def binary_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    """Labels as booleans; only 0, 1, False and True are accepted."""
    array = as_vector(y_true, "y_true")
    if array.dtype == bool:
        return array
    numbers = _numeric(array, "y_true", "code the positive class as 1 and the other as 0")
    bad = ~((numbers == 0) | (numbers == 1))
    if bad.any():
        seen = ", ".join(str(value) for value in np.unique(numbers[bad])[:5].tolist())
        raise StatisticsError(
            f"y_true must hold 0 and 1 only, but also holds {seen}.",
            where=f"case {int(np.flatnonzero(bad)[0])} (counting from 0), {int(bad.sum())} in all",
            fix="code the labels first, for instance y_true = (grade >= 2); leave unlabelled cases out",
        )
    return numbers == 1


def class_labels(y_true: ArrayLike, n_classes: int | None, name: str = "y_true") -> NDArray[np.intp]:
    """Class numbers 0 .. n_classes - 1 as integers."""
    array = as_vector(y_true, name)
    numbers = _numeric(array, name, "code the classes as 0, 1, 2, ... in the order of the score columns")
    bad = ~np.isfinite(numbers)
    bad |= numbers != np.floor(np.where(bad, 0, numbers))
    bad |= numbers < 0
    if n_classes is not None:
        bad |= numbers >= n_classes
    if bad.any():
        limit = "" if n_classes is None else f" to {n_classes - 1}"
        seen = ", ".join(str(value) for value in np.unique(numbers[bad])[:5].tolist())
        raise StatisticsError(
            f"{name} must hold class numbers from 0{limit}, but also holds {seen}.",
            where=f"case {int(np.flatnonzero(bad)[0])} (counting from 0), {int(bad.sum())} in all",
            fix="code the classes as 0, 1, 2, ... in the order of the score columns",
        )
    return numbers.astype(np.intp)


def score_rows(scores: ArrayLike, n: int, models_first: bool = False) -> NDArray[Any]:
    """Scores as (k, n), one row a system.

    Shape (n,) means one system. Of the two orientations the one that fits `n` is taken; where both fit
    (k == n) rows are cases, unless `models_first`.
    """
    array = _score_array(scores)
    if array.ndim == 1:
        array = array[np.newaxis, :]
    elif array.ndim == 2:
        rows_fit, columns_fit = array.shape[0] == n, array.shape[1] == n
        if rows_fit and not (columns_fit and models_first):
            array = array.T
    if array.ndim != 2 or array.shape[1] != n:
        raise NotPaired(
            f"scores of shape {np.shape(scores)} do not match the {n} labels.",
            fix=f"pass one score per case, shape ({n},), or one column per system, shape ({n}, k)",
        )
    _refuse_non_finite(array)
    return array


def one_system(scores: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """Scores (n,) of a single system."""
    rows = score_rows(scores, n)
    if rows.shape[0] != 1:
        raise NotPaired(
            f"{name} holds {rows.shape[0]} systems, but a paired test takes one on each side.",
            fix="pass one column a side, or use a function for several systems",
        )
    return rows[0]


def stack_systems(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Rows (n,) of several systems as (k, n) without changing any order.

    Rows of different types become ranks first: large integers would otherwise be rounded to doubles, and tie.
    """
    if len({row.dtype for row in rows}) > 1:
        rows = [np.unique(row, return_inverse=True)[1].reshape(-1) for row in rows]
    return np.stack(rows)


def probability_cube(probabilities: ArrayLike, n: int) -> FloatArray:
    """Class scores as (k, n, C); shape (n, C) means one system."""
    array = _score_array(probabilities)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3 or array.shape[1] != n or array.shape[2] < 1:
        raise NotPaired(
            f"class scores of shape {np.shape(probabilities)} do not match the {n} labels.",
            fix=f"pass shape (k, {n}, C): systems, cases, classes; or ({n}, C) for one system",
        )
    _refuse_non_finite(array.reshape(array.shape[0], -1))
    return array.astype(np.float64, copy=False)


def clusters_of(groups: ArrayLike | None, n: int) -> Clusters:
    """Patients from any identifiers (numbers, strings, tuples); None means one patient per case."""
    if groups is None:
        return Clusters(np.arange(n, dtype=np.intp), n)
    array = as_vector(_identifiers(groups), "groups")
    if array.size != n:
        raise NotPaired(
            f"groups names {array.size} patients for {n} cases.", fix="pass one patient identifier per case"
        )
    missing = [i for i, value in enumerate(array.tolist()) if _is_missing(value)]
    if missing:
        raise StatisticsError(
            f"{len(missing)} cases have no patient identifier.",
            where=f"case {missing[0]} (counting from 0) is the first",
            fix="fill in the identifier, or give each such case an identifier of its own",
        )
    if array.dtype == object:
        number: dict[Hashable, int] = {}
        ids = np.array([number.setdefault(value, len(number)) for value in array.tolist()], dtype=np.intp)
        return Clusters(ids, len(number))
    unique, ids = np.unique(array, return_inverse=True)
    return Clusters(ids.astype(np.intp, copy=False).reshape(-1), unique.size)


def _identifiers(groups: ArrayLike) -> ArrayLike:
    """`groups` itself; tuples, such as (site, number), as one object each, where numpy would make columns of them."""
    if not isinstance(groups, (list, tuple)) or not any(isinstance(value, tuple) for value in groups):
        return groups
    objects = np.empty(len(groups), dtype=object)
    for i, value in enumerate(groups):
        objects[i] = value
    return objects


def _is_missing(value: object) -> bool:
    try:
        return value is None or bool(value == "") or bool(value != value)
    except TypeError:  # pandas.NA refuses to be compared
        return True


def _numeric(array: NDArray[Any], name: str, fix: str) -> FloatArray:
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    try:
        if array.dtype.kind in "US":
            raise ValueError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise StatisticsError(
            f"{name} holds values that are not numbers, such as {array[0]!r}.", fix=fix
        ) from None


def _score_array(scores: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(scores)
    except ValueError:
        raise NotPaired(
            "the systems have different numbers of scores.", fix="score every system on the same cases"
        ) from None
    if array.dtype.kind in "biuf":
        return array
    try:
        if array.dtype.kind in "USc":
            raise ValueError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidScores(
            "scores hold values that are not real numbers.",
            fix="pass probabilities or logits as numbers; empty cells are not allowed",
        ) from None


def _refuse_non_finite(rows: NDArray[Any]) -> None:
    if rows.dtype.kind != "f":
        return
    for k, row in enumerate(rows):
        finite = np.isfinite(row)
        if not finite.all():
            first = int(np.flatnonzero(~finite)[0])
            raise InvalidScores(
                f"invalid_scores: system {k} has {int((~finite).sum())} scores that are NaN or infinite.",
                where=f"system {k}, score {first} (counting from 0)",
                fix="find out why the model failed on these cases; they cannot be left out of a paired test",
            )
