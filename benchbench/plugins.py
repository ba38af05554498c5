"""Discovery of plugins through the entry-point group ``benchbench``.

pluggy's own loader stops at the first plugin that cannot be imported. Here every entry point is loaded on its
own: a broken one is kept as a `FailedPlugin` with its distribution, version, entry point and cause, and the rest
work. Two plugins that bring the same name are both reachable as ``distribution/name`` and by no other name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from . import hookspecs
from .api import DatasetInfo, EncoderFamily, EncoderInfo, ProtocolInfo, ReportSection, Task
from .errors import PluginError, did_you_mean
from .origin import Origin, editable_source

STRICT_VARIABLE = "BENCHBENCH_STRICT_PLUGINS"
T = TypeVar("T", EncoderInfo, DatasetInfo, ProtocolInfo)


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
    clashes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(kind, bare name) -> the full names that claim it."""

    def encoder(self, name: str) -> EncoderInfo:
        """The encoder called ``name`` or ``name:variant``; families resolve on demand."""
        for family in self.families:
            if name.startswith(family.prefix):
                return dataclasses.replace(family.resolve(name), origin=family.origin)
        for (kind, prefix), full in self.clashes.items():
            if kind == "family" and name.startswith(prefix):
                raise _claimed_twice("family of encoders", prefix, full)
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
        if (kind, name) in self.clashes:
            raise _claimed_twice(kind, name, self.clashes[kind, name])
        aliases: list[str] = [a for info in table.values() for a in getattr(info, "aliases", ())]
        # Papers write RETFound-MEH and MESSIDOR-2 where names here are retfound_meh and messidor2.
        hint = did_you_mean(name.casefold().replace("-", "_"), [*table, *aliases, *extra])
        details = [f"broken plugin that may bring it: {f.origin}: {f.cause}" for f in self.failed]
        raise PluginError(
            f"No {kind} is called {name!r}{'; ' + hint if hint else '.'}",
            fix=f"list what is installed with: bench list {kind}s",
            details=details,
        )


def _claimed_twice(kind: str, name: str, full: Iterable[str]) -> PluginError:
    article = "an" if kind[0] in "aeiou" else "a"
    return PluginError(
        f"Several plugins bring {article} {kind} called {name!r}.", fix="write one of: " + ", ".join(full)
    )


def discover() -> tuple[list[tuple[EntryPoint, Origin]], list[FailedPlugin]]:
    """Entry points of the group with their origins, each distribution once, and plugins with broken metadata."""
    found: list[tuple[EntryPoint, Origin]] = []
    failed: list[FailedPlugin] = []
    seen: set[str] = set()
    for dist in distributions():
        try:
            name = dist.metadata["Name"]
            if name and name in seen:
                continue
            seen.add(name)
            points = [p for p in dist.entry_points if p.group == hookspecs.PROJECT]
            if points and not (name and dist.version):
                raise ValueError("its METADATA has no name or no version")
            source = editable_source(dist, {p.module for p in points}) if points else ""
            found += [(p, Origin(name, dist.version, p.name, p.value, source)) for p in points]
        except Exception as error:  # whatever is wrong with one distribution's files is its own fault
            if _may_be_plugin(dist):
                failed.append(FailedPlugin(_origin_of_broken(dist), f"broken metadata: {_described(error)}"))
    return found, failed


def _origin_of_broken(dist: Distribution) -> Origin:
    """By the name of its metadata folder, ``name-version.dist-info``, which is all that can be read."""
    place = Path(str(getattr(dist, "_path", dist.locate_file(""))))
    name, _, version = place.stem.rpartition("-")
    return Origin(name or place.name, version, "?", str(place))


def _may_be_plugin(dist: Distribution) -> bool:
    """Whether a distribution with broken metadata concerns benchbench at all."""
    try:
        return hookspecs.PROJECT in (dist.read_text("entry_points.txt") or "")
    except Exception:
        return True


