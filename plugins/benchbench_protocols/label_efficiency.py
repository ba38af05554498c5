"""Label efficiency: training on growing shares of the training patients."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from benchbench.api import CellOutput, CellSpec, ProtocolInfo, Task
from benchbench.context import CellContext
from benchbench.errors import CellError

from .fine_tune import DEMO as FINE_TUNE_DEMO
from .fine_tune import PRESETS as FINE_TUNE_PRESETS
from .fine_tune import FineTuneConfig, carve, learn_fine_tune, training_recipes
from .learned import Learn, test_once
from .linear_probe import DEMO as PROBE_DEMO
from .linear_probe import PRESETS as PROBE_PRESETS
from .linear_probe import LinearProbeConfig, learn_probe
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np

# Excluded from the settings that identify a cell: each cell has its own fraction and repeat, and another one added
# to the list must not compute the others anew.
_FRACTIONS = Field(
    (0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
    min_length=1,
    exclude=True,
    description="Shares of the training patients.",
)
_REPEATS = Field(
    3,
    ge=1,
    le=50,
    exclude=True,
    description="Random orders of the patients, each with its nested subsets.",
)
_DEMO = {"fractions": [0.3, 1.0], "repeats": 1}


def _in_order(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if any(not 0 < f <= 1 for f in fractions) or len(set(fractions)) != len(fractions):
        raise ValueError("fractions must differ, and lie above 0 and at most at 1")
    return tuple(sorted(fractions))


class LabelEfficiencyConfig(LinearProbeConfig):
    """Settings of label efficiency by linear probe."""

    fractions: tuple[float, ...] = _FRACTIONS
    repeats: int = _REPEATS
    _order = field_validator("fractions")(_in_order)


class LabelEfficiencyFineTuneConfig(FineTuneConfig):
    """Settings of label efficiency by fine-tune."""

    fractions: tuple[float, ...] = _FRACTIONS
    repeats: int = _REPEATS
    _order = field_validator("fractions")(_in_order)


def efficiency_cells(tasks: tuple[tuple[str, Task], ...], config: Any) -> tuple[CellSpec, ...]:
    """One cell per task, fraction and repeat; all labels need one repeat only."""
    return tuple(
        CellSpec(name, (name,), (("fraction", f"{fraction:g}"), ("repeat", str(repeat))))
        for name, _ in tasks
        for fraction in config.fractions
        for repeat in range(1 if fraction == 1 else config.repeats)
    )


def run_efficiency(learn: Learn) -> Any:
    """The `run` of a label-efficiency protocol: the subset is of the training images, validation stays whole.

    Where the split has no validation images, those of a fine-tune are held out before the subset is drawn, so that
    every share of the labels is judged on the same ones.
    """

    def run(context: CellContext) -> CellOutput:
        whole, validation = Samples((context.train,)), Samples.of(context.validation)
        if validation is None and isinstance(context.config, FineTuneConfig):
            whole, validation = carve(whole, context.config.validation_share)
        chosen = patient_subset(
            whole.groups, whole.labels, float(context.axes["fraction"]), int(context.axes["repeat"])
        )
        train = whole.take(chosen)
        if train.labels.ndim == 1 and len(set(train.labels.tolist())) < 2:
            raise CellError(
                f"A share of {context.axes['fraction']} of the training patients holds images of one class only.",
                where=context.task_name,
                fix="use larger fractions",
            )
        learned = learn(context, train, validation, context.task, context.config)
        return test_once(context, learned)

    return run


def patient_subset(groups: tuple[str, ...], labels: np.ndarray, fraction: float, repeat: int) -> np.ndarray:
    """Positions of the images of the first `fraction` of the patients, in an order that `repeat` decides.

    Patients take turns between the classes (each stands in the rarest class that it has), so that every subset has
    the classes in about their shares. Smaller fractions of a repeat lie inside its larger ones.
    """
    import numpy as np

    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    stratum = _stratum(inverse, len(names), labels)
    ticket = np.array([hashlib.sha256(f"{repeat}/{name}".encode()).hexdigest() for name in names])
    position = np.empty(len(names))
    for s in np.unique(stratum):
        members = np.flatnonzero(stratum == s)
        position[members[np.argsort(ticket[members])]] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.lexsort((ticket, position))
    count = max(1, round(fraction * len(names)))
    kept = np.zeros(len(names), bool)
    kept[order[:count]] = True
    return np.flatnonzero(kept[inverse])


def _stratum(inverse: np.ndarray, patients: int, labels: np.ndarray) -> np.ndarray:
    """The rarest class, or label, of each patient; -1: none."""
    import numpy as np

    if labels.ndim == 2:
        has = np.nan_to_num(labels) > 0
    else:
        has = labels[:, None] == np.unique(labels)[None, :]
    held = np.zeros((patients, has.shape[1]), bool)
    np.logical_or.at(held, inverse, has)
    count = np.where(held, held.sum(axis=0)[None, :], np.iinfo(np.int64).max)
    return np.where(held.any(axis=1), count.argmin(axis=1), -1)


LABEL_EFFICIENCY = ProtocolInfo(
    name="label_efficiency",
    title="Label efficiency, linear probe",
    description=(
        "Linear probes on growing, nested shares of the training patients, with several random orders of the patients. "
        "Test images stay the same, and so do the validation images of the split; without them, C is chosen by folds "
        "of each share."
    ),
    config=LabelEfficiencyConfig,
    run=run_efficiency(learn_probe),
    needs="embeddings",
    stochastic=False,
    cells=efficiency_cells,
    presets=PROBE_PRESETS,
    demo={**PROBE_DEMO, **_DEMO},
)

LABEL_EFFICIENCY_FINE_TUNE = ProtocolInfo(
    name="label_efficiency_fine_tune",
    title="Label efficiency, fine-tune",
    description=(
        "Fine-tuning on growing, nested shares of the training patients, with several random orders of the patients. "
        "Validation and test images stay the same."
    ),
    config=LabelEfficiencyFineTuneConfig,
    run=run_efficiency(learn_fine_tune),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    cells=efficiency_cells,
    presets=FINE_TUNE_PRESETS,
    demo={**FINE_TUNE_DEMO, **_DEMO},
    version="3",
)
