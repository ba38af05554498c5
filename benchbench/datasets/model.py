"""A dataset as it is used: its table, its split, its fingerprints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from ..api import DatasetInfo, Task
from ..context import Part
from ..errors import DataError
from ..splits import PARTS, SplitSpec, split_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SIMULATED_MARKER = "SIMULATED.txt"


def label_files(root: Path) -> str:
    """The label tables below a dataset's folder, for a message; the folder itself where its folders are the labels."""
    tables = [p for p in sorted(root.rglob("*")) if p.suffix.lower() in (".csv", ".tsv", ".xls", ".xlsx")]
    more = [f"and {len(tables) - 4} more"] if len(tables) > 4 else []
    return ", ".join([*map(str, tables[:4]), *more]) or str(root)


class FilePaths(Sequence[Path]):
    """Paths kept as text until one is asked for: a million Path objects cost ten seconds and 300 MB."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> FilePaths: ...
    def __getitem__(self, index: int | slice) -> Path | FilePaths:
        if isinstance(index, slice):
            return FilePaths(self._texts[index])
        return Path(self._texts[index])


@dataclass(frozen=True, eq=False)
class LoadedDataset:
    """A dataset that was read, checked and split.

    `frame` has the contract's columns, in the order the plugin gave, plus ``sha256`` and ``group`` (patient, where
    there is one, joined with files of identical bytes); ``split`` holds the split that `split` asked for, and
    ``official_split`` the one that came with the data.
    """

    info: DatasetInfo
    root: Path
    frame: pd.DataFrame
    options: Mapping[str, str]
    split: SplitSpec
    simulated: bool
    split_fingerprint: str
    image_fingerprint: str
    notes: tuple[str, ...] = ()
    """What a reader of the results should know: duplicates, conflicts, images without label."""

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.info.name

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def paths(self) -> Sequence[Path]:
        """Image files, in table order."""
        return FilePaths([str(p) for p in self.frame["path"].tolist()])

    @cached_property
    def sha256(self) -> tuple[str, ...]:
        """sha256 of each image file, in table order."""
        return tuple(self.frame["sha256"].tolist())

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """Identifier of each image, in table order."""
        return tuple(self.frame["image_id"].tolist())

    @property
    def patients(self) -> int | None:
        """How many patients there are, or None without identifiers."""
        if self.info.cluster is None or self.info.cluster not in self.frame:
            return None
        column = self.frame[self.info.cluster]
        return int(column[column != ""].nunique())

    @property
    def split_text(self) -> str:
        """The split as text, one image a line; `split_fingerprint` is its hash."""
        return split_text(list(self.frame["image_id"]), list(self.frame["split"]))

    def labels(self, task: Task | str) -> np.ndarray:
        """Labels of every row: (n,) float64, or (n, L) for multilabel; NaN where not labelled."""
        return self._task(task).labels(self.frame)

    def label_fingerprint(self, task: Task | str) -> str:
        """32 hex digits over classes and the label of every image."""
        import numpy as np

        found = self._task(task)
        columns = []
        for column in np.atleast_2d(self.labels(found).T):
            values, codes = np.unique(column, return_inverse=True)
            texts = np.array([format(v, "g") for v in values], dtype=object)
            columns.append(texts[codes].tolist())
        rows = zip(self.image_ids, zip(*columns, strict=True), strict=True)
        digest = hashlib.sha256(repr((found.kind, found.classes)).encode())
        digest.update("".join(f"{image_id}\t{' '.join(row)}\n" for image_id, row in rows).encode())
        return digest.hexdigest()[:32]

    def part(self, task: Task | str, split: str) -> Part:
        """The labelled images of `split` ("train", "val", "test", or "all" for every labelled image)."""
        import numpy as np

        labels = self.labels(task)
        labelled = ~np.isnan(labels) if labels.ndim == 1 else ~np.isnan(labels).all(axis=1)
        wanted = labelled if split == "all" else labelled & (self.frame["split"] == split).to_numpy()
        rows = np.flatnonzero(wanted)
        groups = self.frame["group"].to_numpy()
        ids = self.image_ids
        return Part(
            self.name,
            split,
            tuple(ids[i] for i in rows),
            tuple(str(groups[i]) for i in rows),
            labels[rows],
            rows,
        )

    def counts(self, task: Task | str) -> dict[str, dict[str, int]]:
        """split -> class name -> labelled images (for multilabel: images that carry the label)."""
        import numpy as np

        found = self._task(task)
        result = {}
        for split in PARTS:
            labels = self._labels_in(found, split)
            if found.kind == "multilabel":
                numbers = [int(np.nansum(labels[:, i] == 1)) for i in range(len(found.classes))]
            else:
                numbers = [int((labels == i).sum()) for i in range(len(found.classes))]
            result[split] = dict(zip(found.classes, numbers, strict=True))
        return result

    def _labels_in(self, task: Task, split: str) -> np.ndarray:
        return self.labels(task)[(self.frame["split"] == split).to_numpy()]

    def check_task(self, task: Task | str, split: str) -> tuple[str, ...]:
        """Notes on classes that are missing from `split`, which is "train" or "test".

        Raises:
            DataError: no labelled image, or images of one class only, so that nothing can be learned or judged.
        """
        import numpy as np

        found = self._task(task)
        full, counts = f"{self.name}/{found.name}", self.counts(found)[split]
        absent = [c for c, n in counts.items() if n == 0]
        if np.isnan(self._labels_in(found, split)).all():
            raise self._split_error(f"{full}: the {split} split has no labelled image to {split} on.")
        if found.kind != "multilabel" and len(absent) > len(counts) - 2:
            names = ", ".join(f"class {c!r}" for c in absent)
            raise self._split_error(f"{full}: the {split} split has no image of {names}.")
        if not absent:
            return ()
        return (f"{full}: no {split} image of {', '.join(absent)}; these classes cannot be judged",)

    def _split_error(self, what: str) -> DataError:
        count = {p: int((self.frame["split"] == p).sum()) for p in PARTS}
        sizes = ", ".join(f"{p} {n}" for p, n in count.items())
        if self.split.kind == "official" and not count["train"]:
            return DataError(
                what,
                where=f"split {self.split} ({sizes}) of {label_files(self.root)}",
                fix="the whole set is for testing: train on another one (transfer: config: {sources: [...]}), "
                f"or make a new split (datasets: {self.name}: split: grouped_stratified)",
            )
        return DataError(
            what,
            where=f"split {self.split} ({sizes}) of {label_files(self.root)}",
            fix=f"choose another split or seed in the suite (datasets: {self.name}: split: ...), "
            f"or check the files with: bench data verify {self.name}",
        )

    def _task(self, task: Task | str) -> Task:
        return self.info.task(task) if isinstance(task, str) else task
