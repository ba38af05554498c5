"""Passes over the images of a dataset: every recipe prepared at once, and what a pass took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .api import Preprocess
from .errors import BenchError
from .plan import Cell
from .results import ImagePass
from .store import Store
from .survey import Survey

if TYPE_CHECKING:
    from .images.pipeline import StageTimes

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]


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
    from .embedding import prepared_images_many
    from .images.pipeline import StageTimes
    from .work import image_set

    for dataset, recipes in needed_images(cells).items():
        times = StageTimes()
        try:
            prepared_images_many(store, recipes, image_set(survey, dataset), progress, times=times)
        except BenchError as error:
            log.warning("preparing the images of %s failed: %s", dataset, error.what)
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
