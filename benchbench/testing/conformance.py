"""Does a plugin keep its contract? One finding per promise, each with what to change.

`check` finds the encoder, dataset or protocol of a name and runs the checks of its kind; `assert_conforms` is the
same for a test. First-party plugins pass the same kit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api import DatasetInfo, EncoderInfo, ProtocolInfo
from ..errors import PLUGIN_FAULTS, PluginError, reason_of
from ..origin import Origin
from ..plugins import Registry, registry

HEAVY = ("torch", "timm", "torchvision", "pandas", "sklearn", "scipy")
"""Modules that importing a plugin must not bring in."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    """The promise, as a sentence."""
    passed: bool
    detail: str = ""
    """What was found where it is broken, and what to change; where it is kept, a hint, if any."""


def check(name: str, weights: Path | None = None) -> tuple[Finding, ...]:
    """Run the conformance kit on an encoder, dataset or protocol, or on all that a distribution brings.

    Args:
        name: Name of an encoder (``name:variant`` works), dataset or protocol, or of an installed distribution.
        weights: Checkpoint for an encoder; without it the one that `bench weights` finds, else random weights.

    Raises:
        PluginError: nothing that is installed has this name.
    """
    found = registry()
    broken = [
        f for f in found.failed if name in (f.origin.distribution, f.origin.module, f.origin.entry_point)
    ]
    if broken:
        return tuple(Finding(f"{f.origin} can be loaded", False, f.cause) for f in broken)
    from . import datasets, encoders, protocols

    findings: list[Finding] = []
    for kind, item in _items(found, name):
        light = _imports_light(item.origin)
        findings += _run(f"{kind} {item.name}: importing the plugin is light", [light])
        if isinstance(item, EncoderInfo):
            findings += encoders.check_encoder(item, weights, _run)
        elif isinstance(item, DatasetInfo):
            findings += datasets.check_dataset(item, _run)
        else:
            findings += protocols.check_protocol(item, _run)
    return tuple(findings)


def assert_conforms(name: str, weights: Path | None = None) -> None:
    """Raise AssertionError that lists every broken promise of a plugin."""
    broken = [f for f in check(name, weights) if not f.passed]
    assert not broken, "\n".join(f"{f.check}: {f.detail}" for f in broken)


def _items(found: Registry, name: str) -> list[tuple[str, EncoderInfo | DatasetInfo | ProtocolInfo]]:
    tables: dict[str, Any] = {
        "encoder": found.encoders,
        "dataset": found.datasets,
        "protocol": found.protocols,
    }
    mine = [
        (kind, item)
        for kind, table in tables.items()
        for item in table.values()
        if item.origin is not None and item.origin.distribution == name
    ]
    if mine:
        return mine
    for kind, find in (("encoder", found.encoder), ("dataset", found.dataset), ("protocol", found.protocol)):
        try:
            return [(kind, find(name))]
        except PluginError as error:
            base = name.partition(":")[0]
            if base in tables[kind] or (kind, base) in found.clashes:
                raise  # the name exists; its variant does not, or several plugins bring it
            last = error
    raise PluginError(
        f"No encoder, dataset, protocol or distribution is called {name!r}.",
        details=last.details,
        fix="list what is installed with: bench list plugins",
    )


def _run(promise: str, problems: Iterable[str] | Callable[[], Iterable[str]]) -> list[Finding]:
    """One finding; an exception inside the plugin is a broken promise, not a crash of the kit."""
    try:
        found = [p for p in (problems() if callable(problems) else problems) if p]
    except PLUGIN_FAULTS as error:
        found = [reason_of(error, "the plugin")]
    return [Finding(promise, not found, "; ".join(found))]


def _imports_light(origin: Origin | None) -> str:
    """Import the plugin's module in a fresh process and see what came with it."""
    if origin is None:
        return ""  # no plugin brought it
    module = origin.module.partition(":")[0]
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=_environment(),
        )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["the import failed"])[-1]
    heavy = done.stdout.split()
    return f"it imports {', '.join(heavy)}; import them inside the functions that need them" if heavy else ""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
