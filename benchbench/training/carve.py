"""A validation split carved out of the training images, where a dataset's split has none."""

from __future__ import annotations

import numpy as np

from ..context import Part
from .selection import both_kinds


def carve_validation(train: Part, share: float) -> tuple[Part, Part]:
    """Split training images into (training, validation): whole patients, balanced classes, the same for every seed.

    With few patients a share may hold one class only, on which nothing can be chosen; it then grows, up to one half.
    """
    assert train.labels is not None
    first = max(1, round(100 * share))
    for percent in (first, *range(first + 5, 51, 5)):
        chosen = _held_out(train, percent)
        if both_kinds(train.labels[chosen]) and both_kinds(train.labels[~chosen]):
            break
    else:
        chosen = _held_out(train, first)
    return train.take(np.flatnonzero(~chosen)), train.take(np.flatnonzero(chosen))


def _held_out(train: Part, percent: int) -> np.ndarray:
    """(n,) bool."""
    from ..splits import SplitSpec, make_split

    assert train.labels is not None
    spec = SplitSpec("grouped_stratified", seed=0, ratios=(100 - percent, 0, percent))
    parts = make_split(
        spec, list(train.image_ids), [""] * len(train), class_columns(train.labels), list(train.groups)
    )
    return np.array([p == "test" for p in parts])


def class_columns(labels: np.ndarray) -> np.ndarray:
    """(n, C) zeros and ones: one column per class, or per label its positives and its negatives."""
    if labels.ndim == 2:
        known = ~np.isnan(labels)
        return np.column_stack([(labels == 1) & known, (labels == 0) & known]).astype(float)
    return (labels[:, None] == np.unique(labels)[None, :]).astype(float)
