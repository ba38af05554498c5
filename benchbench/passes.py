"""Passes over the images of a dataset: by all encoders, or for all recipes of training, decoding each file once."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .api import Preprocess
from .engines.gpu import pinned
from .engines.shared import SharedPlan
from .errors import PLUGIN_FAULTS, BenchError, StoreError, reason_of
from .machine import free_memory, usable_cores
from .origin import named
from .plan import Cell
from .results import ImagePass
from .store import Store
from .survey import EncoderState, Survey

if TYPE_CHECKING:
    from .embedding import EmbedRequest
    from .images.pipeline import StageTimes
    from .prepared import ImageSet

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]


def _stop_where_nothing_can_be_written(error: BaseException) -> None:
    """Raise the error again where it is a full or unwritable disk, which is no encoder's fault and stops them all.

    A `StoreError` without a cause in the file system is damage: what is damaged was set aside and is computed again.
    """
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    if full or (isinstance(error, StoreError) and isinstance(error.__cause__, OSError)):
        raise error


def embed_request(state: EncoderState) -> EmbedRequest:
    """What the embedding engine needs to know of an encoder."""
    from .embedding import EmbedRequest

    return EmbedRequest(
        state.info, state.weights.path, state.weights.sha256, precision=state.precision, backend=state.backend
    )


def image_set(survey: Survey, dataset: str) -> ImageSet:
    """All images of a dataset, in table order."""
    from .prepared import ImageSet

    data = survey.datasets[dataset].loaded
    assert data is not None
    return ImageSet(dataset, data.paths, data.sha256)


def embed_all(
    cells: Iterable[Cell],
    survey: Survey,
    store: Store,
    device: str,
    progress: Progress,
    passes: list[ImagePass] | None = None,
) -> dict[str, str]:
    """Embed every dataset for every encoder that the cells need; decoding each image once for all encoders.

    Returns the failures: "encoder label/dataset" -> reason. An encoder that fails does not stop the others. What was
    decoded, and how long it took, is added to `passes`.
    """
    from .embedding import Networks, embed
    from .images.pipeline import StageTimes

    failures: dict[str, str] = {}
    networks: Networks = {}
    for dataset, encoders in needed_embeddings(cells).items():
        images = image_set(survey, dataset)
        requests = [embed_request(e) for e in encoders.values()]
        times = StageTimes()
        problem = ""
        try:
            embed(store, requests, images, device=device, progress=progress, times=times, networks=networks)
        except PLUGIN_FAULTS as error:  # which encoder it was shows when each is alone
            _stop_where_nothing_can_be_written(error)
            problem = error.what if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        if problem:  # out of the except block: the error's traceback holds the memory of all networks
            log.warning("embedding %s together failed (%s): one encoder at a time", dataset, problem)
            networks.clear()
            free_memory(device)
            failures |= _embed_singly(encoders, images, dataset, store, device, progress, times)
        if passes is not None and times.model:
            passes.append(image_pass(dataset, len(times.model_by_encoder), times))
    return failures


@dataclass(frozen=True)
class EmbedJob:
    """Some parts of a dataset, for some encoders, as a job that any engine can run."""

    plan: SharedPlan
    dataset: str
    encoders: tuple[str, ...]
    parts: frozenset[int]
    store_root: Path
    device: str

    def __call__(self) -> str:
        """Empty, or why the parts are not there; whoever publishes them finds out again."""
        from .embedding import embed_share

        plan = self.plan.load()
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
        except PLUGIN_FAULTS as error:
            _stop_where_nothing_can_be_written(error)
            return reason_of(error, f"Embedding {', '.join(self.encoders)}")
        return ""


@dataclass(frozen=True)
class PrepareJob:
    """Preparing images for the cells that train on them, as a job of its own: where the work runs."""

    plan: SharedPlan
    positions: tuple[int, ...]
    store_root: Path

    def __call__(self) -> list[ImagePass]:
        """What was decoded, as `prepare_all` adds it."""
        plan = self.plan.load()
        passes: list[ImagePass] = []
        prepare_all(
            [plan.cells[i] for i in self.positions], plan.survey, Store(self.store_root), _silent, passes
        )
        return passes


@dataclass(frozen=True)
class PublishJob:
    """Joining the parts that workers have computed, and computing whatever they did not, as a job of its own.

    It needs the device as well, which the process that gives out the work may not have (a cluster's login node).
    """

    plan: SharedPlan
    positions: tuple[int, ...]
    store_root: Path
    device: str

    def __call__(self) -> tuple[dict[str, str], list[ImagePass]]:
        """The failures, as `embed_all` returns them, and what was decoded."""
        plan = self.plan.load()
        cells = [plan.cells[i] for i in self.positions]
        device = pinned(self.device, self.store_root)
        passes: list[ImagePass] = []
        return embed_all(cells, plan.survey, Store(self.store_root), device, _silent, passes), passes


def _silent(done: int, total: int, note: str) -> None:
    """No progress: a worker has no display."""


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
    times: StageTimes,
) -> dict[str, str]:
    from .embedding import embed

    failures = {}
    for label, state in encoders.items():
        free_memory(device)
        try:
            embed(store, [embed_request(state)], images, device=device, progress=progress, times=times)
        except PLUGIN_FAULTS as error:
            _stop_where_nothing_can_be_written(error)
            log.debug("%s", traceback.format_exc())
            who = named("encoder", label, state.info.origin)
            failures[f"{label}/{dataset}"] = reason_of(error, who)
    return failures


def image_pass(dataset: str, encoders: int, times: StageTimes) -> ImagePass:
    """Stage times as run.json keeps them."""
    return ImagePass(
        dataset,
        encoders,
        times.files,
        *(round(s, 3) for s in (times.prepare, times.wait, times.transfer, times.model, times.write)),
    )


def prepare_all(
    cells: Iterable[Cell], survey: Survey, store: Store, progress: Progress, passes: list[ImagePass]
) -> None:
    """Prepare the images of every dataset for all cells that work on images, decoding each file once for all.

    A file that cannot be read is left to the cells, which say so each for itself.
    """
    from .images.pipeline import StageTimes
    from .prepared import prepared_images_many

    for dataset, recipes in needed_images(cells).items():
        times = StageTimes()
        try:
            prepared_images_many(store, recipes, image_set(survey, dataset), progress, times=times)
        except Exception as error:
            _stop_where_nothing_can_be_written(error)
            what = error.what if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            log.warning("preparing the images of %s failed: %s", dataset, what)
        if times.files:
            passes.append(image_pass(dataset, 0, times))


def needed_images(cells: Iterable[Cell]) -> dict[str, list[Preprocess]]:
    """Dataset -> recipes, for the cells that work on images."""
    needed: dict[str, list[Preprocess]] = {}
    for cell in cells:
        protocol = cell.protocol
        if protocol.info.needs == "images":
            for name in cell.spec.tasks:
                recipes = needed.setdefault(name.rpartition("/")[0], [])
                wanted = protocol.info.recipes(cell.encoder.info, protocol.config)
                recipes.extend(p for p in wanted if p not in recipes)
    return needed
