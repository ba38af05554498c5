"""Where a plugin comes from, and what of that is part of an identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path

OWN_DISTRIBUTION = "benchbench-retina"


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    distribution: str
    version: str
    entry_point: str
    module: str
    source: str = ""
    """Hash of its source files where it is installed in editable mode, else empty."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, entry point {self.entry_point} = {self.module}"


def named(kind: str, name: str, origin: Origin | None) -> str:
    """A plugin's item as messages name it, for instance ``The encoder 'a' (pkg 1.0, entry point x = y)``."""
    return f"The {kind} {name!r}" + (f" ({origin})" if origin else "")


def plugin_identity(origin: Origin | None) -> dict[str, list[str]]:
    """What an identity says of the plugin behind an encoder, a dataset or a protocol; to be merged into it.

    A third party's plugin is named with its version, because two plugins may use one name and nobody promises that
    an upgrade changes nothing. For benchbench's own, and for what no plugin brought, this is empty: their cards
    have a `version` that is raised when results change (docs/decisions/0004-plugins-in-identities.md). Code that is
    being worked on changes under one version: a plugin in editable mode is named with the hash of its files as well.
    """
    if origin is None or origin.distribution == OWN_DISTRIBUTION:
        return {}
    named_by = [origin.distribution, origin.version, origin.entry_point]
    return {"plugin": [*named_by, origin.source] if origin.source else named_by}


def editable_source(dist: Distribution, modules: set[str]) -> str:
    """Hash of the ``*.py`` files of a distribution in editable mode; empty for one that was copied when installed.

    `modules` are the modules of its entry points; their packages are found without being imported.
    """
    if dist.metadata["Name"] == OWN_DISTRIBUTION or not _is_editable(dist):
        return ""
    names = {m.partition(".")[0] for m in modules} | set((dist.read_text("top_level.txt") or "").split())
    digest = hashlib.sha256()
    for name in sorted(names):
        for place, path in _sources(name):
            digest.update(f"{name}/{place}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _is_editable(dist: Distribution) -> bool:
    """By pip's own record; metadata beside the sources (egg-info) is that of a package under development."""
    told = json.loads(dist.read_text("direct_url.json") or "{}").get("dir_info", {})
    return bool(told.get("editable")) or str(getattr(dist, "_path", "")).endswith(".egg-info")


def _sources(name: str) -> list[tuple[str, Path]]:
    """(path below the package, file) of the sources of a top-level module, in a stable order."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # what is wrong with it shows when it is imported
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [("", Path(spec.origin))] if spec.has_location and spec.origin else []
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    found = {
        p.relative_to(folder).as_posix(): p for folder in folders for p in folder.rglob("*.py") if p.is_file()
    }
    return sorted(found.items())
