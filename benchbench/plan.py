"""The plan: which cells a suite has, which of them are done, and what is missing for the rest.

`make_plan` is pure: (suite, survey, what is cached) in, cells out. `bench plan`, `bench run`, `bench status` and
the dry run share it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .api import CellSpec, ProtocolInfo, Task
from .errors import PLUGIN_FAULTS, BenchError, PluginError, did_you_mean
from .origin import named, plugin_identity
from .results import SCHEMA_VERSION
from .store import content_key
from .suite import ProtocolUse, SuiteFile
from .survey import DatasetState, EncoderState, SplitPart, Survey, encoder_identity

Status = Literal["run", "cached", "missing"]


@dataclass(frozen=True)
class Cell:
    """One unit of work, of resume and of failure."""

    id: str
    """Hash of `identity`; empty while an input is missing or still to be simulated."""
    identity: Mapping[str, Any]
    encoder: EncoderState
    protocol: ProtocolPlan
    spec: CellSpec
    seed: int
    status: Status
    reason: str

    @property
    def name(self) -> str:
        """For people: encoder, task, protocol and seed."""
        axes = "".join(f", {k}={v}" for k, v in self.spec.axes)
        seed = f", seed {self.seed}" if self.protocol.info.stochastic else ""
        return f"{self.encoder.label} on {self.spec.task} by {self.protocol.label}{axes}{seed}"


@dataclass(frozen=True)
class ProtocolPlan:
    """A protocol with its resolved settings."""

    label: str
    info: ProtocolInfo
    config: Any
    """Instance of the protocol's config model."""
    seeds: tuple[int, ...]
    use: ProtocolUse = field(repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """Resolved settings as plain JSON values."""
        dumped: dict[str, Any] = self.config.model_dump(mode="json")
        return dumped


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, in a stable order."""

    suite: SuiteFile
    survey: Survey
    protocols: tuple[ProtocolPlan, ...]
    cells: tuple[Cell, ...]
    demo: bool = False

    def count(self, status: Status) -> int:
        """How many cells have this status."""
        return sum(c.status == status for c in self.cells)

    @property
    def crossings(self) -> frozenset[tuple[str, str, str]]:
        """(dataset trained on, dataset tested on, "test" or "all") of the cells that leave their dataset."""
        found = set()
        for cell in self.cells:
            part = "all" if getattr(cell.protocol.config, "target", "test") == "whole" else "test"
            trained = {t.rpartition("/")[0] for t in cell.spec.sources}
            tested = {t.rpartition("/")[0] for t in cell.spec.targets}
            found |= {(a, b, part) for a in trained for b in tested if a != b}
        return frozenset(found)

    @property
    def missing(self) -> tuple[tuple[str, str, str], ...]:
        """(kind, name, what to do) of every missing input."""
        found = [("dataset", d.name, d.problem) for d in self.survey.datasets.values() if d.problem]
        needed = dict.fromkeys(n for c in self.cells for n in parts_needed(c.spec, c.protocol.config))
        faults = self.survey.task_problems
        found += [("task", n[0], faults[n]) for n in needed if n in faults]
        found += [("weights", e.label, e.problem) for e in self.survey.encoders if e.problem]
        return tuple(found)

    @property
    def blocked(self) -> bool:
        """Whether somebody must get an input; a simulation that is too small for a task costs that task only."""
        if self.missing and all(c.status == "missing" for c in self.cells):
            return True
        simulated = {d.name for d in self.survey.datasets.values() if d.loaded and d.loaded.simulated}
        return any(
            kind != "task" or name.rpartition("/")[0] not in simulated for kind, name, _ in self.missing
        )


def resolve_protocols(
    file: SuiteFile, find: Callable[[str], ProtocolInfo], demo: bool
) -> tuple[ProtocolPlan, ...]:
    """The suite's protocols with presets, settings and seeds filled in."""
    from pydantic import ValidationError

    plans = []
    for i, use in enumerate(file.suite.protocols):
        try:
            info = find(use.protocol)
        except PluginError as error:
            raise file.error(error.what, ("protocols", i, "protocol"), error.fix, error.details) from error
        settings: dict[str, Any] = {}
        if use.preset is not None:
            if use.preset not in info.presets:
                raise file.error(
                    f"Protocol {info.name!r} has no preset {use.preset!r}.",
                    ("protocols", i, "preset"),
                    f"use one of: {', '.join(info.presets) or 'it has none'}",
                )
            settings |= dict(info.presets[use.preset])
        settings |= use.config
        if demo:
            settings |= dict(info.demo)
        try:
            config = info.config(**settings)
        except ValidationError as error:
            faults = [_config_fault(info, e) for e in error.errors()]
            raise file.error(
                f"The settings of protocol {info.name!r} do not fit: {'; '.join(faults)}",
                ("protocols", i, "config", *error.errors()[0]["loc"][:1]),
                f"see bench show protocol {info.name}",
            ) from error
        plans.append(ProtocolPlan(use.label, info, config, _seeds(file, use, info, demo), use))
    return tuple(plans)


def _config_fault(info: ProtocolInfo, error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}"
    known = info.config.model_fields if len(error["loc"]) == 1 else ()  # type: ignore[attr-defined]
    hint = did_you_mean(name, known)
    return f"there is no setting {name!r}" + (f"; {hint}" if hint else "")


def _seeds(file: SuiteFile, use: ProtocolUse, info: ProtocolInfo, demo: bool) -> tuple[int, ...]:
    if not info.stochastic:
        return (0,)
    seeds = use.seeds or file.suite.seeds or info.default_seeds
    return seeds[:1] if demo else seeds


def make_plan(
    file: SuiteFile,
    survey: Survey,
    protocols: tuple[ProtocolPlan, ...],
    is_cached: Callable[[str], bool],
    *,
    demo: bool = False,
    only: Mapping[str, str] | None = None,
) -> Plan:
    """Cells in suite order: protocol, then encoder, then the protocol's own cells, then seeds.

    With `only` the plan holds the chosen cells and what they need, and nothing else of the suite.
    """
    cells: list[Cell] = []
    # Hashing the labels of a large dataset takes seconds: once per task, not per cell.
    identity_of = functools.cache(
        lambda name: _task_identity(survey.datasets[name.rpartition("/")[0]], survey.task(name))
    )
    for protocol in protocols:
        tasks = tuple(
            (name, task)
            for name, task in survey.tasks.items()
            if protocol.use.tasks is None or name in protocol.use.tasks
        )
        try:
            specs = protocol.info.cells(tasks, protocol.config)
        except BenchError as error:
            index = file.suite.protocols.index(protocol.use)
            raise file.error(error.what, ("protocols", index), error.fix, error.details) from error
        except PLUGIN_FAULTS as error:
            who = named("protocol", protocol.info.name, protocol.info.origin)
            raise PluginError(f"{who} cannot say its cells: {type(error).__name__}: {error}.") from error
        for encoder in survey.encoders:
            if protocol.use.encoders is not None and encoder.label not in protocol.use.encoders:
                continue
            for spec in specs:
                for seed in protocol.seeds:
                    cell = _cell(survey, encoder, protocol, spec, seed, is_cached, identity_of)
                    if _selected(cell, only or {}):
                        cells.append(cell)
    if only:
        survey, protocols = _narrowed(survey, protocols, cells, only)
    return Plan(file, survey, protocols, tuple(cells), demo)


def _narrowed(
    survey: Survey, protocols: tuple[ProtocolPlan, ...], cells: list[Cell], only: Mapping[str, str]
) -> tuple[Survey, tuple[ProtocolPlan, ...]]:
    """What the chosen cells need; a suite that measures cost alone has encoders and no cells."""
    if survey.tasks:
        encoders = tuple(e for e in survey.encoders if any(c.encoder is e for c in cells))
    else:
        encoders = tuple(
            e for e in survey.encoders if only.keys() == {"encoder"} and only["encoder"] in _names(e)
        )
    names = {name for c in cells for name in c.spec.tasks}
    datasets = {name.rpartition("/")[0] for name in names}
    chosen = replace(
        survey,
        encoders=encoders,
        datasets={k: v for k, v in survey.datasets.items() if k in datasets},
        tasks={k: v for k, v in survey.tasks.items() if k in names},
    )
    return chosen, tuple(p for p in protocols if any(c.protocol is p for c in cells))


def _names(encoder: EncoderState) -> tuple[str, str]:
    return encoder.label, encoder.info.name


def _selected(cell: Cell, only: Mapping[str, str]) -> bool:
    values = {
        "encoder": _names(cell.encoder),
        "task": cell.spec.tasks,
        "dataset": (cell.spec.task.rpartition("/")[0],),
        "protocol": (cell.protocol.label, cell.protocol.info.name),
        "seed": (str(cell.seed),),
    }
    return all(wanted in values[key] for key, wanted in only.items())


def _cell(
    survey: Survey,
    encoder: EncoderState,
    protocol: ProtocolPlan,
    spec: CellSpec,
    seed: int,
    is_cached: Callable[[str], bool],
    identity_of: Callable[[str], Mapping[str, Any]],
) -> Cell:
    datasets = {n: survey.datasets[n.rpartition("/")[0]] for n in spec.tasks}
    problems = dict.fromkeys([d.problem for d in datasets.values() if d.problem])
    needed = parts_needed(spec, protocol.config)
    problems |= {survey.task_problems[n]: None for n in needed if n in survey.task_problems}
    if encoder.problem:
        problems[encoder.problem] = None
    if problems:
        reason = "; ".join(p.splitlines()[0] for p in problems)
        return Cell("", {}, encoder, protocol, spec, seed, "missing", reason)
    if pending := dict.fromkeys(d.pending for d in datasets.values() if d.pending):
        return Cell("", {}, encoder, protocol, spec, seed, "run", "; ".join(pending))
    identity = {
        "schema": SCHEMA_VERSION,
        "encoder": encoder_identity(encoder),
        "tasks": {n: identity_of(n) for n in spec.tasks},
        "train": list(spec.sources),
        "targets": list(spec.targets),
        "axes": dict(spec.axes),
        "protocol": {
            "name": protocol.info.name,
            "version": protocol.info.version,
            "config": protocol.settings,
            "metric": survey.metric(spec.task),
            **plugin_identity(protocol.info.origin),
        },
        "seed": seed,
    }
    key = content_key(identity)
    if is_cached(key):
        return Cell(key, identity, encoder, protocol, spec, seed, "cached", "predictions are in the store")
    return Cell(key, identity, encoder, protocol, spec, seed, "run", "no predictions with this identity yet")


def parts_needed(spec: CellSpec, config: Any) -> tuple[tuple[str, SplitPart], ...]:
    """(task, part of the split) of everything that a cell trains and is judged on."""
    train: list[tuple[str, SplitPart]] = [(name, "train") for name in spec.sources]
    test: list[tuple[str, SplitPart]] = [
        (t, "test") for t in spec.targets if not opens_whole(spec, config, t)
    ]
    return (*train, *test)


def opens_whole(spec: CellSpec, config: Any, target: str) -> bool:
    """Whether a cell is judged on all labelled images of a target, which is then another dataset."""
    elsewhere = target.rpartition("/")[0] != spec.task.rpartition("/")[0]
    return elsewhere and getattr(config, "target", "test") == "whole"


def _task_identity(state: DatasetState, task: Task) -> dict[str, Any]:
    data = state.loaded
    assert data is not None  # a dataset without a problem is loaded
    return {
        "dataset": state.name,
        "dataset_version": data.info.version,
        "options": dict(data.options),
        "images": data.image_fingerprint,
        "labels": data.label_fingerprint(task),
        "split": data.split_fingerprint,
        "kind": task.kind,
        "classes": list(task.classes),
        **plugin_identity(data.info.origin),
    }
