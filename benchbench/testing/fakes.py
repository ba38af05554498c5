"""Fakes for the tests of protocols: a cell context on small arrays, no files and no encoder weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import HALF, EncoderInfo, Preprocess, Task
from ..context import CellContext, Part

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class FakeDataset:
    """A dataset held in memory."""

    name: str
    frame: pd.DataFrame
    """Columns ``image_id``, ``patient_id``, ``split`` and the label columns, as `DatasetInfo.load` returns."""
    tasks: tuple[Task, ...]
    embeddings: np.ndarray | None = None
    """(n, D) float32"""
    images: np.ndarray | None = None
    """(n, H, W, 3) uint8"""
    pictures: tuple[str, ...] = ()
    """What each image shows: two datasets share a picture of one name. Empty: nothing is shared."""


@dataclass
class FakeData:
    """`context.DataAccess` on datasets in memory; `reads` remembers every part that was asked for."""

    datasets: Mapping[str, FakeDataset]
    reads: list[tuple[str, str]] = field(default_factory=list)

    def embeddings(self, encoder: EncoderInfo, dataset: str) -> np.ndarray:
        """(n, D) embeddings of the whole table."""
        found = self.datasets[dataset].embeddings
        assert found is not None, f"{dataset} has no embeddings"
        return found

    def images(self, encoder: EncoderInfo, dataset: str) -> Any:
        """(n, H, W, 3) images of the whole table."""
        found = self.datasets[dataset].images
        assert found is not None, f"{dataset} has no images"
        return found

    def part(self, task: str, split: str) -> Part:
        """Labelled images of a task in one split ("all": every labelled image); as in a run, no test labels."""
        self.reads.append((task, split))
        part = self.labelled(task, split)
        return part if split in ("train", "val") else replace(part, labels=None)

    def labelled(self, task: str, split: str) -> Part:
        """The same with the labels of test images as well, for whoever judges predictions."""
        import numpy as np

        dataset = self.datasets[task.rpartition("/")[0]]
        labels = self.task(task).labels(dataset.frame)
        known = ~np.isnan(labels) if labels.ndim == 1 else ~np.isnan(labels).all(axis=1)
        inside = (
            np.ones(len(labels), bool) if split == "all" else (dataset.frame["split"] == split).to_numpy()
        )
        rows = np.flatnonzero(known & inside)
        frame = dataset.frame.iloc[rows]
        return Part(
            dataset.name, split, tuple(frame["image_id"]), tuple(frame["patient_id"]), labels[rows], rows
        )

    def task(self, task: str) -> Task:
        """The task called "dataset/task"."""
        dataset, _, name = task.rpartition("/")
        return next(t for t in self.datasets[dataset].tasks if t.name == name)

    def shared_pictures(self, first: str, second: str) -> tuple[tuple[str, str], ...]:
        """Images with one name in `FakeDataset.pictures`."""
        one, two = (self.datasets[name] for name in (first, second))
        both = [
            (a, b)
            for a, shows in zip(one.frame["image_id"], one.pictures, strict=False)
            for b, also in zip(two.frame["image_id"], two.pictures, strict=False)
            if shows == also
        ]
        return tuple(both)


def fake_encoder(embed_dim: int = 32, size: int = 32, load: Any = None, name: str = "fake") -> EncoderInfo:
    """An encoder card; `load(weights, device)` is only needed by protocols that train on images."""

    def no_model(weights: Path | None, device: str) -> Any:
        raise AssertionError("this fake encoder has no model")

    return EncoderInfo(
        name=name,
        title="Fake encoder",
        architecture="none",
        embed_dim=embed_dim,
        preprocess=Preprocess("eval", size, resize="squash", mean=HALF, std=HALF),
        pooling="none",
        load=load or no_model,
        weights=None,
        licence="Apache-2.0",
        citation="",
    )


def fake_context(
    datasets: Mapping[str, FakeDataset],
    task: str,
    config: Any,
    scratch: Path,
    *,
    targets: tuple[str, ...] | None = None,
    axes: Mapping[str, str] | None = None,
    also_train: tuple[str, ...] = (),
    encoder: EncoderInfo | None = None,
    seed: int = 0,
    metric: str | None = None,
    precision: str = "fp32",
) -> CellContext:
    """A cell context on datasets in memory; by default the cell is evaluated on its own task."""
    data = FakeData(datasets)
    return CellContext(
        encoder=encoder or fake_encoder(),
        weights=None,
        precision=precision,
        task_name=task,
        targets=targets or (task,),
        axes=axes or {},
        config=config,
        metric=metric or data.task(task).metric,
        seed=seed,
        device="cpu",
        threads=1,
        scratch=scratch,
        data=data,
        also_train=also_train,
    )


def toy_dataset(
    name: str = "toy",
    *,
    n: int = 180,
    classes: int = 3,
    labels: int = 0,
    dim: int = 32,
    validation: bool = False,
    separation: float = 1.5,
    seed: int = 0,
    image_size: int = 0,
) -> FakeDataset:
    """Gaussian embeddings with one mean per class; two images per patient, a third of the patients for testing.

    The tasks are ``grade`` (ordinal, `classes` codes) and ``any`` (binary, grade > 0); with `labels` > 0 also
    ``signs`` (multilabel) and one binary task per sign. With `image_size`, images whose brightness follows the
    grade.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    patients = np.arange(n) // 2
    grade = (patients % classes).astype(float)
    directions = np.random.default_rng(12345).normal(size=(classes + labels, dim))
    X = rng.normal(size=(n, dim)) + separation * directions[grade.astype(int)]
    signs = rng.random((n, labels)) < 0.4
    X += separation * signs @ directions[classes:] if labels else 0
    turn = (patients // classes) % 6
    split = np.where(turn < 2, "test", np.where((turn == 2) & validation, "val", "train"))
    frame = pd.DataFrame(
        {
            "image_id": [f"{name}-{i:04d}" for i in range(n)],
            "patient_id": [f"{name}-p{p:03d}" for p in patients],
            "split": split,
            "grade": grade,
        }
    )
    for j in range(labels):
        frame[f"sign{j}"] = signs[:, j].astype(float)
    names = tuple(f"grade {k}" for k in range(classes))
    tasks = [
        Task("grade", "Grade", "ordinal", names, column="grade"),
        Task(
            "any", "Any", "binary", ("absent", "present"), column="grade", positive=tuple(range(1, classes))
        ),
    ]
    if labels:
        columns = tuple(f"sign{j}" for j in range(labels))
        tasks.append(Task("signs", "Signs", "multilabel", columns, columns=columns))
        tasks += [Task(c, c, "binary", ("absent", "present"), column=c) for c in columns]
    images = None
    if image_size:
        images = rng.integers(0, 60, size=(n, image_size, image_size, 3), dtype=np.uint8)
        half = image_size // 2
        for i in range(n):
            images[i, :half, : int(half * (1 + grade[i]) / classes)] += 150
    return FakeDataset(name, frame, tuple(tasks), X.astype(np.float32), images)
