"""One model for all labels of a dataset, judged label by label: the counterpart of one model per label."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchbench.api import CellOutput, CellSpec, Predictions, ProtocolInfo, Task
from benchbench.context import CellContext
from benchbench.errors import SuiteError

from .fine_tune import DEMO as FINE_TUNE_DEMO
from .fine_tune import PRESETS as FINE_TUNE_PRESETS
from .fine_tune import FineTuneConfig, learn_fine_tune, training_recipes
from .frozen import learn_frozen
from .learned import Learn, Learned, Stopwatch
from .linear_probe import DEMO as PROBE_DEMO
from .linear_probe import PRESETS as PROBE_PRESETS
from .linear_probe import LinearProbeConfig, probe_fit
from .samples import Samples
from .transfer import dataset_of


class MultitaskConfig(LinearProbeConfig):
    """Settings of the linear probe with all labels together."""

    share_C: bool = Field(
        True,
        description="One strength of the penalty for all labels. With one each, it equals separate probes.",
    )


def multitask_cells(tasks: tuple[tuple[str, Task], ...], config: Any) -> tuple[CellSpec, ...]:
    """One cell per multi-label task; its targets are that task and the suite's binary tasks on the same columns."""
    specs = []
    for name, task in tasks:
        if task.kind == "multilabel":
            heads = [
                other
                for other, one in tasks
                if dataset_of(other) == dataset_of(name) and head_of(task, one) is not None
            ]
            specs.append(CellSpec(name, (name, *heads)))
    if not specs:
        raise SuiteError(
            "The multitask protocol needs a multi-label task.",
            fix="list for instance oct_signatures/signs with its binary tasks, or name other `tasks` for this protocol",
        )
    return tuple(specs)


def head_of(task: Task, one: Task) -> int | None:
    """The position of a binary task among the labels of a multi-label task; None where it is not one of them."""
    plain = one.kind == "binary" and one.positive in (None, (1,)) and not one.exclude
    return task.columns.index(one.column) if plain and one.column in task.columns else None


def learn_shared_probe(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """One binary head per label with the same C: the one with the best mean held-out score over the labels."""
    if not config.share_C or len(config.C_grid) == 1:
        fit = probe_fit(context, task, config)
        return learn_frozen(fit, context, train, validation, task, config.folds)
    fit = probe_fit(
        context, task, config, C_grid=(_shared_strength(context, train, validation, task, config),)
    )
    return learn_frozen(fit, context, train, validation, task, config.folds)


def _shared_strength(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> float:
    import numpy as np

    from benchbench.probes import fit_multilabel_probe

    judge: dict[str, Any] = {}
    if validation is not None:
        judge = {"X_val": validation.features(context), "Y_val": validation.labels}
    many = fit_multilabel_probe(
        train.features(context),
        train.labels,
        groups=train.groups,
        names=task.classes,
        C_grid=config.C_grid,
        folds=config.folds,
        metric=config.criterion,
        class_weight=config.class_weight,
        device=context.device,
        threads=context.threads,
        **judge,
    )
    found = [p.selection for p in many.probes if p is not None]
    mean = np.nanmean([s.mean for s in found], axis=0)
    return float(found[0].C[int(np.nanargmax(mean))])


def run_multitask(learn: Learn) -> Any:
    """The `run` of a multitask protocol: the columns of one model are the scores of the binary tasks."""

    def run(context: CellContext) -> CellOutput:
        train = Samples((context.train,))
        learned = learn(context, train, Samples.of(context.validation), context.task, context.config)
        clock = Stopwatch()
        whole = context.open_test(context.task_name)
        with clock("predict"):
            scores = learned.score(whole)
        own = Predictions(whole.image_ids, scores, learned.validation_ids, learned.validation_scores)
        heads = [t for t in context.targets if t != context.task_name]
        predictions = {context.task_name: own, **{t: _one_label(context, own, t) for t in heads}}
        return CellOutput(predictions, learned.details, {**learned.timings, **clock.seconds})

    return run


def _one_label(context: CellContext, own: Predictions, target: str) -> Predictions:
    """The column of a binary task, on the images that carry its label: all of them are images of the whole task."""
    head = head_of(context.task, context.data.task(target))
    assert head is not None, "the plan only names binary tasks of this multi-label task"
    test = context.open_test(target)
    at = {image: i for i, image in enumerate(own.image_ids)}
    labelled = {i for split in ("train", "val") for i in context.data.part(target, split).image_ids}
    keep = [i for i, name in enumerate(own.validation_ids) if name in labelled]
    kept = own.validation_scores
    return Predictions(
        test.image_ids,
        own.scores[[at[image] for image in test.image_ids]][:, [head]],
        tuple(own.validation_ids[i] for i in keep),
        None if kept is None else kept[keep][:, [head]],
    )


MULTITASK = ProtocolInfo(
    name="multitask",
    title="All labels together, linear probe",
    description=(
        "One probe with a head per label and one strength of the penalty for all of them, judged label by label. Its "
        "counterpart is linear_probe on the same binary tasks: one model per label."
    ),
    config=MultitaskConfig,
    run=run_multitask(learn_shared_probe),
    needs="embeddings",
    stochastic=False,
    cells=multitask_cells,
    presets=PROBE_PRESETS,
    demo=PROBE_DEMO,
    version="2",
)

MULTITASK_FINE_TUNE = ProtocolInfo(
    name="multitask_fine_tune",
    title="All labels together, fine-tune",
    description=(
        "One encoder is fine-tuned with a head per label, judged label by label. Its counterpart is fine_tune on the "
        "same binary tasks: one model per label."
    ),
    config=FineTuneConfig,
    run=run_multitask(learn_fine_tune),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    cells=multitask_cells,
    presets=FINE_TUNE_PRESETS,
    demo=FINE_TUNE_DEMO,
    version="3",
)
