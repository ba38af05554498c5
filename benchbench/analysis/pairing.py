"""One encoder, trained in two ways and judged on the same test images: the paired test between the two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..statistics import compare, compare_seeds
from .cases import Cases
from .judge import comparison_record, shaped
from .model import Comparison


def paired_test(
    encoder: str,
    metric: str,
    first: Cases,
    second: Cases,
    names: tuple[str, str],
    panel: str,
    family: str,
) -> Comparison | None:
    """First minus second on the first's test images, over the seeds that both finished; uncorrected.

    Args:
        names: What the two ways are called in the record.

    Returns:
        None where no valid pair exists: no common seed, an image or a label that the second lacks, or several
        images of patients that are not named.
    """
    seeds = shared_seeds(encoder, first, second)
    order = positions(first, second)
    if not seeds or order is None or not first.testable:
        return None
    scores = np.stack(
        [
            [shaped(first.scores[encoder][s], metric) for s in seeds],
            [shaped(second.scores[encoder][s][order], metric) for s in seeds],
        ]
    )
    name = "multilabel_macro_auroc" if metric == "macro_auroc" and first.labels.ndim == 2 else metric
    if len(seeds) == 1:
        pair = compare(name, first.labels, scores[:, 0], first.groups).pairs[0]
    else:
        pair = compare_seeds(name, first.labels, scores, first.groups).pairs[0]
    return comparison_record(pair, names, panel, family)


def shared_seeds(encoder: str, first: Cases, second: Cases) -> list[int]:
    """Seeds that the encoder finished in both."""
    return [s for s in first.scores.get(encoder, {}) if s in second.scores.get(encoder, {})]


def positions(first: Cases, second: Cases) -> NDArray[np.intp] | None:
    """Where the first's images stand in the second; None where one is missing or labelled otherwise."""
    at = {image: i for i, image in enumerate(second.image_ids)}
    if any(image not in at for image in first.image_ids):
        return None
    order = np.array([at[image] for image in first.image_ids], dtype=np.intp)
    return order if np.array_equal(second.labels[order], first.labels, equal_nan=True) else None
