"""Two tables of scores side by side: the same cases, before and after a change."""

from __future__ import annotations

import numpy as np

from benchbench.statistics.inputs import NotPaired, StatisticsError
from benchbench.statistics.predictions_file import ScoreTable


def paired_tables(first: ScoreTable, second: ScoreTable) -> tuple[ScoreTable, tuple[tuple[int, int], ...]]:
    """Both tables as one, and which of its columns to compare.

    Cases are paired by their names where both files have a column of them, else by their order.

    Args:
        first, second: From `read_scores`.

    Returns:
        A table whose columns are those of the second file, then those of the first, and pairs (second, first) of
        columns with the same name; of the only columns, where each file has one.

    Raises:
        NotPaired: Other cases or labels.
    """
    order = _order(first, second)
    if not np.array_equal(first.labels, second.labels[order]):
        raise NotPaired(
            "the two files give the same cases other labels.",
            fix="compare files about the same cases; without a column of case names, rows must be in the same order",
        )
    if len(first.names) == len(second.names) == 1:
        pairs = [(0, 1)]
    else:
        k = len(second.names)
        pairs = [(second.names.index(n), k + i) for i, n in enumerate(first.names) if n in second.names]
    if not pairs:
        raise StatisticsError(
            f"no column is in both files: {', '.join(first.names)}; {', '.join(second.names)}.",
            fix="name one column of scores in each file the same",
        )
    table = ScoreTable(
        first.labels,
        np.concatenate([second.scores[order], first.scores], axis=1),
        (*(f"{n}, second file" for n in second.names), *(f"{n}, first file" for n in first.names)),
        first.patients,
        first.label_column,
        first.patient_column,
        first.ids,
        first.ignored,
    )
    return table, tuple(pairs)


def _order(first: ScoreTable, second: ScoreTable) -> np.ndarray:
    """Rows of the second file in the order of the first."""
    if first.labels.size != second.labels.size:
        raise NotPaired(
            f"the files hold {first.labels.size} and {second.labels.size} cases.",
            fix="score the same cases with both systems",
        )
    if first.ids is None or second.ids is None:
        return np.arange(first.labels.size)
    position = {name: i for i, name in enumerate(second.ids.tolist())}
    if len(position) != second.ids.size:
        raise NotPaired("a case is named twice in the second file.", fix="give every row its own name")
    unknown = [name for name in first.ids.tolist() if name not in position]
    if unknown or len(set(first.ids.tolist())) != first.ids.size:
        shown = f"case {unknown[0]!r} is only in the first file" if unknown else "a case is named twice"
        raise NotPaired(f"{shown}.", fix="score the same cases with both systems")
    return np.array([position[name] for name in first.ids.tolist()], dtype=np.intp)
