"""Published probe settings, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from benchbench.errors import SuiteError, did_you_mean

from .fitted import ProbeGrid


@dataclass(frozen=True)
class MaeSettings:
    """Numbers of MAE's linear probe. `blr` is the learning rate per 256 images of a batch."""

    epochs: int = 90
    warmup_epochs: int = 10
    batch_size: int = 512
    blr: float = 0.1
    min_lr: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_norm_epsilon: float = 1e-6
    init_std: float = 0.01


@dataclass(frozen=True)
class ProbePreset:
    """Named settings with their source; one of `grid` and `mae` is set.

    `bootstrap_median` says that the source reports the median AUROC of that many bootstrap samples (random state 42).
    """

    name: str
    source: str
    grid: ProbeGrid | None = None
    mae: MaeSettings | None = None
    bootstrap_median: int = 0


MAE_LINPROBE = MaeSettings()

PRESETS: dict[str, ProbePreset] = {
    p.name: p
    for p in (
        ProbePreset("benchbench", "this project: C by validation split or grouped folds", grid=ProbeGrid()),
        ProbePreset(
            "retfound_green_paper",
            "justinengelmann/RETFound_Green, Training_and_eval_code/evaluation/Eval_IDRiD.ipynb and Eval_BRSET.ipynb",
            grid=ProbeGrid(C_grid=(1.0,), solver="sklearn"),
            bootstrap_median=100,
        ),
        ProbePreset("mae_linprobe", "facebookresearch/mae, main_linprobe.py", mae=MAE_LINPROBE),
    )
}


def preset(name: str) -> ProbePreset:
    """The preset of this name.

    Raises:
        SuiteError: There is none.
    """
    if name not in PRESETS:
        raise SuiteError(
            f"there is no probe preset {name!r}",
            fix=did_you_mean(name, PRESETS) or f"one of {', '.join(sorted(PRESETS))}",
        )
    return PRESETS[name]
