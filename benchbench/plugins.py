"""Discovery of plugins through the entry-point group ``benchbench``.

pluggy's own loader stops at the first plugin that cannot be imported. Here every entry point is loaded on its
own: a broken one is kept as a `FailedPlugin` with its distribution, version, entry point and cause, and the rest
work. Two plugins that bring the same name are both reachable as ``distribution/name`` and by no other name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, distributions
from typing import Any, TypeVar

import pluggy

from . import hookspecs
from .api import DatasetInfo, EncoderFamily, EncoderInfo, ProtocolInfo, ReportSection, Task
from .errors import PluginError, did_you_mean

STRICT_VARIABLE = "BENCHBENCH_STRICT_PLUGINS"
T = TypeVar("T", EncoderInfo, DatasetInfo, ProtocolInfo)


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, entry point {self.entry_point} = {self.module}"


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that works, and the names it brings."""

    origin: Origin
    names: tuple[str, ...]


@dataclass(frozen=True)
class FailedPlugin:
    """A plugin that does not work, and why."""

    origin: Origin
    cause: str


@dataclass(frozen=True)
class Registry:
    """Everything that the installed plugins bring."""

    encoders: Mapping[str, EncoderInfo]
    datasets: Mapping[str, DatasetInfo]
    protocols: Mapping[str, ProtocolInfo]
    families: tuple[EncoderFamily, ...] = ()
    sections: tuple[ReportSection, ...] = ()
    loaded: tuple[LoadedPlugin, ...] = ()
    failed: tuple[FailedPlugin, ...] = ()
    clashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Bare name -> the full names that claim it."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """"kind:name" -> origin."""

    def encoder(self, name: str) -> EncoderInfo:
        """The encoder called ``name`` or ``name:variant``; families resolve on demand."""
        for family in self.families:
            if name.startswith(family.prefix):
                return family.resolve(name)
        base, _, variant = name.partition(":")
        info = self._find("encoder", base, self.encoders, [f.example for f in self.families if f.example])
        return info.with_variant(variant) if variant else info

    def dataset(self, name: str) -> DatasetInfo:
        """The dataset called `name`."""
        return self._find("dataset", name, self.datasets)

    def protocol(self, name: str) -> ProtocolInfo:
        """The protocol called `name`."""
        return self._find("protocol", name, self.protocols)

    def task(self, name: str) -> tuple[DatasetInfo, Task]:
        """The dataset and task of ``dataset/task``."""
        dataset, _, task = name.rpartition("/")
        if not dataset:
            raise PluginError(
                f"{name!r} is not the name of a task: tasks are written dataset/task.",
                fix="list them with: bench list datasets",
            )
        info = self.dataset(dataset)
        return info, info.task(task)

    def _find(self, kind: str, name: str, table: Mapping[str, T], extra: Iterable[str] = ()) -> T:
        if name in table:
            return table[name]
        for info in table.values():
            if name in getattr(info, "aliases", ()):
                return info
        if name in self.clashes:
            raise PluginError(
                f"Two plugins bring a {kind} called {name!r}.",
                fix="write one of: " + ", ".join(self.clashes[name]),
            )
        hint = did_you_mean(name, [*table, *extra])
        details = [f"broken plugin that may bring it: {f.origin}: {f.cause}" for f in self.failed]
        raise PluginError(
            f"No {kind} is called {name!r}{'; ' + hint if hint else '.'}",
            fix=f"list what is installed with: bench list {kind}s",
            details=details,
        )


