"""Inner folds for choosing C: groups stay whole, classes stay balanced, and no random numbers are involved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import ProbeInputError


@dataclass(frozen=True)
class Folds:
    """`assignment` (n,): the fold that holds each row out. `note` explains a departure from what was asked."""

    assignment: NDArray[np.int64]
    count: int
    note: str = ""

    def train(self, fold: int) -> NDArray[np.bool_]:
        """Rows to learn from (n,) in `fold`."""
        return self.assignment != fold


def grouped_folds(
    codes: NDArray[np.int64],
    groups: ArrayLike | None,
    folds: int,
    *,
    seed: int | None = None,
    names: Sequence[object] | None = None,
) -> Folds:
    """Stratified folds in which no group (patient) is on both sides.

    Args:
        codes: (n,) class indices, or (n, L) for L labels that share their folds; -1: not labelled.
        groups: (n,) patient of each row; None: every row is its own.
        folds: How many to make. Fewer are made where a class has fewer groups, and `note` says so.
        seed: None (the default) needs no random numbers; a number shuffles the groups.
        names: Names of the classes, or of the labels, for the note.

    Raises:
        ProbeInputError: No class or label has two groups, or there are fewer than two groups.
    """
    patient = _group_codes(groups, len(codes))
    table = _indicator(codes)
    present = np.zeros((patient.max() + 1, table.shape[1]), dtype=bool)
    np.logical_or.at(present, patient, table)
    count, note = _affordable(present.sum(axis=0), len(present), folds, _column_names(codes, names))
    return Folds(_balance(table, patient, count, seed), count, note)


def _group_codes(groups: ArrayLike | None, n: int) -> NDArray[np.int64]:
    if groups is None:
        return np.arange(n)
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def _indicator(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """One column per class, or per (label, class), that occurs."""
    columns = codes[:, None] if codes.ndim == 1 else codes
    parts = [column[:, None] == np.arange(column.max() + 1) for column in columns.T if column.max() >= 0]
    return np.concatenate(parts, axis=1)


def _column_names(codes: NDArray[np.int64], names: Sequence[object] | None) -> list[str]:
    if codes.ndim == 1:
        classes = names if names is not None else range(int(codes.max()) + 1)
        return [f"class {c}" for c in classes]
    labels = names if names is not None else range(codes.shape[1])
    return [
        f"label {name} = {c}"
        for name, column in zip(labels, codes.T, strict=True)
        for c in range(int(column.max()) + 1)
    ]


def _affordable(support: NDArray[np.int64], groups: int, folds: int, names: list[str]) -> tuple[int, str]:
    """How many folds the rarest class can fill, and the sentence that explains it."""
    enough = support[support >= 2]
    if groups < 2 or enough.size == 0:
        raise ProbeInputError(
            f"inner folds are impossible: {groups} patient group(s), and no class has two of them",
            fix="give one value of C, a validation split, or more patients",
        )
    count = int(min(folds, groups, enough.min()))
    notes = []
    if count < folds:
        rare = ", ".join(f"{names[i]} has {support[i]}" for i in np.flatnonzero(support == enough.min()))
        why = f"{rare} patient group(s)" if enough.min() == count else f"there are {groups} patient groups"
        notes.append(f"{count} instead of {folds} inner folds, because {why}")
    alone = [names[i] for i in np.flatnonzero(support == 1)]
    if alone:
        notes.append(
            f"{', '.join(alone)}: one patient group only, so one fold is scored without having learned it"
        )
    return count, "; ".join(notes)


def _balance(
    table: NDArray[np.bool_], patient: NDArray[np.int64], count: int, seed: int | None
) -> NDArray[np.int64]:
    """The assignment of scikit-learn's StratifiedGroupKFold, for any number of label columns and without its wait.

    Groups with the most uneven counts come first; each goes to the fold that leaves the columns' shares most even
    over the folds, on a tie to the smallest fold.
    """
    counts = np.zeros((patient.max() + 1, table.shape[1]))
    np.add.at(counts, patient, table)
    shuffled = np.arange(len(counts))
    if seed is not None:
        np.random.RandomState(seed).shuffle(shuffled)
    order = shuffled[np.argsort(-counts[shuffled].std(axis=1), kind="stable")]
    whole = table.sum(axis=0)
    filled = np.zeros((count, table.shape[1]))
    trial = np.arange(count)
    fold_of = np.zeros(len(counts), dtype=np.int64)
    for group in order:
        # proposed[f]: the counts of all folds if fold f took the group. The operations are scikit-learn's, because
        # rounding decides ties there.
        proposed = np.repeat(filled[None], count, axis=0)
        proposed[trial, trial] += counts[group]
        proposed /= whole
        # numpy's own std and mean, without their wrappers, which take longer than the numbers do.
        proposed -= np.add.reduce(proposed, axis=1, keepdims=True) / count
        np.multiply(proposed, proposed, out=proposed)
        spread = np.sqrt(np.add.reduce(proposed, axis=1) / count)
        spread = np.add.reduce(spread, axis=1) / spread.shape[1]
        best = _least(spread, filled.sum(axis=1))
        fold_of[group] = best
        filled[best] += counts[group]
    return fold_of[patient]


def _least(spread: NDArray[np.float64], sizes: NDArray[np.float64]) -> int:
    best = 0
    for f in range(1, len(spread)):
        close = abs(spread[f] - spread[best]) <= 1e-8 + 1e-5 * spread[best]
        if spread[f] < spread[best] or (close and sizes[f] < sizes[best]):
            best = f
    return best
