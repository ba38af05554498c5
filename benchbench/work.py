"""The work of a run: embedding the datasets and computing cells, each result published atomically."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import CellOutput, EncoderInfo, Task
from .claims import claim, holder
from .context import CellContext, ImageSource, Part
from .engines.gpu import pinned
from .engines.shared import SharedPlan
from .errors import BenchError, CellError
from .machine import usable_cores
from .plan import Cell, Plan
from .results import PREDICTION_COLUMNS, with_uniform_labels
from .store import Artefact, Store, atomic_write
from .survey import EncoderState, Survey

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .embedding import EmbedRequest, ImageSet

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result."""

    cell: str
    reason: str


def embed_request(state: EncoderState) -> EmbedRequest:
    """What the embedding engine needs to know of an encoder."""
    from .embedding import EmbedRequest

    return EmbedRequest(
        state.info, state.weights.path, state.weights.sha256, precision=state.precision, backend=state.backend
    )


def image_set(survey: Survey, dataset: str) -> ImageSet:
    """All images of a dataset, in table order."""
    from .embedding import ImageSet

    data = survey.datasets[dataset].loaded
    assert data is not None
    return ImageSet(dataset, data.paths, data.sha256)


class StoreAccess:
    """Embeddings, images and labels of a survey, read from the store (see `context.DataAccess`)."""

    def __init__(self, survey: Survey, store: Store, device: str) -> None:
        self.survey, self.store, self.device = survey, store, device
        self._embeddings: dict[tuple[str, str], Any] = {}

    def embeddings(self, encoder: EncoderInfo, dataset: str) -> np.ndarray:
        from .embedding import embed

        state = next(e for e in self.survey.encoders if e.info is encoder)
        key = (state.label, dataset)
        if key not in self._embeddings:
            for _ in range(2):  # a damaged shard is set aside and computed again, once
                request = embed_request(state)
                found = embed(self.store, [request], image_set(self.survey, dataset), device=self.device)
                self._embeddings[key] = rows = next(iter(found.values()))
                if not (fault := rows.fault):
                    break
                self.store.quarantine(rows.artefact, fault)
        return self._embeddings[key]

    def images(self, encoder: EncoderInfo, dataset: str) -> ImageSource:
        from .embedding import prepared_images

        return prepared_images(self.store, encoder.preprocess, image_set(self.survey, dataset))

    def part(self, task: str, split: str) -> Part:
        data = self.survey.datasets[task.rpartition("/")[0]].loaded
        assert data is not None
        return data.part(self.task(task), split)

    def task(self, task: str) -> Task:
        return self.survey.task(task)

    def sha256(self, dataset: str) -> tuple[str, ...]:
        data = self.survey.datasets[dataset].loaded
        assert data is not None
        return data.sha256


def embed_all(
    cells: Iterable[Cell], survey: Survey, store: Store, device: str, progress: Progress
) -> dict[str, str]:
    """Embed every dataset for every encoder that the cells need; decoding each image once for all encoders.

    Returns the failures: "encoder label/dataset" -> reason. An encoder that fails does not stop the others.
    """
    from .embedding import embed

    failures: dict[str, str] = {}
    for dataset, encoders in needed_embeddings(cells).items():
        images = image_set(survey, dataset)
        requests = [embed_request(e) for e in encoders.values()]
        try:
            embed(store, requests, images, device=device, progress=progress)
        except BenchError as error:
            log.warning("embedding %s together failed (%s): one encoder at a time", dataset, error.what)
            failures |= _embed_singly(encoders, images, dataset, store, device, progress)
    return failures


@dataclass(frozen=True)
class EmbedJob:
    """Some parts of a dataset, for some encoders, as a job that any engine can run."""

    plan: Plan | SharedPlan
    dataset: str
    encoders: tuple[str, ...]
    parts: frozenset[int]
    store_root: Path
    device: str

    def __call__(self) -> str:
        """Empty, or why the parts are not there; whoever publishes them finds out again."""
        from .embedding import embed_share

        plan = self.plan.load() if isinstance(self.plan, SharedPlan) else self.plan
        states = [e for e in plan.survey.encoders if e.label in self.encoders]
        images = image_set(plan.survey, self.dataset)
        try:
            embed_share(
                Store(self.store_root),
                [embed_request(e) for e in states],
                images,
                self.parts,
                device=pinned(self.device, self.store_root),
                threads=usable_cores(),  # as the local engine: the last bits of a sum depend on it
            )
        except BenchError as error:
            return error.block()
        return ""


