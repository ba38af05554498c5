"""Two runs side by side: the same encoders on the same images, before and after a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..results import Row, Run
from ..statistics import compare_seeds
from .cases import Cases, Key, load_cases
from .judge import comparison_record, shaped, without_test
from .model import Comparison
from .panels import correct

FAMILY = "second run minus first"


@dataclass(frozen=True)
class Change:
    """One encoder on one panel in both runs.

    Attributes:
        state: "same" (identical scores), "changed" (paired; see `comparison`), "not paired" (see `reason`),
            "only in first", "only in second".
        comparison: Second run minus first, Holm-corrected over all changed cells.
        reason: What differs in the identity of the cells: weights, preprocessing, settings, split, labels.
    """

    encoder: str
    task: str
    protocol: str
    state: str
    comparison: Comparison | None
    reason: str


@dataclass(frozen=True)
class RunDifference:
    """What differs between two runs."""

    changes: tuple[Change, ...]
    environment: tuple[tuple[str, str, str], ...]
    """(what, in the first run, in the second run)."""


def compare_runs(first: Run, second: Run, alpha: float = 0.05) -> RunDifference:
    """Every encoder and panel of two runs, paired image by image where both scored the same images.

    Args:
        first, second: From `results.read_run`.
        alpha: Level of the correction over all changed cells.
    """
    sides = load_cases(first), load_cases(second)
    changes = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        here, there = (side.get(key) for side in sides)
        encoders = dict.fromkeys([*(here.scores if here else ()), *(there.scores if there else ())])
        changes += [_change(key, e, here, there) for e in encoders]
    corrected = iter(correct([c.comparison for c in changes if c.comparison is not None], alpha))
    done = tuple(
        Change(c.encoder, c.task, c.protocol, c.state, next(corrected), c.reason) if c.comparison else c
        for c in changes
    )
    return RunDifference(done, _environment(first, second))


def _change(key: Key, encoder: str, here: Cases | None, there: Cases | None) -> Change:
    task, source, protocol, axes = key
    place = f"{task} from {source}" if source != task else task
    place += "".join(f" {k}={v}" for k, v in axes)
    in_first = here is not None and encoder in here.scores
    in_second = there is not None and encoder in there.scores
    if not in_first or not in_second or here is None or there is None:
        return Change(encoder, place, protocol, "only in first" if in_first else "only in second", None, "")
    before, after = here.rows[encoder][0], there.rows[encoder][0]
    reason = identity_differences(before, after)
    if not np.array_equal(here.image_ids, there.image_ids) or not np.array_equal(
        here.labels, there.labels, equal_nan=True
    ):
        return Change(encoder, place, protocol, "not paired", None, reason or "other test images or labels")
    seeds = [s for s in here.scores[encoder] if s in there.scores[encoder]]
    if not seeds:
        return Change(encoder, place, protocol, "not paired", None, "no seed in common")
    old, new = ([c.scores[encoder][s] for s in seeds] for c in (here, there))
    if all(np.array_equal(a, b) for a, b in zip(old, new, strict=True)):
        return Change(encoder, place, protocol, "same", None, reason)
    metric = after.metric
    name = "multilabel_macro_auroc" if metric == "macro_auroc" and here.labels.ndim == 2 else metric
    scores = np.stack([[shaped(s, metric) for s in side] for side in (new, old)])
    pair = compare_seeds(name, here.labels, scores, here.groups).pairs[0]
    record = comparison_record(pair, ("second run", "first run"), place, FAMILY)
    if not here.testable:
        record = without_test(record)
    return Change(encoder, place, protocol, "changed", record, reason)


def identity_differences(before: Row, after: Row) -> str:
    """Fields of a cell's identity that differ, as ``weights_sha256: a -> b``."""
    fields = [
        *("weights_sha256", "preprocess", "pooling", "precision", "config", "metric", "n_train"),
        *("split_fingerprint", "label_fingerprint"),
    ]
    found = []
    for name in fields:
        old, new = str(getattr(before, name)), str(getattr(after, name))
        if old != new:
            found.append(f"{name.replace('_', ' ')}: {_short(old)} -> {_short(new)}")
    return "; ".join(found)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:12]}…{text[-8:]}"


def _environment(first: Run, second: Run) -> tuple[tuple[str, str, str], ...]:
    found: list[tuple[str, str, str]] = []
    pairs: tuple[tuple[Mapping[str, str], Mapping[str, str]], ...] = (
        (first.info.versions, second.info.versions),
        (first.info.hardware, second.info.hardware),
        ({"commit": first.info.git_commit}, {"commit": second.info.git_commit}),
    )
    for old, new in pairs:
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                found.append((name, str(old.get(name, "–")), str(new.get(name, "–"))))
    return tuple(found)
