"""Cross-dataset transfer: train on one dataset, judge on others that the training never touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from benchbench.api import CellOutput, CellSpec, Predictions, ProtocolInfo, Task
from benchbench.context import CellContext
from benchbench.errors import AuditError, SuiteError

from .classes import bridge, translate
from .fine_tune import DEMO as FINE_TUNE_DEMO
from .fine_tune import PRESETS as FINE_TUNE_PRESETS
from .fine_tune import FineTuneConfig, learn_fine_tune, training_recipes
from .learned import Learn, Learned, Stopwatch
from .linear_probe import DEMO as PROBE_DEMO
from .linear_probe import PRESETS as PROBE_PRESETS
from .linear_probe import LinearProbeConfig, learn_probe
from .samples import Samples

_TARGET: Any = Field(
    "test",
    description="What the other datasets are judged on: their test split, or all their labelled images.",
)
_SOURCES: Any = Field(None, description="Train only on these datasets; None: on each in turn.")


class TransferConfig(LinearProbeConfig):
    """Settings of transfer by linear probe."""

    target: Literal["test", "whole"] = _TARGET
    sources: tuple[str, ...] | None = _SOURCES


class TransferFineTuneConfig(FineTuneConfig):
    """Settings of transfer by fine-tune."""

    target: Literal["test", "whole"] = _TARGET
    sources: tuple[str, ...] | None = _SOURCES


def dataset_of(task: str) -> str:
    """The dataset of a full task name."""
    return task.rpartition("/")[0]


def transfer_cells(tasks: tuple[tuple[str, Task], ...], config: Any) -> tuple[CellSpec, ...]:
    """One cell per source task; its targets are itself and every task of another dataset whose classes fit."""
    known = {dataset_of(name) for name, _ in tasks}
    unknown = sorted(set(config.sources or ()) - known)
    if unknown:
        raise SuiteError(
            f"The sources {', '.join(unknown)} are not among the datasets of the tasks.",
            fix=f"name some of: {', '.join(sorted(known))}",
        )
    specs = []
    for name, task in tasks:
        if config.sources is not None and dataset_of(name) not in config.sources:
            continue
        others = [
            other
            for other, target in tasks
            if dataset_of(other) != dataset_of(name) and _same_question(name, task, other, target)
        ]
        if others:
            specs.append(CellSpec(task=name, targets=(name, *others)))
    if not specs:
        raise SuiteError(
            "No two of the tasks have classes of the same names, so nothing can be transferred.",
            fix="list tasks that ask the same of two datasets, for instance aptos2019/grade and idrid/grade",
        )
    return tuple(specs)


def _same_question(name: str, task: Task, other: str, target: Task) -> bool:
    """Tasks of one name, or of one label space, ask the same; among several fits the same name wins."""
    if bridge(task, target) is None:
        return False
    return name.rpartition("/")[2] == other.rpartition("/")[2] or task.kind != "binary"


def run_transfer(learn: Learn) -> Any:
    """The `run` of a transfer protocol: train on the source, then open each target once."""

    def run(context: CellContext) -> CellOutput:
        leaks = find_leaks(context, (context.task_name,))
        train = Samples((context.train,))
        learned = learn(context, train, Samples.of(context.validation), context.task, context.config)
        return judge_everywhere(context, learned, context.task, leaks)

    return run


def find_leaks(context: CellContext, sources: tuple[str, ...]) -> dict[str, str]:
    """Targets that hold a picture which the cell trains or selects on, and why they are refused.

    A picture is the same in another size, format or quality as well. Labels are not looked at.

    Raises:
        AuditError: Every target is refused, so that nothing is worth training for.
    """
    found: dict[str, str] = {}
    for target in context.targets:
        for source in sources:
            error = _leak(context, source, target)
            if error is not None:
                found.setdefault(target, error.block())
                if len(found) == len(context.targets):
                    raise error
    return found


def _leak(context: CellContext, source: str, target: str) -> AuditError | None:
    if dataset_of(source) == dataset_of(target):
        return None
    whole = getattr(context.config, "target", "test") == "whole"
    asked = set(context.data.part(target, "all" if whole else "test").image_ids)
    seen = {i for split in ("train", "val") for i in context.data.part(source, split).image_ids}
    pairs = context.data.shared_pictures(dataset_of(source), dataset_of(target))
    both = sorted({judged for trained, judged in pairs if trained in seen and judged in asked})
    if not both:
        return None
    return AuditError(
        f"{len(both)} images that {dataset_of(target)} is judged on are also in the training or validation images of "
        f"{dataset_of(source)}, as the same file or as a copy of it.",
        where=f"{source} -> {target}",
        details=[*both[:5], *(["..."] if len(both) > 5 else [])],
        fix="remove them from one of the two datasets, or do not name this pair",
    )


def judge_everywhere(
    context: CellContext, learned: Learned, trained_on: Task, leaks: Mapping[str, str]
) -> CellOutput:
    """Score every target that has no leak; threshold and temperature are those of the source's validation images."""
    clock = Stopwatch()
    predictions = {}
    chosen = frozen_choices(learned, trained_on)
    details = {**learned.details, **chosen}
    with clock("predict"):
        for target in context.targets:
            if target in leaks:
                continue
            way = bridge(trained_on, context.data.task(target))
            assert way is not None, "the plan only pairs tasks whose classes fit"
            test = context.open_test(target)
            scores = translate(learned.score(test), way, trained_on.kind)
            if way.identical:
                kept = (learned.validation_ids, learned.validation_scores)
            else:
                kept = ((), None)  # the source's codes are not the target's
            if way.flipped and "threshold" in chosen:
                details[f"threshold {target}"] = 1 - chosen["threshold"]
            predictions[target] = Predictions(test.image_ids, scores, *kept)
    return CellOutput(predictions, details, {**learned.timings, **clock.seconds}, leaks)


