"""Label spaces of two tasks, brought together by the names of their classes, never by their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbench.api import Task
from benchbench.context import Part
from benchbench.errors import CellError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Bridge:
    """How scores of one task become scores of another."""

    columns: tuple[int, ...]
    """For each class of the target: its column among the source's scores."""
    narrowed: bool
    """The target lacks some of the source's classes: scores are renormalised over those it has."""
    flipped: bool = False
    """Binary tasks whose positive class is the other one's negative class."""

    @property
    def identical(self) -> bool:
        """Same classes in the same order."""
        return not self.narrowed and not self.flipped and self.columns == tuple(range(len(self.columns)))


_CLASSES = ("ordinal", "multiclass")
"""Kinds that both name one class per image; an order of the classes changes nothing about their scores."""


def names_of(*tasks: Task) -> list[tuple[str, ...]]:
    """Class names of each task as they are compared: without case, blanks and punctuation.

    Where that would leave a name empty or make two classes of a task one ("DR+" and "DR-"), punctuation counts.
    """
    loose = [tuple("".join(c for c in name.casefold() if c.isalnum()) for name in t.classes) for t in tasks]
    if all(all(names) and len(set(names)) == len(names) for names in loose):
        return loose
    return [tuple("".join(name.casefold().split()) for name in t.classes) for t in tasks]


def bridge(source: Task, target: Task) -> Bridge | None:
    """The bridge from `source` to `target`; None where their label spaces do not fit.

    Both must be of one kind, where ordinal and multiclass are one. Every class of the target must exist in the
    source by name; binary tasks fit where their positive classes have the same name, or where both names stand in
    the other order.
    """
    if source.kind != target.kind and not {source.kind, target.kind} <= set(_CLASSES):
        return None
    own, theirs = names_of(source, target)
    if source.kind == "binary":
        if own == theirs[::-1]:
            return Bridge((0,), False, flipped=True)
        return Bridge((0,), False) if own[1] == theirs[1] else None
    known = {name: i for i, name in enumerate(own)}
    if any(name not in known for name in theirs):
        return None
    columns = tuple(known[name] for name in theirs)
    return Bridge(columns, len(columns) < len(source.classes))


def translate(scores: np.ndarray, way: Bridge, kind: str) -> np.ndarray:
    """(n, K source) scores as (n, K target) scores."""
    import numpy as np

    if way.flipped:
        return 1 - scores
    moved = scores[:, list(way.columns)]
    if not way.narrowed or kind == "multilabel":
        return moved
    total = moved.sum(axis=1, keepdims=True)
    even = np.full_like(moved, 1 / moved.shape[1])
    return np.where(total > 0, moved / np.where(total > 0, total, 1), even)


def relabel(part: Part, own: Task, common: Task) -> Part:
    """A part whose labels are in the codes of `common` instead of those of its `own` task."""
    import numpy as np

    assert part.labels is not None
    way = bridge(common, own)
    if way is None:
        raise CellError(
            f"The classes of {part.dataset} ({', '.join(own.classes)}) are not among {', '.join(common.classes)}.",
            fix="train only on tasks whose classes have the same names",
        )
    if own.kind == "binary":
        labels = 1 - part.labels if way.flipped else part.labels
    elif own.kind == "multilabel":
        labels = np.full((len(part), len(common.classes)), np.nan)
        labels[:, list(way.columns)] = part.labels
    else:
        labels = np.asarray(way.columns, dtype=np.float64)[part.labels.astype(int)]
    return Part(part.dataset, part.split, part.image_ids, part.groups, labels, part.rows)
