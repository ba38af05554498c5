"""The contracts between benchbench and its plugins: plain frozen dataclasses, nothing heavy.

A plugin returns `EncoderInfo`, `DatasetInfo` and `ProtocolInfo` objects from its hooks. They are metadata plus
functions; torch is imported inside the functions, so listing plugins stays fast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import PluginError, did_you_mean
from .origin import Origin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from .context import CellContext

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
Modality = Literal["cfp", "oct"]
"""Colour fundus photographs, and OCT B-scans."""
CROP_VERSION = 2
"""Raise it when a crop gives other pixels."""


# --------------------------------------------------------------------------------------------- encoders


@dataclass(frozen=True)
class Preprocess:
    """The exact way from an image file to the input tensor; part of an encoder's identity.

    The steps run in this order: decode to RGB, `crop`, `resize`, centre crop to `size`, scale to [0, 1],
    `normalise`.
    """

    name: str
    """Short name, unique within the encoder, for instance ``eval``."""
    size: int
    """Side of the square input in pixels."""
    resize: Literal["squash", "short_side", "fit_pad"] = "short_side"
    """``squash``: to size x size whatever the aspect; ``short_side``: shorter side to `resize_to`, then centre
    crop; ``fit_pad``: longer side to size, padded with zeros at the right and bottom."""
    resize_to: int | None = None
    """Length of the shorter side before the centre crop (``short_side`` only; default: `size`)."""
    interpolation: Literal["bicubic", "bilinear", "lanczos"] = "bicubic"
    resizer: Literal["pil", "tensor"] = "pil"
    """Reference implementation: Pillow, or torchvision's antialiased resize of the uint8 tensor."""
    normalise: Literal["fixed", "per_image"] = "fixed"
    """``fixed``: (x - mean) / std; ``per_image``: each image's own channel mean and standard deviation."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    crop: Literal["none", "fundus_circle", "automorph_m0"] = "none"
    """Removal of the black frame before anything else."""
    decode: Literal["exact", "fast", "reference"] = "exact"
    """``exact``: full decode, large images resized by torch within a grey level of Pillow; ``fast``: scaled JPEG
    decode at two times the target or more; ``reference``: full decode, and at every size the resize that
    `resizer` names, so that the pixels are those of the official code."""
    source: str = ""
    """Where this recipe is stated."""

    def pixels_key(self) -> dict[str, Any]:
        """What decides the uint8 pixels (everything but the normalisation), for sharing prepared images."""
        keys = ("size", "resize", "resize_to", "interpolation", "resizer", "crop", "decode")
        return {k: getattr(self, k) for k in keys} | self.crop_version()

    def crop_version(self) -> dict[str, Any]:
        """What the identity of cropped images holds beside the recipe; nothing where there is no crop."""
        return {} if self.crop == "none" else {"crop_version": CROP_VERSION}


@dataclass(frozen=True)
class WeightsArchive:
    """A zip archive that holds a checkpoint, where the file itself has no address."""

    url: str
    member: str
    """Name of the checkpoint inside."""
    sha256: str
    """Of the archive."""
    size_bytes: int


@dataclass(frozen=True)
class WeightsSource:
    """Where the checkpoint of an encoder comes from, and what it must be."""

    file_name: str
    """Official file name, looked up in the weights root."""
    licence: str
    how_to_obtain: str
    """Sentence(s) for a person: where to click, what to accept, where to put the file."""
    sha256: str | None = None
    size_bytes: int | None = None
    url: str | None = None
    """Direct download address, where there is one."""
    archive: WeightsArchive | None = None
    """The archive to download, where the file comes in one."""
    hub_repo: str | None = None
    """Hugging Face repository id, where the file lives on the hub."""
    gated: bool = False
    other_names: tuple[str, ...] = ()
    """Further file names under which the same weights circulate."""
    package_file: str | None = None
    """``package:path`` when an installed Python package ships the file."""
    source: str = ""
    """Where size and hash were seen."""


@dataclass(frozen=True)
class PretrainingSet:
    """One data set that an encoder saw before, with its image count and where that is stated."""

    name: str
    """Benchbench's dataset name where there is one (``oct2017``), else the set's usual name."""
    images: int | None
    source: str


@dataclass(frozen=True)
class DeclaredCompute:
    """Pre-training compute as the authors state it; never mixed with measured cost."""

    gpu_days: float | None
    hardware: str
    source: str


@dataclass(frozen=True)
class EncoderVariant:
    """Another official preprocessing, pooling or checkpoint of the same encoder; unset fields are inherited."""

    name: str
    title: str
    preprocess: Preprocess | None = None
    pooling: str | None = None
    weights: WeightsSource | None = None
    embed_dim: int | None = None
    load: Callable[[Path | None, str], Any] | None = None


@dataclass(frozen=True)
class EncoderInfo:
    """Card of an encoder, and the function that loads it.

    `load(weights_path, device)` returns a ``torch.nn.Module`` in eval mode whose forward maps normalised float
    tensors (B, 3, size, size) to embeddings (B, embed_dim). With ``weights_path=None`` it builds the same
    architecture with random weights (used for speed and size, and stamped ``untrained`` elsewhere). It checks
    the exact sets of missing and unexpected keys and raises `WeightsError` on any difference.
    """

    name: str
    title: str
    architecture: str
    embed_dim: int
    preprocess: Preprocess
    pooling: str
    """How tokens or maps become one vector, for instance ``mean of patch tokens, then LayerNorm``."""
    load: Callable[[Path | None, str], Any]
    weights: WeightsSource | None
    """None: the encoder has no trained weights by design (an untrained control)."""
    licence: str
    citation: str
    """BibTeX entry, or an empty string for controls."""
    modalities: tuple[str, ...] = ("cfp", "oct")
    parameters: int | None = None
    pretraining: tuple[PretrainingSet, ...] = ()
    declared_clean: tuple[str, ...] = ()
    """Datasets that the authors state were not used in pre-training."""
    pretraining_complete: str = ""
    """Where it is stated that `pretraining` lists every set; then whatever it does not list was not seen."""
    compute: DeclaredCompute | None = None
    aliases: tuple[str, ...] = ()
    variants: tuple[EncoderVariant, ...] = ()
    variant: str = "default"
    version: str = "1"
    """Raise it when the loader's result changes: it is part of the identity of every cached embedding."""
    layer_groups: Callable[[Any], tuple[tuple[str, ...], ...]] | None = None
    """Parameter names by depth, stem first, for layer-wise learning-rate decay. None: timm's own grouping."""
    notes: str = ""
    origin: Origin | None = None
    """The plugin that brought it; filled in when plugins are discovered."""

    def with_variant(self, name: str) -> EncoderInfo:
        """This encoder with the fields of variant `name` filled in."""
        if name == self.variant:
            return self
        for v in self.variants:
            if v.name == name:
                return dataclasses.replace(
                    self,
                    variant=v.name,
                    title=f"{self.title} ({v.title})",
                    preprocess=v.preprocess or self.preprocess,
                    pooling=v.pooling or self.pooling,
                    weights=v.weights or self.weights,
                    embed_dim=v.embed_dim or self.embed_dim,
                    load=v.load or self.load,
                )
        names = [v.name for v in self.variants]
        raise PluginError(
            f"Encoder {self.name!r} has no variant {name!r}.",
            fix=f"use one of: {', '.join(['default', *names])}. {did_you_mean(name, names)}".strip(),
        )