def _described(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the module called exit({error.code}) while being imported"
    return f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Load every installed plugin, once per process."""
    return build_registry(*discover())


def build_registry(
    points: Iterable[tuple[EntryPoint, Origin]], broken: Iterable[FailedPlugin] = ()
) -> Registry:
    """Load the given entry points; broken ones are listed, not raised (unless the strict variable is set)."""
    found: list[tuple[Origin, dict[str, list[Any]]]] = []
    failed = list(broken)
    for point, origin in sorted(points, key=lambda p: (p[1].distribution, p[1].entry_point)):
        try:
            found.append((origin, _collect(point)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, exit() included
            failed.append(FailedPlugin(origin, _described(error)))
    built = _assemble(found, failed)
    if os.environ.get(STRICT_VARIABLE, "").strip().lower() in ("1", "true", "yes", "on"):
        _refuse_faults(built)
    return built


def _refuse_faults(built: Registry) -> None:
    faults = [f"{f.origin}: {f.cause}" for f in built.failed]
    faults += [
        f"the {kind} {name!r} is brought several times: {', '.join(full)}"
        for (kind, name), full in built.clashes.items()
    ]
    if faults:
        raise PluginError(
            f"{len(faults)} plugin(s) cannot be loaded or clash, and {STRICT_VARIABLE} makes that an error.",
            details=faults,
            fix=f"mend or uninstall them, or unset {STRICT_VARIABLE}",
        )


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
        names = [_name(item) for item in items]
        if repeated := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"{hook} returns {', '.join(sorted(repeated))} more than once")
        result[hook] = items
    if not any(result.values()):
        raise TypeError(
            "the plugin implements no benchbench hook (are they marked with @benchbench.hookimpl?)"
        )
    return result


def _name(item: Any) -> Any:
    return getattr(item, "name", getattr(item, "prefix", getattr(item, "title", "")))


def _check_metadata(item: Any) -> None:
    name = _name(item)
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a {type(item).__name__} has no name")
    if isinstance(item, EncoderInfo | DatasetInfo | ProtocolInfo):
        bad = [c for c in name if not (c.isalnum() or c in "_-.")]
        if bad:
            raise ValueError(f"the name {name!r} has characters other than letters, digits, '_', '-', '.'")
    if isinstance(item, EncoderInfo) and item.embed_dim < 1:
        raise ValueError(f"encoder {name!r} declares embed_dim={item.embed_dim}")
    if isinstance(item, ProtocolInfo):
        from pydantic import BaseModel

        if not (isinstance(item.config, type) and issubclass(item.config, BaseModel)):
            raise TypeError(
                f"protocol {name!r}: `config` is not a pydantic model class (derive it from BaseModel)"
            )
    if isinstance(item, DatasetInfo) and not item.tasks:
        raise ValueError(f"dataset {name!r} declares no task")
    for function in ("load", "run", "resolve"):
        if hasattr(item, function) and not isinstance(getattr(item, function), Callable):  # type: ignore[arg-type]
            raise TypeError(f"{name!r}: {function} is not a function")


def _assemble(found: list[tuple[Origin, dict[str, list[Any]]]], failed: list[FailedPlugin]) -> Registry:
    claims: dict[tuple[str, str], list[Any]] = {}
    sections: list[ReportSection] = []
    loaded: list[LoadedPlugin] = []
    for origin, hooks in found:
        for kind in ("encoder", "dataset", "protocol"):
            for item in hooks[f"benchbench_{kind}s"]:
                key = ("family" if isinstance(item, EncoderFamily) else kind, _name(item))
                claims.setdefault(key, []).append(dataclasses.replace(item, origin=origin))
        sections.extend(hooks["benchbench_report_sections"])
        loaded.append(LoadedPlugin(origin, tuple(_name(i) for items in hooks.values() for i in items)))
    final: dict[str, dict[str, Any]] = {"encoder": {}, "dataset": {}, "protocol": {}, "family": {}}
    clashes: dict[tuple[str, str], tuple[str, ...]] = {}
    for (kind, name), items in claims.items():
        full = (name,) if len(items) == 1 else _full_names(name, [i.origin for i in items])
        if len(items) > 1:
            clashes[kind, name] = full
        for unique, item in zip(full, items, strict=True):
            final[kind][unique] = _under_prefix(item, unique) if kind == "family" else item
    return Registry(
        final["encoder"],
        final["dataset"],
        final["protocol"],
        tuple(final["family"].values()),
        tuple(sections),
        tuple(loaded),
        tuple(failed),
        clashes,
    )


def _full_names(name: str, origins: Sequence[Origin]) -> tuple[str, ...]:
    """``distribution/name`` of each claim, with the entry point between where one distribution claims twice."""
    distributions = [o.distribution for o in origins]
    return tuple(
        f"{o.distribution}/{name}"
        if distributions.count(o.distribution) == 1
        else f"{o.distribution}/{o.entry_point}/{name}"
        for o in origins
    )


def _under_prefix(family: EncoderFamily, prefix: str) -> EncoderFamily:
    """A family that is reached by its full name; it still resolves the names that it knows."""
    extra = prefix.removesuffix(family.prefix)
    if not extra:
        return family
    example = f"{extra}{family.example}" if family.example else ""
    return dataclasses.replace(
        family,
        prefix=prefix,
        example=example,
        resolve=lambda name: family.resolve(name.removeprefix(extra)),
    )
