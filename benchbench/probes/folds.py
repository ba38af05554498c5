"""Inner folds for choosing C: groups stay whole, classes stay balanced, and no random numbers are involved."""

from __future__ import annotations

import warnings
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
    if codes.ndim == 1 and (codes >= 0).all():
        assignment = _by_scikit_learn(codes, patient, count, seed)
    else:
        assignment = _greedy(table, patient, count, seed)
    return Folds(assignment, count, note)


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


def _by_scikit_learn(
    codes: NDArray[np.int64], patient: NDArray[np.int64], count: int, seed: int | None
) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=seed is not None, random_state=seed)
    assignment = np.zeros(len(codes), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(codes, codes, patient)):
            assignment[held_out] = fold
    return assignment


def _greedy(
    table: NDArray[np.bool_], patient: NDArray[np.int64], count: int, seed: int | None
) -> NDArray[np.int64]:
    """Balance every column at once: groups with the rarest labels first, each to the fold that needs it most."""
    counts = np.zeros((patient.max() + 1, table.shape[1] + 1))
    # The last column balances the sizes of the folds; a row without any label still counts there.
    np.add.at(counts, patient, np.column_stack([table, np.ones(len(table))]))
    share = counts / counts.sum(axis=0)
    order = np.argsort(-share.max(axis=1), kind="stable")
    if seed is not None:
        shuffled = np.random.default_rng(seed).permutation(len(share))
        order = shuffled[np.argsort(-share[shuffled].max(axis=1), kind="stable")]
    filled = np.zeros((count, share.shape[1]))
    fold_of = np.zeros(len(share), dtype=np.int64)
    for group in order:
        # Squared fill: adding a group costs 2 fill * share, so the emptiest fold in the group's own labels wins.
        fold = int(np.argmin(filled @ share[group]))
        fold_of[group] = fold
        filled[fold] += share[group]
    return fold_of[patient]