@dataclass(frozen=True)
class EncoderFamily:
    """Encoders made on demand from a name, such as ``timm/<any model name>``."""

    prefix: str
    """Ends in a slash; names that start with it are handed to `resolve`."""
    title: str
    resolve: Callable[[str], EncoderInfo]
    """Full name in, card out; raises `PluginError` with the nearest known name."""
    example: str = ""
    origin: Origin | None = None
    """The plugin that brought it; filled in when plugins are discovered."""


# --------------------------------------------------------------------------------------------- datasets

TaskKind = Literal["binary", "ordinal", "multiclass", "multilabel"]
DEFAULT_METRIC: Mapping[str, str] = {
    "binary": "auroc",
    "ordinal": "quadratic_kappa",
    "multiclass": "macro_auroc",
    "multilabel": "macro_auroc",
}


@dataclass(frozen=True)
class Task:
    """One target of a dataset.

    Labels come from `column` of the dataset table: class codes 0..K-1 as floats, NaN where not labelled.
    A binary task may be derived from another column by `positive` (those codes are 1, all others 0) after
    dropping the codes in `exclude`. A multi-label task names one 0/1/NaN column per class in `columns`.
    """

    name: str
    title: str
    kind: TaskKind
    classes: tuple[str, ...]
    """Class names in code order; for binary (negative, positive); for multilabel one per label."""
    column: str = ""
    positive: tuple[int, ...] | None = None
    exclude: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    provenance: str = ""
    """Who defined this label, and from what."""

    @property
    def metric(self) -> str:
        """Default primary metric; a suite may declare another."""
        return DEFAULT_METRIC[self.kind]

    def labels(self, frame: pd.DataFrame) -> np.ndarray:
        """Labels of the rows of a dataset table: (n,) float64, or (n, L) for multilabel; NaN = not labelled."""
        import numpy as np

        if self.kind == "multilabel":
            return frame[list(self.columns)].to_numpy(dtype=np.float64)
        values = frame[self.column].to_numpy(dtype=np.float64)
        if self.exclude:
            values = np.where(np.isin(values, self.exclude), np.nan, values)
        if self.positive is not None:
            values = np.where(np.isnan(values), np.nan, np.isin(values, self.positive).astype(np.float64))
        return values


