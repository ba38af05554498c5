"""Cheap second views on frozen embeddings: nearest neighbours, the nearest class mean, and MAE's linear probe."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchbench.api import ProtocolInfo, Task
from benchbench.context import CellContext

from .frozen import Fit, Fitted, Table, codes, expand, learn_frozen, per_label
from .learned import Learned, in_domain
from .samples import Samples


class KnnConfig(BaseModel):
    """Settings of the nearest-neighbour vote."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k_grid: tuple[int, ...] = Field(
        (1, 3, 5, 10, 20, 50, 100), min_length=1, description="Numbers of neighbours to choose from."
    )
    folds: int = Field(5, ge=2, le=20, description="Inner folds, where the split has no validation images.")


class PrototypeConfig(BaseModel):
    """The nearest class mean has nothing to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MaeLinprobeConfig(BaseModel):
    """Settings of MAE's linear probe; the defaults are the published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(90, ge=1)
    warmup_epochs: int = Field(10, ge=0)
    batch_size: int = Field(
        512, ge=2, description="The paper's is 16384; a batch is never larger than the data."
    )
    blr: float = Field(0.1, gt=0, description="Learning rate per 256 images.")


def learn_knn(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Vote of the most similar training images; k by validation images or patient-wise folds."""
    from benchbench.probes import knn_probe

    def fit(table: Table, judge: Table | None) -> Fitted:
        held: dict[str, Any] = {} if judge is None else {"X_val": judge.X, "y_val": judge.y}
        probe = knn_probe(
            table.X,
            table.y,
            groups=table.groups,
            k_grid=config.k_grid,
            folds=config.folds,
            threads=context.threads,
            **held,
        )
        return Fitted(
            lambda Z: expand(probe.predict_proba(Z), probe.classes, codes(task)), details={"k": probe.k}
        )

    return learn_frozen(_shaped(fit, task), context, train, validation, task, config.folds)


def learn_prototype(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Similarity to the mean direction of each class."""
    from benchbench.probes import prototype_probe

    def fit(table: Table, judge: Table | None) -> Fitted:
        probe = prototype_probe(table.X, table.y)
        return Fitted(lambda Z: expand(probe.predict_proba(Z), probe.classes, codes(task)))

    return learn_frozen(_shaped(fit, task), context, train, validation, task)


def learn_mae(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """The published head training on cached embeddings; the last epoch counts, as in its code."""
    from benchbench.probes import mae_linear_probe
    from benchbench.probes.presets import MaeSettings

    settings = MaeSettings(**config.model_dump())

    def fit(table: Table, judge: Table | None) -> Fitted:
        probe = mae_linear_probe(
            table.X,
            table.y,
            settings=settings,
            device=context.device,
            seed=context.seed,
            threads=context.threads,
        )
        return Fitted(lambda Z: expand(probe.predict_proba(Z), probe.classes, codes(task)))

    return learn_frozen(_shaped(fit, task), context, train, validation, task)


def _shaped(fit: Fit, task: Task) -> Fit:
    return per_label(fit, task.classes) if task.kind == "multilabel" else fit


KNN = ProtocolInfo(
    name="knn",
    title="Nearest neighbours",
    description=(
        "The k training images with the most similar frozen embeddings (cosine) vote, the more similar the more; k is "
        "chosen on held-out images. Nothing is fitted: it shows what the embedding space holds as it is."
    ),
    config=KnnConfig,
    run=in_domain(learn_knn),
    needs="embeddings",
    stochastic=False,
)

PROTOTYPE = ProtocolInfo(
    name="prototype",
    title="Nearest class mean",
    description="An image is scored by the cosine similarity of its frozen embedding to the mean of each class.",
    config=PrototypeConfig,
    run=in_domain(learn_prototype),
    needs="embeddings",
    stochastic=False,
)

MAE_LINPROBE = ProtocolInfo(
    name="mae_linprobe",
    title="Linear probe of the MAE paper",
    description=(
        "Batch normalisation without scale, then one linear layer trained by LARS for 90 epochs (He et al., CVPR "
        "2022), on cached embeddings of unaugmented images."
    ),
    config=MaeLinprobeConfig,
    run=in_domain(learn_mae),
    needs="embeddings",
    stochastic=True,
    demo={"epochs": 10, "warmup_epochs": 1},
)
