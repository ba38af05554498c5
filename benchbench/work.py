"""The work of a run: computing cells, each result published atomically."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .api import CellOutput, CellSpec, EncoderInfo, Task
from .claims import claim, holder
from .context import CellContext, ImageSource, Part
from .engines.gpu import pinned
from .engines.shared import SharedPlan
from .errors import PLUGIN_FAULTS, CellError, reason_of
from .machine import machine_line, usable_cores
from .origin import named
from .passes import embed_request, image_set
from .plan import Cell, Plan, opens_whole
from .progress import CellReporter
from .results import PREDICTION_COLUMNS, with_uniform_labels
from .store import Artefact, Store, atomic_write
from .survey import Survey

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger("benchbench")
ROUNDING = 1e-6
"""How far a probability may lie outside 0 to 1."""
_WHERE = ("device", "machine", "processor", "threads")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result."""

    cell: str
    reason: str


@dataclass(frozen=True)
class Success:
    """The result of a cell."""

    artefact: Artefact
    computed: bool
    """False: another process, which shares the store, had it ready."""


class StoreAccess:
    """Embeddings, images and labels of a survey, read from the store (see `context.DataAccess`)."""

    def __init__(
        self, survey: Survey, store: Store, device: str, judged_whole: frozenset[str] = frozenset()
    ) -> None:
        self.survey, self.store, self.device = survey, store, device
        self.judged_whole = judged_whole
        """Datasets that the cell is judged on with all their images, training and validation images included."""
        self._embeddings: dict[tuple[str, str], Any] = {}
        self.seconds: dict[str, float] = {}
        """What the embeddings that were read had cost: seconds of the network, thread-seconds of decoding."""
        self.extracted: dict[str, Any] = {}
        """Where those seconds were spent, and with how many threads."""

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
            self._count(rows.notes, len(rows))
        return self._embeddings[key]

    def _count(self, notes: dict[str, Any], images: int) -> None:
        # Where a pass was interrupted, or shared among workers, its notes are about a part of the images only.
        if notes.get("model_images") == images:
            parts = {"extract": notes["model_seconds"], "prepare": notes["prepare_thread_seconds"]}
            for stage, seconds in parts.items():
                if seconds > 0:
                    self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
                    self.extracted = {k: notes[k] for k in _WHERE if k in notes}

    def images(self, encoder: EncoderInfo, dataset: str) -> ImageSource:
        from .prepared import prepared_images

        return prepared_images(self.store, encoder.preprocess, image_set(self.survey, dataset))

    def part(self, task: str, split: str) -> Part:
        """As protocols see it: without the labels of whatever the cell is, or may be, judged on."""
        part = self.labelled(task, split)
        hidden = split not in ("train", "val") or task.rpartition("/")[0] in self.judged_whole
        return dataclasses.replace(part, labels=None) if hidden else part

    def labelled(self, task: str, split: str) -> Part:
        """The same with labels, for whoever attaches them to the predictions."""
        data = self.survey.datasets[task.rpartition("/")[0]].loaded
        assert data is not None
        return data.part(self.task(task), split)

    def task(self, task: str) -> Task:
        return self.survey.task(task)

    def shared_pictures(self, first: str, second: str) -> tuple[tuple[str, str], ...]:
        from .datasets.shared import shared_pictures

        one, two = (self.survey.datasets[name].loaded for name in (first, second))
        assert one is not None
        assert two is not None
        return shared_pictures(one, two, self.store)


@dataclass(frozen=True)
class Busy:
    """Another process is computing this cell."""

    holder: str


@dataclass(frozen=True)
class CellJob:
    """One cell as a job that any engine can run."""

    plan: Plan | SharedPlan
    position: int
    store_root: Path
    device: str
    wait: bool = False
    """Wait for another process that computes the cell, instead of answering that it is busy."""

    def __call__(self) -> Success | Failure | Busy:
        plan = self.plan.load() if isinstance(self.plan, SharedPlan) else self.plan
        beside_others = isinstance(self.plan, SharedPlan)
        device = pinned(self.device, self.store_root) if beside_others else self.device
        cell = plan.cells[self.position]
        store = Store(self.store_root)
        with claim(store, cell.id, wait=self.wait) as ours:
            if not ours:
                return Busy(holder(store, cell.id) or "another process")
            return compute_cell(cell, plan.survey, store, device=device, beside_others=beside_others)


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
    cell: Cell,
    survey: Survey,
    store: Store,
    *,
    device: str,
    beside_others: bool = False,
) -> Success | Failure:
    """Compute one cell and publish its predictions; a fault becomes a `Failure`, never an exception.

    `beside_others`: other cells may be computed on this machine at the same time.
    """
    existing = store.find("predictions", cell.id)
    if existing is not None:
        return Success(existing, computed=False)
    whole = {
        t.rpartition("/")[0] for t in cell.spec.targets if opens_whole(cell.spec, cell.protocol.config, t)
    }
    access = StoreAccess(survey, store, device, frozenset(whole))
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
        progress=CellReporter(cell.name),
    )
    try:
        started = time.perf_counter()
        with _threads(context.threads):
            output, energy = _metered(lambda: cell.protocol.info.run(context), device, beside_others)
        seconds = time.perf_counter() - started
        if not isinstance(output, CellOutput):
            raise CellError(f"The protocol returned {type(output).__name__} instead of a CellOutput.")
        frame = predictions_frame(cell.id, cell.spec, cell.protocol.config, output, access)
        record = cell_record(cell, output, access, context, seconds, energy)
    except PLUGIN_FAULTS as error:
        who = named("protocol", cell.protocol.info.name, cell.protocol.info.origin)
        reason = reason_of(error, f"{who}, or the encoder in it,")
        log.error("%s failed: %s", cell.name, reason)
        log.debug("%s", traceback.format_exc())
        return Failure(cell.name, reason)

    def write(folder: Path) -> None:
        with_uniform_labels(frame).to_parquet(folder / "predictions.parquet", index=False)
        atomic_write(folder / "cell.json", json.dumps(record, sort_keys=True, indent=1).encode())

    artefact = store.publish("predictions", cell.id, cell.identity, write)
    shutil.rmtree(context.scratch, ignore_errors=True)
    return Success(artefact, computed=True)


