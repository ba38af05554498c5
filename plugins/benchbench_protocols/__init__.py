"""First-party protocols of benchbench."""

from __future__ import annotations

from benchbench.api import ProtocolInfo
from benchbench.hookspecs import hookimpl

from .fine_tune import FINE_TUNE
from .label_efficiency import LABEL_EFFICIENCY, LABEL_EFFICIENCY_FINE_TUNE
from .linear_probe import LINEAR_PROBE
from .lodo import LODO, LODO_FINE_TUNE
from .lora import LORA
from .multitask import MULTITASK, MULTITASK_FINE_TUNE
from .neighbours import KNN, MAE_LINPROBE, PROTOTYPE
from .transfer import TRANSFER, TRANSFER_FINE_TUNE


@hookimpl
def benchbench_protocols() -> list[ProtocolInfo]:
    """How an encoder can be judged on a task."""
    return [
        LINEAR_PROBE,
        KNN,
        PROTOTYPE,
        MAE_LINPROBE,
        FINE_TUNE,
        LORA,
        TRANSFER,
        TRANSFER_FINE_TUNE,
        LODO,
        LODO_FINE_TUNE,
        MULTITASK,
        MULTITASK_FINE_TUNE,
        LABEL_EFFICIENCY,
        LABEL_EFFICIENCY_FINE_TUNE,
    ]
