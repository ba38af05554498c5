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

    @property
    def identical(self) -> bool:
        """Same classes in the same order."""
        return not self.narrowed and self.columns == tuple(range(len(self.columns)))


def normal(name: str) -> str:
    """A class name without case, blanks and punctuation."""
    return "".join(c for c in name.lower() if c.isalnum())


def bridge(source: Task, target: Task) -> Bridge | None:
    """The bridge from `source` to `target`; None where their label spaces do not fit.

    Both must be of one kind. Every class of the target must exist in the source by name; binary tasks fit where
    their positive classes have the same name.
    """
    if source.kind != target.kind:
        return None
    if source.kind == "binary":
        return Bridge((0,), False) if normal(source.classes[1]) == normal(target.classes[1]) else None
    known = {normal(name): i for i, name in enumerate(source.classes)}
    if any(normal(name) not in known for name in target.classes):
        return None
    columns = tuple(known[normal(name)] for name in target.classes)
    return Bridge(columns, len(columns) < len(source.classes))


def translate(scores: np.ndarray, way: Bridge, kind: str) -> np.ndarray:
    """(n, K source) scores as (n, K target) scores."""
    import numpy as np

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
        labels = part.labels
    elif own.kind == "multilabel":
        labels = np.full((len(part), len(common.classes)), np.nan)
        labels[:, list(way.columns)] = part.labels
    else:
        labels = np.asarray(way.columns, dtype=np.float64)[part.labels.astype(int)]
    return Part(part.dataset, part.split, part.image_ids, part.groups, labels, part.rows)