def _metered(
    run: Callable[[], CellOutput], device: str, beside_others: bool
) -> tuple[CellOutput, dict[str, Any]]:
    """What a protocol returns, and the energy that it took, or the reason why nobody knows."""
    if beside_others:
        return run(), {"reason": "cells ran side by side: a meter of the machine cannot tell them apart"}
    from .cost.energy import measure_energy

    outputs: list[CellOutput] = []
    (energy,) = measure_energy(lambda: outputs.append(run()), device, estimate=False)
    return outputs[0], dataclasses.asdict(energy)


def cell_record(
    cell: Cell,
    output: CellOutput,
    access: StoreAccess,
    context: CellContext,
    seconds: float,
    energy: dict[str, Any],
) -> dict[str, Any]:
    """What is kept beside a cell's predictions."""
    return {
        "details": plain(output.details),
        "timings": {**access.seconds, **_numbers(cell, output.timings), "total": seconds},
        "extracted": access.extracted,
        "energy": energy,
        "device": context.device,
        "threads": context.threads,
        "machine": machine_line(context.device),
        "n_train": int(output.details.get("n_train", len(access.part(cell.spec.task, "train")))),
        "n_validation": int(output.details.get("n_validation", len(access.part(cell.spec.task, "val")))),
        "n_test": {name: len(p.image_ids) for name, p in output.predictions.items()},
        "refused": {target: str(reason) for target, reason in output.refused.items()},
    }


def plain(details: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Details of a protocol as plain numbers and text, numpy's and torch's scalars unwrapped.

    Raises:
        CellError: one of them is anything else, which the record of a cell cannot hold.
    """
    found = {}
    for name, value in details.items():
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        if not isinstance(value, str | int | float):
            raise CellError(
                f"The protocol's details hold {type(value).__name__} under {name!r}, which is no number or text.",
                fix="return numbers and text in `details`",
            )
        found[str(name)] = value
    return found


def _numbers(cell: Cell, timings: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by stage as a protocol tells them, without what is no number of seconds."""
    sound = {k: float(v) for k, v in timings.items() if isinstance(v, Real) and 0 <= float(v) < math.inf}
    for stage in timings.keys() - sound.keys():
        log.warning("%s: the time of stage %r is no number of seconds, and is left out", cell.name, stage)
    return sound


class Labelled(Protocol):
    """Labels of every part, which the runner has and a protocol has not."""

    def labelled(self, task: str, split: str) -> Part:
        """Labelled images of `task` in `split`."""
        ...

    def task(self, task: str) -> Task:
        """The task called "dataset/task"."""
        ...


def predictions_frame(
    cell_id: str, spec: CellSpec, config: Any, output: CellOutput, access: Labelled
) -> pd.DataFrame:
    """Predictions of a cell with labels and groups attached; checks that they are complete and sane."""
    import pandas as pd

    missing = set(spec.targets) - set(output.predictions) - set(output.refused)
    if missing:
        raise CellError(f"The protocol returned no predictions for {', '.join(sorted(missing))}.")
    frames = []
    for target in (t for t in spec.targets if t not in output.refused):
        predictions, task = output.predictions[target], access.task(target)
        test = access.labelled(target, "all" if opens_whole(spec, config, target) else "test")
        frames.append(_attach(cell_id, target, "test", predictions.image_ids, predictions.scores, test, task))
        if predictions.validation_scores is not None:
            pool = _labelled_pool(access, spec.task, target)
            frames.append(
                _attach(
                    cell_id,
                    target,
                    "validation",
                    predictions.validation_ids,
                    predictions.validation_scores,
                    pool,
                    task,
                )
            )
    if not frames:
        raise CellError(
            "The protocol refused every target.",
            details=[f"{target}: {reason}" for target, reason in output.refused.items()],
        )
    return pd.concat(frames, ignore_index=True)[list(PREDICTION_COLUMNS)]


def _labelled_pool(access: Labelled, source: str, target: str) -> Part:
    """Images that validation scores may be about: the source's training and validation images."""
    import numpy as np

    name = target if target.rpartition("/")[0] == source.rpartition("/")[0] else source
    train, val = access.labelled(name, "train"), access.labelled(name, "val")
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
    if len(scores) and (scores.min() < -ROUNDING or scores.max() > 1 + ROUNDING):
        raise CellError(
            f"The protocol returned scores from {scores.min():.4g} to {scores.max():.4g} for {target} ({split}); "
            "they are probabilities, from 0 to 1.",
            fix="return probabilities: the softmax or sigmoid of logits, not the logits",
        )
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
