"""What every protocol's training step returns, and how it becomes a cell's output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchbench.api import CellOutput, Predictions, Task
from benchbench.context import CellContext, Part

from .samples import Samples

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Learned:
    """A trained classifier, ready to score images that it has never seen."""

    score: Callable[[Part], np.ndarray]
    """Part of n images -> (n, K) probabilities in the class order of the task it was trained on; K = 1 (the
    positive class) for binary tasks."""
    validation_ids: tuple[str, ...] = ()
    validation_scores: np.ndarray | None = None
    """(m, K) scores on validation images, or out-of-fold scores on training images."""
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    validation_labels: np.ndarray | None = None
    """(m,) class codes, or (m, L) with NaN, of the images that `validation_scores` are about."""


Learn = Callable[[CellContext, Samples, Samples | None, Task, Any], Learned]
"""learn(context, train, validation, task, settings): train a classifier; None: there are no validation images."""


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to `stage`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


def in_domain(learn: Learn) -> Callable[[CellContext], CellOutput]:
    """The `run` of a protocol that trains and tests on the cell's own task."""

    def run(context: CellContext) -> CellOutput:
        train = Samples((context.train,))
        learned = learn(context, train, Samples.of(context.validation), context.task, context.config)
        return test_once(context, learned)

    return run


def test_once(context: CellContext, learned: Learned) -> CellOutput:
    """Score the test split of the cell's own task: the last step of a cell."""
    clock = Stopwatch()
    test = context.open_test(context.task_name)
    with clock("predict"):
        scores = learned.score(test)
    predictions = Predictions(test.image_ids, scores, learned.validation_ids, learned.validation_scores)
    return CellOutput({context.task_name: predictions}, learned.details, {**learned.timings, **clock.seconds})


def keep_positive(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """Binary tasks keep the probability of their positive class only: (n, 2) to (n, 1)."""
    return probabilities[:, 1:] if task.kind == "binary" else probabilities