def entry_points() -> Iterator[tuple[EntryPoint, Origin]]:
    """Entry points of the group, each with the distribution it belongs to, each distribution once."""
    seen: set[str] = set()
    for dist in distributions():
        name = str(dist.metadata["Name"] or "unknown")
        if name in seen:
            continue
        seen.add(name)
        for point in dist.entry_points:
            if point.group == hookspecs.PROJECT:
                yield point, Origin(name, str(dist.version), point.name, point.value)


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Load every installed plugin, once per process."""
    return build_registry(entry_points())


def build_registry(points: Iterable[tuple[EntryPoint, Origin]]) -> Registry:
    """Load the given entry points; broken ones are listed, not raised (unless the strict variable is set)."""
    found: list[tuple[Origin, dict[str, list[Any]]]] = []
    failed: list[FailedPlugin] = []
    for point, origin in sorted(points, key=lambda p: (p[1].distribution, p[1].entry_point)):
        try:
            found.append((origin, _collect(point)))
        except Exception as error:
            failed.append(FailedPlugin(origin, f"{type(error).__name__}: {error}"))
        except SystemExit as error:
            failed.append(FailedPlugin(origin, f"the module called exit({error.code}) while being imported"))
    if failed and os.environ.get(STRICT_VARIABLE) == "1":
        raise PluginError(
            f"{len(failed)} plugin(s) cannot be loaded, and {STRICT_VARIABLE}=1 makes that an error.",
            details=[f"{f.origin}: {f.cause}" for f in failed],
            fix=f"mend or uninstall them, or unset {STRICT_VARIABLE}",
        )
    return _assemble(found, failed)


_HOOKS: Mapping[str, tuple[type, ...]] = {
    "benchbench_encoders": (EncoderInfo, EncoderFamily),
    "benchbench_datasets": (DatasetInfo,),
    "benchbench_protocols": (ProtocolInfo,),
    "benchbench_report_sections": (ReportSection,),
}


def _collect(point: EntryPoint) -> dict[str, list[Any]]:
    """Import one plugin and call its hooks on a manager of its own, so that nothing it does reaches others."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugin = point.load()
    manager.register(plugin, name=point.name)
    manager.check_pending()
    result: dict[str, list[Any]] = {}
    for hook, kinds in _HOOKS.items():
        items: list[Any] = []
        for returned in getattr(manager.hook, hook)():
            if not isinstance(returned, list | tuple):
                raise TypeError(f"{hook} must return a list, not {type(returned).__name__}")
            items.extend(returned)
        for item in items:
            if not isinstance(item, kinds):
                wanted = " or ".join(k.__name__ for k in kinds)
                raise TypeError(f"{hook} must return {wanted} objects, got {type(item).__name__}")
            _check_metadata(item)
        result[hook] = items
    if not any(result.values()):
        raise TypeError(
            "the plugin implements no benchbench hook (are they marked with @benchbench.hookimpl?)"
        )
    return result


def _check_metadata(item: Any) -> None:
    name = getattr(item, "name", getattr(item, "prefix", getattr(item, "title", "")))
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a {type(item).__name__} has no name")
    if isinstance(item, EncoderInfo | DatasetInfo | ProtocolInfo):
        bad = [c for c in name if not (c.isalnum() or c in "_-.")]
        if bad:
            raise ValueError(f"the name {name!r} has characters other than letters, digits, '_', '-', '.'")
    if isinstance(item, EncoderInfo) and item.embed_dim < 1:
        raise ValueError(f"encoder {name!r} declares embed_dim={item.embed_dim}")
    if isinstance(item, DatasetInfo) and not item.tasks:
        raise ValueError(f"dataset {name!r} declares no task")
    for function in ("load", "run", "resolve"):
        if hasattr(item, function) and not isinstance(getattr(item, function), Callable):  # type: ignore[arg-type]
            raise TypeError(f"{name!r}: {function} is not a function")


def _assemble(found: list[tuple[Origin, dict[str, list[Any]]]], failed: list[FailedPlugin]) -> Registry:
    tables: dict[str, dict[str, list[tuple[Origin, Any]]]] = {"encoder": {}, "dataset": {}, "protocol": {}}
    families: list[EncoderFamily] = []
    sections: list[ReportSection] = []
    loaded: list[LoadedPlugin] = []
    for origin, hooks in found:
        names: list[str] = []
        for kind in tables:
            for item in hooks[f"benchbench_{kind}s"]:
                names.append(item.prefix if isinstance(item, EncoderFamily) else item.name)
                if isinstance(item, EncoderFamily):
                    families.append(item)
                else:
                    tables[kind].setdefault(item.name, []).append((origin, item))
        sections.extend(hooks["benchbench_report_sections"])
        names.extend(s.title for s in hooks["benchbench_report_sections"])
        loaded.append(LoadedPlugin(origin, tuple(names)))
    clashes: dict[str, tuple[str, ...]] = {}
    origins: dict[str, Origin] = {}
    final: dict[str, dict[str, Any]] = {}
    for kind, table in tables.items():
        final[kind] = {}
        for name, claims in table.items():
            full = [name] if len(claims) == 1 else [f"{o.distribution}/{name}" for o, _ in claims]
            if len(claims) > 1:
                clashes[name] = tuple(full)
            for unique, (origin, item) in zip(full, claims, strict=True):
                final[kind][unique] = item
                origins[f"{kind}:{unique}"] = origin
    return Registry(
        final["encoder"],
        final["dataset"],
        final["protocol"],
        tuple(families),
        tuple(sections),
        tuple(loaded),
        tuple(failed),
        clashes,
        origins,
    )
