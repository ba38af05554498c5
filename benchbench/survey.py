"""The survey: what a suite needs, and whether it is here.

Reads label files and hashes images and weights (both cached), and draws simulated images unless told to leave
that. Everything that is missing or broken is collected, so that a user sees all of it at once, before any compute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from .api import DatasetInfo, EncoderInfo, Task
from .datasets import LoadedDataset, load_dataset
from .datasets.loading import resolve_options
from .datasets.local import known_names, own_hint, with_local_datasets
from .datasets.model import SIMULATED_MARKER
from .errors import PLUGIN_FAULTS, BenchError, DataError, PluginError, did_you_mean, reason_of
from .hashing import HashCache
from .origin import named, plugin_identity
from .plugins import Registry
from .splits import SplitSpec
from .store import Store
from .suite import DatasetUse, EncoderUse, Simulation, SuiteFile
from .weights import UNTRAINED, ResolvedWeights, find_given, how_to, resolve, with_own_weights

METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("auroc", "average_precision", "balanced_accuracy"),
    "ordinal": ("quadratic_kappa", "macro_auroc", "unweighted_kappa", "balanced_accuracy"),
    "multiclass": ("macro_auroc", "balanced_accuracy", "unweighted_kappa"),
    "multilabel": ("macro_auroc",),
}
DEMO = Simulation(images=60, seed=0)
SplitPart = Literal["train", "test"]


@dataclass(frozen=True)
class Roots:
    """Where data, weights and the store are."""

    data: Path | None
    weights: Path | None
    store: Store


@dataclass(frozen=True)
class EncoderState:
    """One encoder of the suite, and its weights."""

    label: str
    info: EncoderInfo
    weights: ResolvedWeights
    precision: str
    backend: str
    problem: str
    """Empty when everything is here, else what is missing and how to get it."""


@dataclass(frozen=True)
class DatasetState:
    """One dataset of the suite, and its table."""

    name: str
    info: DatasetInfo
    loaded: LoadedDataset | None
    problem: str
    pending: str = ""
    """What a run will simulate first; empty when that is done or not wanted."""


@dataclass(frozen=True)
class Survey:
    """Everything a plan needs to know."""

    encoders: tuple[EncoderState, ...]
    datasets: Mapping[str, DatasetState]
    tasks: Mapping[str, Task]
    """Full name -> task, in suite order."""
    metrics: Mapping[str, str]
    """Full name -> declared primary metric."""
    task_problems: Mapping[tuple[str, SplitPart], str] = field(default_factory=dict)
    """(full name, part of the split) -> why the task cannot be trained or judged on that part."""

    def task(self, name: str) -> Task:
        """A task of one of the surveyed datasets, whether or not the suite lists it."""
        if name in self.tasks:
            return self.tasks[name]
        dataset, _, task = name.rpartition("/")
        return self.datasets[dataset].info.task(task)

    def metric(self, name: str) -> str:
        """The declared primary metric of a task, or the default of its kind."""
        return self.metrics.get(name) or self.task(name).metric


def survey(
    file: SuiteFile,
    registry: Registry,
    roots: Roots,
    *,
    demo: bool = False,
    simulate: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> Survey:
    """Look at every input of a suite.

    With `simulate`, simulated datasets that are not there yet are written, which takes seconds; without, they are
    `pending`.
    """
    wanted = [t.task.rpartition("/")[0] for t in file.suite.tasks]
    registry = with_local_datasets(registry, roots.data, wanted)
    tasks, metrics = _tasks(file, registry, roots.data)
    names = dict.fromkeys(t.rpartition("/")[0] for t in tasks)
    for i, name in enumerate(file.suite.datasets):
        if name not in names:
            raise file.error(
                f"The dataset {name!r} has settings but no task uses it.",
                ("datasets", name),
                f"remove its settings or add one of its tasks (dataset {i + 1} of the list)",
            )
    hashes = HashCache(roots.store)
    datasets = {
        n: _dataset(file, registry.dataset(n), n, roots, hashes, demo, simulate, progress) for n in names
    }
    encoders = tuple(
        _encoder(file, registry, i, use, roots, hashes, demo) for i, use in enumerate(file.suite.encoders)
    )
    _check_subject(file, encoders)
    datasets, faults = _checked_tasks(datasets, tasks)
    return Survey(encoders, datasets, tasks, metrics, faults)


def _checked_tasks(
    datasets: Mapping[str, DatasetState], tasks: Mapping[str, Task]
) -> tuple[dict[str, DatasetState], dict[tuple[str, SplitPart], str]]:
    """Which tasks cannot be trained or judged; what is merely thin becomes a note of its dataset."""
    states, faults = dict(datasets), {}
    for name, task in tasks.items():
        dataset = name.rpartition("/")[0]
        for part in get_args(SplitPart):
            state = states[dataset]
            if state.loaded is None:
                continue
            try:
                notes = state.loaded.check_task(task, part)
            except DataError as error:
                faults[name, part] = error.block()
                continue
            loaded = dataclasses.replace(state.loaded, notes=(*state.loaded.notes, *notes))
            states[dataset] = dataclasses.replace(state, loaded=loaded) if notes else state
    return states, faults


def _check_subject(file: SuiteFile, encoders: tuple[EncoderState, ...]) -> None:
    subject, labels = file.suite.cost.subject, [e.label for e in encoders]
    if subject is not None and subject not in labels:
        raise file.error(
            f"The subject of the cost table, {subject!r}, is not one of the suite's encoders.",
            ("cost", "subject"),
            did_you_mean(subject, labels) or f"use one of: {', '.join(labels)}",
        )


def _tasks(
    file: SuiteFile, registry: Registry, data_root: Path | None
) -> tuple[dict[str, Task], dict[str, str]]:
    tasks: dict[str, Task] = {}
    metrics: dict[str, str] = {}
    for i, use in enumerate(file.suite.tasks):
        try:
            _, task = registry.task(use.task)
        except PluginError as error:
            name = use.task.rpartition("/")[0]
            fix = error.fix if name in known_names(registry) else own_hint(error.fix, name, data_root)
            raise file.error(error.what, ("tasks", i), fix, error.details) from error
        metric = use.metric or task.metric
        if metric not in METRICS[task.kind]:
            raise file.error(
                f"The metric {metric!r} does not fit the {task.kind} task {use.task}.",
                ("tasks", i, "metric"),
                f"use one of: {', '.join(METRICS[task.kind])}",
            )
        tasks[use.task] = task
        metrics[use.task] = metric
    return tasks, metrics


def _dataset(
    file: SuiteFile,
    info: DatasetInfo,
    name: str,
    roots: Roots,
    hashes: HashCache,
    demo: bool,
    simulate: bool,
    progress: Callable[[int, int, str], None] | None,
) -> DatasetState:
    use = file.suite.datasets.get(name, DatasetUse())
    try:
        resolve_options(info, use.options)
    except BenchError as error:
        raise file.error(error.what, ("datasets", name, "options"), error.fix) from error
    try:
        split = SplitSpec.parse(use.split if use.split is not None else info.default_split)
    except BenchError as error:
        raise file.error(error.what, ("datasets", name, "split"), error.fix, error.details) from error
    root = roots.data
    wanted = use.simulated or (DEMO if demo and not _is_here(info, root) else None)
    if wanted is not None:
        root = simulated_root(info, roots.store, wanted)
        if not (root / info.name).exists():
            if not simulate:
                pending = f"about {wanted.images} images of {info.title} will be simulated first"
                return DatasetState(name, info, None, "", pending)
            try:
                make_simulated(info, root, wanted)
            except OSError:  # a full disk or a missing right is no fault of the dataset
                raise
            except PLUGIN_FAULTS as error:
                return DatasetState(name, info, None, reason_of(error, named("dataset", name, info.origin)))
    if root is None:
        problem = (
            f"{info.title} is not here: no data root is given. Put it at <data root>/{name}/ and say "
            f"--data-root or BENCHBENCH_DATA; how to get it: bench data how-to {name}; or watch a simulation "
            "with --demo."
        )
        return DatasetState(name, info, None, problem)
    try:
        loaded = load_dataset(
            info,
            root,
            options=use.options,
            split=split,
            store=roots.store,
            hashes=hashes,
            progress=progress,
        )
    except BenchError as error:
        return DatasetState(name, info, None, error.block())
    return DatasetState(name, loaded.info, loaded, "")


def _is_here(info: DatasetInfo, root: Path | None) -> bool:
    return root is not None and any((root / name).exists() for name in (info.name, *info.aliases))


def simulated_root(info: DatasetInfo, store: Store, wanted: Simulation) -> Path:
    """Data root of a simulated copy of a dataset, whether or not it has been made."""
    plugin = plugin_identity(info.origin).get("plugin", [])
    name = "-".join([*plugin, info.name, f"v{info.version}", f"n{wanted.images}", f"s{wanted.seed}"])
    return store.root / "simulated" / name


def make_simulated(info: DatasetInfo, root: Path, wanted: Simulation) -> None:
    """Simulate a dataset below `root`, in one rename."""
    import os
    import shutil
    import tempfile

    if info.simulate is None:
        raise PluginError(f"Dataset {info.name!r} cannot be simulated.", fix=f"bench data how-to {info.name}")
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=root.parent, prefix=".making-"))
    try:
        (temporary / info.name).mkdir()
        simulated = temporary / info.name
        info.simulate(simulated, wanted.images, wanted.seed)
        marker = simulated / SIMULATED_MARKER
        if not marker.exists():  # simulated images must never pass as real, whatever a plugin forgets
            marker.write_text(f"Simulated images of {info.name}; not real data.\n")
        try:
            os.rename(temporary, root)
        except OSError:
            if not (root / info.name).exists():  # otherwise another process was faster
                raise
            shutil.rmtree(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _encoder(
    file: SuiteFile,
    registry: Registry,
    index: int,
    use: EncoderUse,
    roots: Roots,
    hashes: HashCache,
    demo: bool,
) -> EncoderState:
    try:
        info = registry.encoder(use.name)
    except PluginError as error:
        raise file.error(error.what, ("encoders", index), error.fix, error.details) from error
    recipe = dataclasses.replace(
        info.preprocess,
        crop=use.crop or info.preprocess.crop,
        decode=use.decode or info.preprocess.decode,
    )
    info = dataclasses.replace(info, preprocess=recipe)
    problem = ""
    try:
        explicit = find_given(use.weights, (file.path.parent, roots.weights)) if use.weights else None
        weights = resolve(info, roots.weights, hashes, explicit)
        info = with_own_weights(info, weights, by_hand=explicit is not None)
    except BenchError as error:
        weights = ResolvedWeights(None, "", "missing")
        problem = error.block()
    if weights.status == "missing" and not problem:
        problem = how_to(info, roots.weights)
    cost_only = not file.suite.tasks  # speed and size need no weights
    if weights.status == "missing" and (demo or cost_only):
        weights, problem = UNTRAINED, ""
    return EncoderState(use.label, info, weights, use.precision, use.backend, problem)


def encoder_identity(state: EncoderState) -> dict[str, Any]:
    """Everything about an encoder that can change its embeddings."""
    return {
        "name": state.info.name,
        "variant": state.info.variant,
        "version": state.info.version,
        "weights": state.weights.sha256,
        "preprocess": dataclasses.asdict(state.info.preprocess) | state.info.preprocess.crop_version(),
        "pooling": state.info.pooling,
        "precision": state.precision,
        "backend": state.backend,
        **plugin_identity(state.info.origin),
    }
