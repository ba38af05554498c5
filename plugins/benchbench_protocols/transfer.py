"""Cross-dataset transfer: train on one dataset, judge on others that the training never touched."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from benchbench.api import CellOutput, CellSpec, Predictions, ProtocolInfo, Task
from benchbench.context import CellContext
from benchbench.errors import AuditError, SuiteError

from .classes import bridge, translate
from .fine_tune import DEMO as FINE_TUNE_DEMO
from .fine_tune import PRESETS as FINE_TUNE_PRESETS
from .fine_tune import FineTuneConfig, learn_fine_tune
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
        refuse_leaks(context, (context.task_name,), context.targets)
        train = Samples((context.train,))
        learned = learn(context, train, Samples.of(context.validation), context.task, context.config)
        return judge_everywhere(context, learned, context.task)

    return run


def refuse_leaks(context: CellContext, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
    """Refuse a cell that would train on, or select on, an image that a foreign target holds.

    Images are the same if their files have the same bytes.

    Raises:
        AuditError: naming the datasets and some of the images.
    """
    whole = getattr(context.config, "target", "test") == "whole"
    for target in targets:
        for source in sources:
            if dataset_of(source) == dataset_of(target):
                continue
            seen = _files(context, source, ("train", "val"))
            asked = _files(context, target, ("all",) if whole else ("test",))
            both = sorted(asked[h] for h in seen.keys() & asked.keys())
            if both:
                raise AuditError(
                    f"{len(both)} images that {dataset_of(target)} is judged on are also in the training or "
                    f"validation images of {dataset_of(source)}.",
                    where=f"{source} -> {target}",
                    details=[*both[:5], *(["..."] if len(both) > 5 else [])],
                    fix="remove them from one of the two datasets, or do not name this pair",
                )


def _files(context: CellContext, task: str, splits: tuple[str, ...]) -> dict[str, str]:
    """sha256 -> image of the files of some splits; labels are not looked at."""
    digests = context.data.sha256(dataset_of(task))
    found: dict[str, str] = {}
    for split in splits:
        part = context.data.part(task, split)
        found |= {digests[row]: image for row, image in zip(part.rows.tolist(), part.image_ids, strict=True)}
    return found


def judge_everywhere(context: CellContext, learned: Learned, trained_on: Task) -> CellOutput:
    """Score every target; thresholds everywhere are those of the source's validation images."""
    clock = Stopwatch()
    predictions = {}
    with clock("predict"):
        for target in context.targets:
            way = bridge(trained_on, context.data.task(target))
            assert way is not None, "the plan only pairs tasks whose classes fit"
            test = context.open_test(target)
            scores = translate(learned.score(test), way, trained_on.kind)
            if way.identical:
                kept = (learned.validation_ids, learned.validation_scores)
            else:
                kept = ((), None)  # the source's codes are not the target's
            predictions[target] = Predictions(test.image_ids, scores, *kept)
    return CellOutput(predictions, learned.details, {**learned.timings, **clock.seconds})


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
    stochastic=True,
    cells=transfer_cells,
    presets=FINE_TUNE_PRESETS,
    demo=FINE_TUNE_DEMO,
    version="2",
)
