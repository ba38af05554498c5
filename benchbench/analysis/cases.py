"""From rows and predictions to cases: for every panel, labels, patients and scores on the same images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..results import DatasetRecord, Row, Run
from .model import FloatArray

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str, tuple[tuple[str, str], ...]]
"""(target task, training task, protocol, axes): what makes a panel."""


@dataclass(frozen=True)
class Scored:
    """Predictions of one cell on one target and split, in file order."""

    image_ids: NDArray[np.object_]
    groups: NDArray[np.object_]
    labels: FloatArray
    """(n,) class codes, or (n, L) for multi-label tasks."""
    scores: FloatArray
    """(n, K)."""


@dataclass(frozen=True)
class Cases:
    """One panel's cases: every encoder and seed scored the same n images.

    Attributes:
        groups: Patient of each image, (n,); None where every image is its own patient.
        identified: Whether patient identifiers are known at all.
        scores: encoder -> seed -> (n, K).
        validation: encoder -> seed -> validation predictions, where the protocol kept them.
        rows: encoder -> its rows, in seed order.
        paired_eyes: Whether the data set usually holds several images of a patient.
        refused: encoder -> why it is left out of the comparisons.
    """

    key: Key
    labels: FloatArray
    groups: NDArray[np.object_] | None
    identified: bool
    image_ids: NDArray[np.object_]
    scores: Mapping[str, Mapping[int, FloatArray]]
    validation: Mapping[str, Mapping[int, Scored]]
    rows: Mapping[str, tuple[Row, ...]]
    refused: Mapping[str, str]
    paired_eyes: bool = False

    @property
    def n(self) -> int:
        """Test images."""
        return len(self.labels)

    @property
    def testable(self) -> bool:
        """False where images of one patient cannot be told from those of two, so that no interval would be valid."""
        return self.identified or not self.paired_eyes


class Predictions:
    """The predictions of a run, found by cell, target and split."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._columns = {name: frame[name].to_numpy() for name in ("image_id", "group", "y_true", "scores")}
        self._where: dict[tuple[str, str, str], NDArray[np.intp]] = {}
        if len(frame):
            found: dict[Any, Any] = dict(
                frame.groupby(["cell_id", "task", "split"], sort=False, observed=True).indices
            )
            for (cell_id, task, split), at in found.items():
                self._where[str(cell_id), str(task), str(split)] = np.asarray(at)

    def find(self, cell_id: str, task: str, split: str) -> Scored | None:
        """The predictions of a cell, or None where there are none."""
        at = self._where.get((cell_id, task, split))
        if at is None:
            return None
        return Scored(
            self._columns["image_id"][at].astype(object),
            self._columns["group"][at].astype(object),
            _matrix(self._columns["y_true"][at]),
            np.stack(list(self._columns["scores"][at])).astype(np.float64),
        )


def _matrix(values: NDArray[Any]) -> FloatArray:
    if values.dtype != object:
        return values.astype(np.float64)
    stacked = np.stack([np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in values])
    return stacked[:, 0] if stacked.shape[1] == 1 else stacked


def panel_keys(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Rows by panel, in file order."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        axes = tuple(sorted((str(k), str(v)) for k, v in json.loads(row.axes or "{}").items()))
        found.setdefault((row.task, row.source_task, row.protocol, axes), []).append(row)
    return found


def cases_of(
    key: Key, rows: list[Row], predictions: Predictions, dataset: DatasetRecord | None
) -> Cases | None:
    """The cases of one panel; None when no cell of it is done."""
    scores: dict[str, dict[int, FloatArray]] = {}
    validation: dict[str, dict[int, Scored]] = {}
    refused: dict[str, str] = {}
    by_encoder: dict[str, list[Row]] = {}
    done = [
        (row, found)
        for row in rows
        if row.status == "done" and (found := predictions.find(row.cell_id, row.task, "test")) is not None
    ]
    if not done:
        return None
    reference = _reference([(row.encoder, found) for row, found in done])
    for row, found in done:
        aligned, problem = _align(found, reference)
        if aligned is None:
            refused[row.encoder] = problem
            continue
        scores.setdefault(row.encoder, {})[row.seed] = aligned
        by_encoder.setdefault(row.encoder, []).append(row)
        held_out = predictions.find(row.cell_id, row.task, "validation")
        if held_out is not None:
            validation.setdefault(row.encoder, {})[row.seed] = held_out
    groups, identified = _patients(reference)
    if dataset is not None and dataset.cluster is None:
        identified = False  # its groups are images, joined where their files are identical
    return Cases(
        key,
        reference.labels,
        groups,
        identified,
        reference.image_ids,
        {e: dict(sorted(s.items())) for e, s in scores.items() if e not in refused},
        validation,
        {e: tuple(sorted(r, key=lambda row: row.seed)) for e, r in by_encoder.items()},
        refused,
        dataset is not None and dataset.paired_eyes,
    )


def _reference(found: list[tuple[str, Scored]]) -> Scored:
    """The predictions whose images and labels most encoders share; the first of them where several sets tie."""
    first = found[0][1]
    if all(not _align(scored, first)[1] for _, scored in found):
        return first
    encoders: dict[str, set[str]] = {}
    members: dict[str, Scored] = {}
    for encoder, scored in found:
        order = np.argsort(scored.image_ids.astype(str), kind="stable")
        digest = hashlib.sha256("\0".join(map(str, scored.image_ids[order])).encode())
        digest.update(np.ascontiguousarray(scored.labels[order]).tobytes())
        encoders.setdefault(digest.hexdigest(), set()).add(encoder)
        members.setdefault(digest.hexdigest(), scored)
    return members[max(encoders, key=lambda d: len(encoders[d]))]


def _align(found: Scored, reference: Scored) -> tuple[FloatArray | None, str]:
    """Scores of `found` in the order of `reference`, or why they cannot be paired."""
    order: NDArray[np.intp] | slice = slice(None)
    if not np.array_equal(found.image_ids, reference.image_ids):
        position = {image: i for i, image in enumerate(found.image_ids)}
        if len(position) != len(reference.image_ids) or any(i not in position for i in reference.image_ids):
            return None, "its test images are not those of the other encoders"
        order = np.array([position[i] for i in reference.image_ids], dtype=np.intp)
    if not np.array_equal(found.labels[order], reference.labels, equal_nan=True):
        return None, "its test labels are not those of the other encoders"
    if not np.isfinite(found.scores).all():
        return None, "its scores hold NaN or infinite values"
    return found.scores[order], ""


def _patients(reference: Scored) -> tuple[NDArray[np.object_] | None, bool]:
    """Patients of the cases, and whether any are named. A case without one is its own patient."""
    named = np.array([g not in ("", None) and g == g for g in reference.groups], dtype=bool)
    if not named.any():
        return None, False
    groups = np.where(
        named, reference.groups, np.array([f"image {i}" for i in reference.image_ids], dtype=object)
    )
    if len(set(groups.tolist())) == len(groups):
        return None, True
    return groups, True


def load_cases(run: Run) -> dict[Key, Cases]:
    """The cases of every panel of a run that has results."""
    predictions = Predictions(run.predictions)
    datasets = {d.name: d for d in run.info.datasets}
    found = {}
    for key, rows in panel_keys(run.rows).items():
        cases = cases_of(key, rows, predictions, datasets.get(key[0].rpartition("/")[0]))
        if cases is not None:
            found[key] = cases
    return found


patients_of = _patients
"""The leaderboard names patients by the same rule."""