@dataclass(frozen=True)
class DatasetOption:
    """A choice that changes the table a dataset loads (part of its identity), such as PAPILA's suspects."""

    name: str
    choices: tuple[str, ...]
    default: str
    help: str


@dataclass(frozen=True)
class Access:
    """How a person gets the data."""

    route: str
    """Where it is hosted, in words; an address where there is one."""
    licence: str
    redistributable: bool
    steps: tuple[str, ...]
    """What to do, one step a line."""
    layout: str
    """The expected folder, as a small tree below ``<data root>/<dataset name>/``."""


@dataclass(frozen=True)
class DatasetInfo:
    """Card of a dataset, and the functions that read and simulate it.

    `load(root, options)` reads the files exactly as the original source distributes them and returns a table
    with one row per image and the columns ``image_id`` (unique), ``path`` (absolute), ``patient_id``, ``eye``
    ("OD", "OS" or ""), ``split`` (official: "train", "val", "test" or "") and the label columns (float, NaN =
    not labelled). It raises `DataError` naming every bad or missing file at once.

    `simulate(root, n, seed)` writes synthetic images in the same layout, marked by a file named
    ``SIMULATED.txt`` in `root`; `n` is the approximate number of images (None: the plugin's own small default).
    """

    name: str
    title: str
    modality: Modality
    tasks: tuple[Task, ...]
    access: Access
    citation: str
    load: Callable[[Path, Mapping[str, str]], pd.DataFrame]
    simulate: Callable[[Path, int | None, int], None] | None = None
    cluster: str | None = None
    """Column whose equal values are not independent (``patient_id``); None: no identifiers are distributed."""
    paired_eyes: bool = False
    """True when a patient usually has several images; without identifiers such a set gets no p-values."""
    default_split: str = "official"
    options: tuple[DatasetOption, ...] = ()
    expected: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    """Expected counts: ``total``, ``train``, ``grade=0``, ``train/grade=0`` ..., checked by `bench data verify`;
    several numbers where releases differ. They hold for the default of every option."""
    checksums: Callable[[], Mapping[str, str]] | None = None
    """Relative path -> sha256 of the official files, label tables included, where known."""
    version: str = "1"
    aliases: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    """Names of the sets that these images were taken from; an encoder that saw those saw this one."""
    notes: tuple[str, ...] = ()
    """What a reader of every result on it should know; `bench data verify` and the report show it."""
    origin: Origin | None = None
    """The plugin that brought it; filled in when plugins are discovered."""

    def task(self, name: str) -> Task:
        """The task called `name` (without the dataset prefix)."""
        for t in self.tasks:
            if t.name == name:
                return t
        names = [t.name for t in self.tasks]
        raise PluginError(
            f"Dataset {self.name!r} has no task {name!r}.",
            fix=f"use one of: {', '.join(names)}. {did_you_mean(name, names)}".strip(),
        )


