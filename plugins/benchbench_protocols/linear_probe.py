"""Linear probe: logistic regression on frozen, standardised embeddings."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.api import ProtocolInfo, Task
from benchbench.context import CellContext

from .frozen import Fit, Fitted, Table, codes, expand, learn_frozen
from .learned import Learned, in_domain
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np

GRID = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)
PRESETS = {
    "benchbench": {},
    "retfound_green_paper": {"C_grid": [1.0], "solver": "sklearn"},
}
DEMO = {"C_grid": [1e-4, 1e-2, 1.0], "folds": 3}


class LinearProbeConfig(BaseModel):
    """Settings of the linear probe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    C_grid: tuple[float, ...] = Field(
        GRID,
        min_length=1,
        description="Inverse strengths of the L2 penalty to choose from; one value: no search.",
    )
    folds: int = Field(5, ge=2, le=20, description="Inner folds, where the split has no validation images.")
    criterion: Literal["log_loss", "auroc"] = Field(
        "log_loss", description="What held-out images are scored by when C is chosen."
    )
    one_standard_error: bool = Field(
        False, description="Take the strongest penalty within one standard error of the best."
    )
    class_weight: Literal["balanced"] | None = Field(None, description="balanced: rare classes weigh more.")
    solver: Literal["benchbench", "sklearn"] = Field(
        "benchbench",
        description="benchbench: to the optimum; sklearn: at its default tolerance, as in papers.",
    )


def learn_probe(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Fit the probe on `train`; C comes from `validation`, else from inner folds that keep patients whole.

    A multi-label task gets one binary probe per label, each on the images that carry that label.
    """
    return learn_frozen(probe_fit(context, task, config), context, train, validation, task, config.folds)


def probe_fit(
    context: CellContext, task: Task, config: Any, *, C_grid: tuple[float, ...] | None = None
) -> Fit:
    """The probe as a fit of embeddings; `C_grid` replaces that of the settings."""
    from benchbench.probes import ProbeGrid

    grid = ProbeGrid(
        C_grid=C_grid or config.C_grid,
        folds=config.folds,
        metric=config.criterion,
        one_standard_error=config.one_standard_error,
        class_weight=config.class_weight,
        solver=config.solver,
        device=context.device,
        threads=context.threads,
    )
    return _one_probe_per_label(task, grid) if task.kind == "multilabel" else _one_probe(task, grid)


def _one_probe(task: Task, grid: Any) -> Fit:
    from benchbench.probes import fit_probe

    def fit(train: Table, validation: Table | None) -> Fitted:
        judge = {} if validation is None else {"X_val": validation.X, "y_val": validation.y}
        probe = fit_probe(train.X, train.y, groups=train.groups, grid=grid, **judge)
        inside = None
        if probe.out_of_fold is not None:
            inside = expand(probe.out_of_fold, probe.classes, codes(task))
        details: dict[str, float | int | str] = {"C": probe.C, "selection": probe.selection.method}
        if probe.selection.note:
            details["note"] = probe.selection.note
        return Fitted(
            lambda Z: expand(probe.predict_proba(Z), probe.classes, codes(task)),
            inside,
            details,
            stage_seconds(probe.timings),
        )

    return fit


def stage_seconds(timings: Any) -> dict[str, float]:
    """Seconds by stage; scikit-learn's pipeline standardises within its fit, so it has no stage of its own."""
    return {stage: seconds for stage, seconds in asdict(timings).items() if seconds}


def _one_probe_per_label(task: Task, grid: Any) -> Fit:
    """All labels are solved together; a label that cannot be learned scores 0.5."""
    import numpy as np

    from benchbench.probes import fit_multilabel_probe

    def fit(train: Table, validation: Table | None) -> Fitted:
        judge = {} if validation is None else {"X_val": validation.X, "Y_val": validation.y}
        many = fit_multilabel_probe(
            train.X, train.y, groups=train.groups, grid=grid, names=task.classes, **judge
        )
        details: dict[str, float | int | str] = {}
        inside: list[np.ndarray | None] = []
        for name, probe, why in zip(many.names, many.probes, many.skipped, strict=True):
            details |= {f"C {name}": probe.C} if probe is not None else {f"skipped {name}": why}
            held_out = None if probe is None else probe.out_of_fold
            inside.append(held_out[:, 1] if held_out is not None else None)
            if probe is None:
                inside[-1] = np.full(len(train.X), 0.5)
        known = [column for column in inside if column is not None]
        return Fitted(
            lambda Z: np.nan_to_num(many.predict_proba(Z), nan=0.5),
            np.column_stack(known) if len(known) == len(inside) else None,
            details,
            stage_seconds(many.timings),
        )

    return fit


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
    presets=PRESETS,
    demo=DEMO,
)
