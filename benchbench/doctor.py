"""Checks of an installation, each with what to do about it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

from .machine import OPTIONAL, usable_cores, versions
from .store import STORE_VARIABLE, Store

DISTRIBUTION = "benchbench-retina"
LOW_SPACE_BYTES = 5 * 2**30


@dataclass(frozen=True)
class Finding:
    """One check and its result."""

    state: Literal["ok", "note", "broken"]
    name: str
    message: str
    fix: str = ""


def diagnose(data_root: Path | None, weights_root: Path | None) -> tuple[Finding, ...]:
    """All checks."""
    return (
        *_python(),
        *_name(),
        *_packages(),
        *_torch(),
        *_plugins(),
        *_store(),
        *_folder("data root", data_root, "BENCHBENCH_DATA", "bench data how-to NAME"),
        *_folder("weights root", weights_root, "BENCHBENCH_WEIGHTS", "bench weights how-to NAME"),
    )


def _python() -> Iterator[Finding]:
    text = f"Python {sys.version.split()[0]}, {usable_cores()} cores"
    yield Finding("ok", "python", text)


def _name() -> Iterator[Finding]:
    owners = sorted({d for d in packages_distributions().get("benchbench", []) if d != DISTRIBUTION})
    if owners:
        yield Finding(
            "broken",
            "name",
            f"the distribution(s) {', '.join(owners)} also install a package named benchbench, and one "
            "overwrites the other",
            f"pip uninstall -y {' '.join(owners)} && pip install --force-reinstall --no-deps {DISTRIBUTION}",
        )
    else:
        yield Finding("ok", "name", "no other package claims the name benchbench")


def _packages() -> Iterator[Finding]:
    missing = [p for p, v in versions().items() if v == "not installed" and p not in OPTIONAL]
    if missing:
        yield Finding(
            "broken", "packages", f"not installed: {', '.join(missing)}", "pip install benchbench-retina"
        )
    else:
        yield Finding("ok", "packages", ", ".join(f"{p} {v}" for p, v in versions().items() if p != "python"))


def _torch() -> Iterator[Finding]:
    try:
        import timm  # noqa: F401  (its import is the check)
        import torch
    except Exception as error:
        yield Finding(
            "broken",
            "torch",
            f"torch and timm cannot be imported together: {error}",
            "install torch and torchvision from the same index, for instance: "
            "pip install --force-reinstall torch torchvision",
        )
        return
    if torch.cuda.is_available():
        yield Finding("ok", "gpu", torch.cuda.get_device_name(0))
    else:
        yield Finding("note", "gpu", "none is visible; everything runs on the processor, fine-tuning slowly")


def _plugins() -> Iterator[Finding]:
    from .plugins import registry

    found = registry()
    for failed in found.failed:
        yield Finding(
            "broken",
            "plugin",
            f"{failed.origin}: {failed.cause}",
            f"mend it, or pip uninstall {failed.origin.distribution}",
        )
    for (_, name), full in found.clashes.items():
        yield Finding("note", "plugin", f"{name!r} is brought twice", f"write {' or '.join(full)}")
    yield Finding(
        "ok",
        "plugins",
        f"{len(found.loaded)} work: {len(found.encoders)} encoders, {len(found.datasets)} datasets, "
        f"{len(found.protocols)} protocols",
    )


def _store() -> Iterator[Finding]:
    root = Store().root
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        yield Finding(
            "broken", "store", f"{root} cannot be written: {error}", f"set {STORE_VARIABLE}=/a/folder"
        )
        return
    free = shutil.disk_usage(root).free
    if free < LOW_SPACE_BYTES:
        yield Finding(
            "note", "store", f"{root}: only {free / 2**30:.1f} GiB free", "bench cache gc, or another folder"
        )
    else:
        yield Finding("ok", "store", f"{root}: {free / 2**30:.0f} GiB free")


def _folder(name: str, path: Path | None, variable: str, how_to: str) -> Iterator[Finding]:
    if path is None:
        yield Finding(
            "note",
            name,
            "not set: only simulated or packaged inputs can be used",
            f"set {variable}; {how_to}",
        )
    elif not path.is_dir():
        yield Finding("broken", name, f"{path} is not a folder", f"set {variable} to an existing folder")
    else:
        entries = sorted(p.name for p in path.iterdir())
        yield Finding("ok", name, f"{path}: {', '.join(entries[:8]) or 'empty'}")
