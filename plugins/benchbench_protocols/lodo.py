"""Leave one dataset out: train on all datasets but one together, judge on the one left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchbench.api import CellOutput, CellSpec, ProtocolInfo, Task
from benchbench.context import CellContext, Part
from benchbench.errors import SuiteError

from .classes import bridge, relabel
from .fine_tune import DEMO as FINE_TUNE_DEMO
from .fine_tune import PRESETS as FINE_TUNE_PRESETS
from .fine_tune import learn_fine_tune, training_recipes
from .learned import Learn
from .linear_probe import DEMO as PROBE_DEMO
from .linear_probe import PRESETS as PROBE_PRESETS
from .linear_probe import learn_probe
from .samples import Samples
from .transfer import TransferConfig, TransferFineTuneConfig, dataset_of, find_leaks, judge_everywhere


def lodo_cells(tasks: tuple[tuple[str, Task], ...], config: Any) -> tuple[CellSpec, ...]:
    """One cell per task that at least two other datasets ask as well; the others are its sources."""
    specs = []
    for target, held_out in tasks:
        sources = [
            name
            for name, task in tasks
            if dataset_of(name) != dataset_of(target)
            and name.rpartition("/")[2] == target.rpartition("/")[2]
            and bridge(task, held_out) is not None
            and bridge(held_out, task) is not None
        ]
        if len({dataset_of(s) for s in sources}) >= 2:
            axes = (("left_out", dataset_of(target)),)
            specs.append(CellSpec(sources[0], (target,), axes, also_train=tuple(sources[1:])))
    if not specs:
        raise SuiteError(
            "Leaving one dataset out needs the same task, with the same classes, in three datasets or more.",
            fix="list for instance aptos2019/grade, idrid/grade and messidor2/grade; or use transfer for pairs",
        )
    return tuple(specs)


def run_lodo(learn: Learn) -> Any:
    """The `run` of a leave-one-dataset-out protocol."""

    def run(context: CellContext) -> CellOutput:
        sources = (context.task_name, *context.also_train)
        leaks = find_leaks(context, sources)
        train = _pool(context, sources, lambda name: context.data.part(name, "train"))
        validation = _pool(context, sources, lambda name: context.data.part(name, "val"))
        if len({p.dataset for p in validation.parts}) < len(sources):
            # Where one source has no validation images, selection would lean on the others alone.
            train, validation = Samples(train.parts + validation.parts), Samples(())
        learned = learn(context, train, validation if len(validation) else None, context.task, context.config)
        output = judge_everywhere(context, learned, context.task, leaks)
        return CellOutput(
            {name: _without_validation(p) for name, p in output.predictions.items()},
            {**output.details, "sources": ", ".join(sources)},
            output.timings,
        )

    return run


def _pool(context: CellContext, sources: tuple[str, ...], part: Callable[[str], Part]) -> Samples:
    """The parts of all sources, in the codes of the cell's own task; empty parts are left out."""
    parts = [relabel(part(name), context.data.task(name), context.task) for name in sources]
    return Samples(tuple(p for p in parts if len(p)))


def _without_validation(predictions: Any) -> Any:
    """Pooled validation images belong to several datasets, which a record of one dataset cannot hold.

    What was chosen on them, threshold and temperature, is among the cell's details.
    """
    from dataclasses import replace

    return replace(predictions, validation_ids=(), validation_scores=None)


LODO = ProtocolInfo(
    name="lodo",
    title="Leave one dataset out, linear probe",
    description="A linear probe is trained on all datasets but one together, and judged on the one left out.",
    config=TransferConfig,
    run=run_lodo(learn_probe),
    needs="embeddings",
    stochastic=False,
    cells=lodo_cells,
    presets=PROBE_PRESETS,
    demo=PROBE_DEMO,
    version="2",
)

LODO_FINE_TUNE = ProtocolInfo(
    name="lodo_fine_tune",
    title="Leave one dataset out, fine-tune",
    description="The encoder is fine-tuned on all datasets but one together, and judged on the one left out.",
    config=TransferFineTuneConfig,
    run=run_lodo(learn_fine_tune),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    cells=lodo_cells,
    presets=FINE_TUNE_PRESETS,
    demo=FINE_TUNE_DEMO,
    version="3",
)