@dataclass(frozen=True)
class PublishJob:
    """Joining the parts that workers have computed, and computing whatever they did not, as a job of its own.

    It needs the device as well, which the process that gives out the work may not have (a cluster's login node).
    """

    plan: Plan | SharedPlan
    positions: tuple[int, ...]
    store_root: Path
    device: str

    def __call__(self) -> dict[str, str]:
        """The failures, as `embed_all` returns them."""
        plan = self.plan.load() if isinstance(self.plan, SharedPlan) else self.plan
        cells = [plan.cells[i] for i in self.positions]
        device = pinned(self.device, self.store_root)
        return embed_all(cells, plan.survey, Store(self.store_root), device, lambda done, total, note: None)


def embed_jobs(
    source: SharedPlan, cells: Iterable[Cell], survey: Survey, store: Store, device: str, workers: int
) -> list[EmbedJob]:
    """The embedding work of the cells, cut so that every worker gets several pieces."""
    from .embedding import parts_to_do

    jobs = []
    for dataset, encoders in needed_embeddings(cells).items():
        requests = [embed_request(e) for e in encoders.values()]
        todo = parts_to_do(store, requests, image_set(survey, dataset), device=device)
        size = max(1, -(-len(todo) // (4 * workers)))
        for first in range(0, len(todo), size):
            parts = frozenset(todo[first : first + size])
            jobs.append(EmbedJob(source, dataset, tuple(encoders), parts, store.root, device))
    return jobs


def needed_embeddings(cells: Iterable[Cell]) -> dict[str, dict[str, EncoderState]]:
    """Dataset -> encoders by label, for the cells that work on embeddings."""
    needed: dict[str, dict[str, EncoderState]] = {}
    for cell in cells:
        if cell.protocol.info.needs == "embeddings":
            for name in cell.spec.tasks:
                needed.setdefault(name.rpartition("/")[0], {})[cell.encoder.label] = cell.encoder
    return needed


def _embed_singly(
    encoders: dict[str, EncoderState],
    images: ImageSet,
    dataset: str,
    store: Store,
    device: str,
    progress: Progress,
) -> dict[str, str]:
    from .embedding import embed

    failures = {}
    for label, state in encoders.items():
        try:
            embed(store, [embed_request(state)], images, device=device, progress=progress)
        except BenchError as error:
            failures[f"{label}/{dataset}"] = error.block()
    return failures


@dataclass(frozen=True)
class Busy:
    """Another process is computing this cell."""

    holder: str


@dataclass(frozen=True)
class Found:
    """Another process had computed this cell by the time its turn came."""

    artefact: Artefact


@dataclass(frozen=True)
class CellJob:
    """One cell as a job that any engine can run."""

    plan: Plan | SharedPlan
    position: int
    store_root: Path
    device: str
    wait: bool = False
    """Wait for another process that computes the cell, instead of answering that it is busy."""

    def __call__(self) -> Artefact | Failure | Found | Busy:
        plan = self.plan.load() if isinstance(self.plan, SharedPlan) else self.plan
        device = pinned(self.device, self.store_root) if isinstance(self.plan, SharedPlan) else self.device
        cell = plan.cells[self.position]
        store = Store(self.store_root)
        with claim(store, cell.id, wait=self.wait) as ours:
            if not ours:
                return Busy(holder(store, cell.id) or "another process")
            if (found := store.find("predictions", cell.id)) is not None:
                return Found(found)
            return compute_cell(cell, plan.survey, store, device=device)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Bound the threads of every numerical library: more threads than free cores slow a probe down many times."""
    import numpy  # noqa: F401  (loads the library that is to be bound)
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=number):
        yield


def threads_for(cell: Cell) -> int:
    """Threads of a cell: one for probes, whose sums would otherwise depend on how many cores a machine has."""
    return 1 if cell.protocol.info.needs == "embeddings" else usable_cores()


def compute_cell(
    cell: Cell, survey: Survey, store: Store, *, device: str, progress: Progress | None = None
) -> Artefact | Failure:
    """Compute one cell and publish its predictions; a fault becomes a `Failure`, never an exception."""
    existing = store.find("predictions", cell.id)
    if existing is not None:
        return existing
    access = StoreAccess(survey, store, device)
    context = CellContext(
        encoder=cell.encoder.info,
        weights=cell.encoder.weights.path,
        precision=cell.encoder.precision,
        task_name=cell.spec.task,
        targets=cell.spec.targets,
        also_train=cell.spec.also_train,
        axes=dict(cell.spec.axes),
        config=cell.protocol.config,
        metric=survey.metric(cell.spec.task),
        seed=cell.seed,
        device=device,
        threads=threads_for(cell),
        scratch=store.scratch(cell.id),
        data=access,
    )
    if progress is not None:
        context.progress = progress
    try:
        started = time.perf_counter()
        with _threads(context.threads):
            output = cell.protocol.info.run(context)
        seconds = time.perf_counter() - started
        frame = predictions_frame(cell, output, access)
        record = cell_record(cell, output, access, device, seconds)
    except BenchError as error:
        log.error("%s failed: %s", cell.name, error.block())
        return Failure(cell.name, error.block())
    except Exception as error:
        log.error("%s failed", cell.name)
        log.debug("%s", traceback.format_exc())
        return Failure(cell.name, f"{type(error).__name__}: {error}")

    def write(folder: Path) -> None:
        with_uniform_labels(frame).to_parquet(folder / "predictions.parquet", index=False)
        atomic_write(folder / "cell.json", json.dumps(record, sort_keys=True, indent=1).encode())

    artefact = store.publish("predictions", cell.id, cell.identity, write)
    shutil.rmtree(context.scratch, ignore_errors=True)
    return artefact


def cell_record(
    cell: Cell, output: CellOutput, access: StoreAccess, device: str, seconds: float
) -> dict[str, Any]:
    """What is kept beside a cell's predictions."""
    return {
        "details": dict(output.details),
        "timings": {**dict(output.timings), "total": seconds},
        "device": device,
        "n_train": int(output.details.get("n_train", len(access.part(cell.spec.task, "train")))),
        "n_validation": int(output.details.get("n_validation", len(access.part(cell.spec.task, "val")))),
        "n_test": {name: len(p.image_ids) for name, p in output.predictions.items()},
    }


def predictions_frame(cell: Cell, output: CellOutput, access: StoreAccess) -> pd.DataFrame:
    """Predictions of a cell with labels and groups attached; checks that they are complete and sane."""
    import pandas as pd

    missing = set(cell.spec.targets) - set(output.predictions)
    if missing:
        raise CellError(f"The protocol returned no predictions for {', '.join(sorted(missing))}.")
    frames = []
    for target in cell.spec.targets:
        predictions, task = output.predictions[target], access.task(target)
        test = _test_part(cell, access, target)
        frames.append(_attach(cell.id, target, "test", predictions.image_ids, predictions.scores, test, task))
        if predictions.validation_scores is not None:
            pool = _labelled_pool(access, cell.spec.task, target)
            frames.append(
                _attach(
                    cell.id,
                    target,
                    "validation",
                    predictions.validation_ids,
                    predictions.validation_scores,
                    pool,
                    task,
                )
            )
    return pd.concat(frames, ignore_index=True)[list(PREDICTION_COLUMNS)]


def _test_part(cell: Cell, access: StoreAccess, target: str) -> Part:
    whole = getattr(cell.protocol.config, "target", "test") == "whole"
    elsewhere = target.rpartition("/")[0] != cell.spec.task.rpartition("/")[0]
    return access.part(target, "all" if whole and elsewhere else "test")


def _labelled_pool(access: StoreAccess, source: str, target: str) -> Part:
    """Images that validation scores may be about: the source's training and validation images."""
    import numpy as np

    name = target if target.rpartition("/")[0] == source.rpartition("/")[0] else source
    train, val = access.part(name, "train"), access.part(name, "val")
    assert train.labels is not None
    assert val.labels is not None
    return Part(
        train.dataset,
        "train+val",
        train.image_ids + val.image_ids,
        train.groups + val.groups,
        np.concatenate([train.labels, val.labels]),
        np.concatenate([train.rows, val.rows]),
    )


def _attach(
    cell_id: str,
    target: str,
    split: str,
    image_ids: tuple[str, ...],
    scores: np.ndarray,
    part: Part,
    task: Task,
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    scores = np.asarray(scores, dtype=np.float64)
    width = 1 if task.kind == "binary" else len(task.classes)
    if scores.ndim != 2 or scores.shape != (len(image_ids), width):
        raise CellError(
            f"The protocol returned scores of shape {scores.shape} for {target}; "
            f"expected ({len(image_ids)}, {width}).",
        )
    if not np.isfinite(scores).all():
        raise CellError(f"The protocol returned NaN or infinite scores for {target} ({split}).")
    position = {name: i for i, name in enumerate(part.image_ids)}
    if split == "test" and (len(image_ids) != len(position) or set(image_ids) != set(position)):
        raise CellError(
            f"The predictions for {target} do not cover its {len(position)} test images exactly once."
        )
    unknown = [i for i in image_ids if i not in position]
    if unknown:
        raise CellError(f"Scores for images that are not in {part.split} of {target}: {unknown[:3]}.")
    rows = np.array([position[i] for i in image_ids], dtype=int)
    assert part.labels is not None
    labels = part.labels[rows] if len(rows) else np.empty(0)
    return pd.DataFrame(
        {
            "cell_id": cell_id,
            "task": target,
            "split": split,
            "image_id": list(image_ids),
            "group": [part.groups[i] for i in rows],
            "y_true": labels.astype(np.float64) if labels.ndim == 1 else list(labels.astype(np.float64)),
            "scores": list(scores),
        }
    )
