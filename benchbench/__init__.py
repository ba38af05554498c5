"""benchbench: benchmarking retinal foundation models with statistics that hold up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .api import (
    Access,
    CellOutput,
    CellSpec,
    DatasetInfo,
    DatasetOption,
    DeclaredCompute,
    EncoderFamily,
    EncoderInfo,
    EncoderVariant,
    Predictions,
    Preprocess,
    PretrainingSet,
    ProtocolInfo,
    ReportSection,
    Task,
    WeightsArchive,
    WeightsSource,
)
from .errors import BenchError
from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .encoder import Encoder

__version__ = "0.1.0"

__all__ = [
    "Access",
    "BenchError",
    "CellOutput",
    "CellSpec",
    "DatasetInfo",
    "DatasetOption",
    "DeclaredCompute",
    "EncoderFamily",
    "EncoderInfo",
    "EncoderVariant",
    "Predictions",
    "Preprocess",
    "PretrainingSet",
    "ProtocolInfo",
    "ReportSection",
    "Task",
    "WeightsArchive",
    "WeightsSource",
    "hookimpl",
    "load_encoder",
]


def load_encoder(
    name: str,
    weights: Any = None,
    variant: str | None = None,
    device: str = "cpu",
    decode: Literal["reference", "exact", "fast"] = "reference",
) -> Encoder:
    """Load an encoder for use outside suites; see `benchbench.encoder.load_encoder`."""
    from .encoder import load_encoder as load

    return load(name, weights=weights, variant=variant, device=device, decode=decode)
