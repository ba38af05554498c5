"""Linear probe: logistic regression on frozen, standardised embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.api import ProtocolInfo, Task
from benchbench.context import CellContext, Part

from .learned import Learned, Stopwatch, in_domain, keep_positive
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np

GRID = tuple(10.0**e for e in range(-6, 3))


class LinearProbeConfig(BaseModel):
    """Settings of the linear probe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    C_grid: tuple[float, ...] = Field(
        GRID,
        min_length=1,
        description="Inverse strengths of the L2 penalty to choose from; one value: no search.",
    )
    folds: int = Field(5, ge=2, le=20, description="Inner folds, where the split has no validation images.")
    solver: Literal["benchbench", "sklearn"] = Field(
        "benchbench",
        description="benchbench: to the optimum; sklearn: scikit-learn at its default tolerance, as in papers.",
    )


def learn_probe(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Fit the probe on `train`; C comes from `validation`, else from inner folds that keep patients whole."""
    from ._sklearn_probe import fit_probe

    clock = Stopwatch()
    with clock("read"):
        X = train.features(context)
        X_val = validation.features(context) if validation is not None else None
    with clock("fit"):
        probe = fit_probe(
            X,
            train.labels,
            groups=train.groups,
            n_classes=max(2, len(task.classes)),
            C_grid=config.C_grid,
            X_val=X_val,
            y_val=validation.labels if validation is not None else None,
            folds=config.folds,
            max_iter=20_000 if config.solver == "sklearn" else 2000,
        )
    ids: tuple[str, ...] = ()
    kept: np.ndarray | None = None
    if validation is not None and X_val is not None:
        ids, kept = validation.image_ids, keep_positive(probe.predict_proba(X_val), task)
    elif probe.out_of_fold is not None:
        ids, kept = train.image_ids, keep_positive(probe.out_of_fold, task)

    def score(part: Part) -> np.ndarray:
        return keep_positive(probe.predict_proba(context.features(part)), task)

    details: dict[str, float | int | str] = {"n": len(train), "width": X.shape[1]}
    names = task.classes if task.kind == "multilabel" else ("",)
    details |= {f"C {name}".strip(): C for name, C in zip(names, probe.C, strict=True)}
    return Learned(score, ids, kept, details, clock.seconds)


LINEAR_PROBE = ProtocolInfo(
    name="linear_probe",
    title="Linear probe",
    description=(
        "Embeddings are computed once by the frozen encoder and standardised on the training images. An L2 "
        "multinomial logistic regression is fitted on them; its strength is chosen by log-loss on the validation "
        "images, or by stratified inner folds that keep each patient whole."
    ),
    config=LinearProbeConfig,
    run=in_domain(learn_probe),
    needs="embeddings",
    stochastic=False,
    presets={
        "benchbench": {},
        "retfound_green_paper": {"C_grid": [1.0], "solver": "sklearn"},
    },
    demo={"C_grid": [1e-4, 1e-2, 1.0], "folds": 3},
)