def frozen_choices(learned: Learned, task: Task) -> dict[str, float]:
    """Threshold (binary tasks) and temperature, chosen on validation scores alone; empty where there are none.

    They are kept with the cell because a target whose classes stand in another order, or that several datasets
    were pooled for, cannot keep the validation scores themselves.
    """
    import numpy as np

    from benchbench.statistics import choose_threshold
    from benchbench.statistics.temperature import fit_temperature

    scores, labels = learned.validation_scores, learned.validation_labels
    if scores is None or labels is None or task.kind == "multilabel" or len(np.unique(labels)) < 2:
        return {}
    chosen = {"temperature": fit_temperature(labels, scores)}
    if task.kind == "binary":
        chosen["threshold"] = choose_threshold(labels, scores[:, 0]).value
    return chosen


TRANSFER = ProtocolInfo(
    name="transfer",
    title="Cross-dataset transfer, linear probe",
    description=(
        "A linear probe is trained on one dataset and judged on each other dataset. Classes are matched by name. The "
        "other datasets are not touched before; thresholds come from the source's own validation images."
    ),
    config=TransferConfig,
    run=run_transfer(learn_probe),
    needs="embeddings",
    stochastic=False,
    cells=transfer_cells,
    presets=PROBE_PRESETS,
    demo=PROBE_DEMO,
    version="2",
)

TRANSFER_FINE_TUNE = ProtocolInfo(
    name="transfer_fine_tune",
    title="Cross-dataset transfer, fine-tune",
    description=(
        "Encoder and head are fine-tuned on one dataset and judged on each other dataset. Classes are matched by name. "
        "The other datasets are not touched before; thresholds come from the source's own validation images."
    ),
    config=TransferFineTuneConfig,
    run=run_transfer(learn_fine_tune),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    cells=transfer_cells,
    presets=FINE_TUNE_PRESETS,
    demo=FINE_TUNE_DEMO,
    version="3",
)
