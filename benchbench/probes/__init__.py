"""Cheap ways to judge a frozen encoder by its embeddings; importing this package imports no torch.

`fit_probe` and `fit_multilabel_probe` are the linear probe, `knn_probe` and `prototype_probe` cheap second views,
`mae_linear_probe` the recipe of the MAE paper, and `PRESETS` the published settings.
"""

from __future__ import annotations

from .checks import ProbeInputError
from .fitted import DEFAULT_C_GRID, FittedMultilabelProbe, FittedPath, FittedProbe, ProbeGrid
from .folds import Folds, grouped_folds
from .linear import fit_multilabel_probe, fit_path, fit_probe
from .mae import MaeProbe, mae_linear_probe
from .neighbours import KnnProbe, PrototypeProbe, knn_probe, prototype_probe
from .presets import PRESETS, ProbePreset, preset
from .selection import Selection
from .threads import thread_limit

__all__ = [
    "DEFAULT_C_GRID",
    "PRESETS",
    "FittedMultilabelProbe",
    "FittedPath",
    "FittedProbe",
    "Folds",
    "KnnProbe",
    "MaeProbe",
    "ProbeGrid",
    "ProbeInputError",
    "ProbePreset",
    "PrototypeProbe",
    "Selection",
    "fit_multilabel_probe",
    "fit_path",
    "fit_probe",
    "grouped_folds",
    "knn_probe",
    "mae_linear_probe",
    "preset",
    "prototype_probe",
    "thread_limit",
]
