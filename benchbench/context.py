"""What a protocol gets to work with while it computes one cell.

The context hands out training and validation labels freely, and the test split once per target, without its
labels: the runner attaches those to the predictions afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .api import EncoderInfo, Task
from .errors import CellError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Part:
    """The labelled images of one split of a dataset, in table order."""

    dataset: str
    split: str
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    """Patient or duplicate group of each image; images of one group never straddle a fold."""
    labels: np.ndarray | None
    """(n,) float64 class codes, or (n, L) with NaN for multilabel; None on a test split."""
    rows: np.ndarray
    """(n,) positions in the dataset's table."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def take(self, index: np.ndarray) -> Part:
        """The images at positions `index` of this part."""
        return Part(
            self.dataset,
            self.split,
            tuple(self.image_ids[i] for i in index),
            tuple(self.groups[i] for i in index),
            None if self.labels is None else self.labels[index],
            self.rows[index],
        )


class ImageSource(Protocol):
    """Prepared images of a part, as uint8 arrays in the encoder's input geometry."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """(b, H, W, 3) uint8 for an array of positions (b,)."""
        ...


class DataAccess(Protocol):
    """How a context reaches embeddings and images; the runner implements it on the store."""

    def embeddings(self, encoder: EncoderInfo, dataset: str) -> np.ndarray:
        """(n, D) float32 embeddings of the whole dataset table, memory-mapped."""
        ...

    def images(self, encoder: EncoderInfo, dataset: str) -> ImageSource:
        """Prepared uint8 images of the whole dataset table."""
        ...

    def part(self, task: str, split: str) -> Part:
        """Labelled images of `task` ("dataset/task") in `split`; without the labels of what a cell is judged on."""
        ...

    def task(self, task: str) -> Task:
        """The task called "dataset/task"."""
        ...

    def shared_pictures(self, first: str, second: str) -> tuple[tuple[str, str], ...]:
        """(image of the first dataset, image of the second) for every picture that both hold, re-encoded or not."""
        ...


@dataclass
class CellContext:
    """Everything a protocol's `run` may use."""

    encoder: EncoderInfo
    weights: Path | None
    precision: str
    """"fp32", "bf16" or "fp16" for the forward pass of the encoder."""
    task_name: str
    targets: tuple[str, ...]
    axes: Mapping[str, str]
    config: Any
    """Instance of the protocol's config model."""
    metric: str
    """Declared primary metric of the task; models are selected on it."""
    seed: int
    device: str
    threads: int
    scratch: Path
    """Folder for this cell's own files (checkpoints); survives a kill, removed when the cell is done."""
    data: DataAccess
    progress: Callable[[int, int, str], None] = lambda done, total, note: None
    """progress(done, total, note)"""
    also_train: tuple[str, ...] = ()
    """Further tasks that the cell trains on; empty for most protocols."""

    def __post_init__(self) -> None:
        self._opened: set[str] = set()

    @property
    def task(self) -> Task:
        """The task the cell trains on."""
        return self.data.task(self.task_name)

    @property
    def train(self) -> Part:
        """Labelled training images of the task."""
        return self.data.part(self.task_name, "train")

    @property
    def validation(self) -> Part | None:
        """Labelled validation images, or None where the split has none."""
        part = self.data.part(self.task_name, "val")
        return part if len(part) else None

    def open_test(self, target: str) -> Part:
        """The test images of one target, without labels. Each target opens once, as the last step."""
        if target not in self.targets:
            raise CellError(f"This cell may not open the test split of {target}.", where=self.task_name)
        if target in self._opened:
            raise CellError(
                f"The test split of {target} was opened twice in one cell.",
                where=self.task_name,
                fix="predict all test images in one step, after every choice has been made",
            )
        self._opened.add(target)
        return replace(self.data.part(target, self._target_split(target)), labels=None)

    def _target_split(self, target: str) -> str:
        whole = getattr(self.config, "target", "test") == "whole"
        other_dataset = target.rpartition("/")[0] != self.task_name.rpartition("/")[0]
        return "all" if whole and other_dataset else "test"

    def features(self, part: Part) -> np.ndarray:
        """(n, D) float32 embeddings of the images of a part."""
        import numpy as np

        return np.asarray(self.data.embeddings(self.encoder, part.dataset)[part.rows], dtype=np.float32)

    def images(self, part: Part) -> ImageSource:
        """Prepared images of a part: `images(part)[positions]` gives (b, H, W, 3) uint8."""
        return _Rows(self.data.images(self.encoder, part.dataset), part.rows)

    def load_encoder(self) -> Any:
        """The encoder as a torch module on the cell's device, in eval mode."""
        from .encoder_faults import load_module

        return load_module(self.encoder, self.weights, self.device)


@dataclass(frozen=True)
class _Rows:
    """An image source restricted to some rows."""

    source: ImageSource
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        return self.source[self.rows[index]]