# --------------------------------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class Predictions:
    """Scores of one cell on one target's test split; the primary artefact.

    Labels are not part of it: the runner attaches them, so that a protocol never sees a test label.
    """

    image_ids: tuple[str, ...]
    scores: np.ndarray
    """(n, K) float64 probabilities; K = 1 (probability of the positive class) for binary tasks."""
    validation_ids: tuple[str, ...] = ()
    validation_scores: np.ndarray | None = None
    """(m, K) scores on validation or out-of-fold training images; thresholds are frozen on these."""


@dataclass(frozen=True)
class CellOutput:
    """What a protocol returns: predictions per target task, and what it wants remembered."""

    predictions: Mapping[str, Predictions]
    """Keyed by full task name, ``dataset/task``."""
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    """Chosen hyper-parameters, for instance ``C``; the same on every run."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, for instance ``fit`` and ``predict``; kept apart from the rows because they vary."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Targets without predictions, and why: their rows are failures, the other targets keep their results."""


@dataclass(frozen=True)
class CellSpec:
    """One cell that a protocol asks for: where it trains, where it is evaluated, and any extra axes."""

    task: str
    """Full name of the task it is trained on."""
    targets: tuple[str, ...]
    """Full names of the tasks it is evaluated on; (task,) in-domain."""
    axes: tuple[tuple[str, str], ...] = ()
    """Extra axes such as (("fraction", "0.1"), ("repeat", "2")); part of the identity."""
    also_train: tuple[str, ...] = ()
    """Further tasks whose training images are pooled with those of `task` (leave one dataset out)."""

    @property
    def sources(self) -> tuple[str, ...]:
        """All tasks it is trained on."""
        return (self.task, *self.also_train)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks whose images it needs, each once."""
        return tuple(dict.fromkeys([*self.sources, *self.targets]))


def _one_cell_per_task(tasks: tuple[tuple[str, Task], ...], config: Any) -> tuple[CellSpec, ...]:
    return tuple(CellSpec(task=name, targets=(name,)) for name, _ in tasks)


def _as_the_encoder_sees_them(encoder: EncoderInfo, config: Any) -> tuple[Preprocess, ...]:
    return (encoder.preprocess,)


@dataclass(frozen=True)
class ProtocolInfo:
    """How an encoder is judged on a task.

    `config` is a pydantic model class (``extra="forbid"``, frozen) with every setting and its default.
    `cells(tasks, config)` says which cells the protocol needs for the suite's tasks, given as
    ((full name, Task), ...). `run(context)` computes one cell. `recipes(encoder, config)`, for protocols on images,
    names how `run` will have images prepared, so that each file is decoded once for all of them.
    """

    name: str
    title: str
    description: str
    config: type
    run: Callable[[CellContext], CellOutput]
    needs: Literal["embeddings", "images"]
    stochastic: bool
    """False: every seed gives the same scores, so one seed is run."""
    cells: Callable[[tuple[tuple[str, Task], ...], Any], tuple[CellSpec, ...]] = _one_cell_per_task
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Named settings, each named after its source."""
    demo: Mapping[str, Any] = field(default_factory=dict)
    """Settings that shorten the protocol for ``--demo``."""
    default_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    version: str = "1"
    recipes: Callable[[EncoderInfo, Any], tuple[Preprocess, ...]] = _as_the_encoder_sees_them
    origin: Origin | None = None
    """The plugin that brought it; filled in when plugins are discovered."""


@dataclass(frozen=True)
class ReportSection:
    """A section that a plugin adds to the report; `render` gets the analysis and returns plain text lines."""

    title: str
    render: Callable[[Any], tuple[str, ...]]


def module_forward(module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Embeddings (B, D) of a normalised batch (B, 3, H, W); one place for the contract's forward call.

    Raises:
        PluginError: the module returned anything but one tensor.
    """
    import torch

    out = module(batch)
    if not isinstance(out, torch.Tensor):
        kind = "numpy array" if type(out).__module__ == "numpy" else type(out).__name__
        raise PluginError(
            f"The encoder's forward returned a {kind}; return one tensor (B, embed_dim).",
            where=type(module).__name__,
            fix="let the module that `load` returns pick the embedding, in a small wrapper if need be",
        )
    return out
