"""Where an encoder's checkpoint is, what it is, and how to get it when it is not there.

Nothing here reads tensors or touches the network: the plan asks this module about every encoder of a suite.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from .api import EncoderInfo, WeightsSource
from .errors import WeightsError
from .hashing import HashCache

ROOT_VARIABLE = "BENCHBENCH_WEIGHTS"
SLIM_SUFFIX = ".slim.safetensors"
SLIM_SOURCE = "benchbench_source_sha256"
"""Key in a slim file's header: sha256 of the official file it was written from."""

Status = Literal["verified", "unknown", "package", "downloaded", "untrained", "missing"]


@dataclass(frozen=True)
class ResolvedWeights:
    """The checkpoint file that an encoder will load."""

    path: Path | None
    sha256: str
    """Of the file's bytes; "untrained" for controls, empty where the file is missing."""
    status: Status
    """``verified``: has the official sha256, or is the slim form of such a file; ``unknown``: another sha256, or
    no official one is known; ``package``: the official file, from an installed Python package; ``downloaded``:
    from the local cache of the Hugging Face hub; ``untrained``: no weights by design; ``missing``: not found."""


UNTRAINED = ResolvedWeights(None, "untrained", "untrained")
GIVEN_BY_HAND = "weights given by hand; what they were trained on is not known"
"""What the card of `with_own_weights` says of where its weights come from."""


def default_root() -> Path | None:
    """The weights root of the environment variable, if it is set."""
    value = os.environ.get(ROOT_VARIABLE)
    return Path(value).expanduser() if value else None


def resolve(
    info: EncoderInfo, root: Path | None, hashes: HashCache, explicit: Path | None = None
) -> ResolvedWeights:
    """Find the checkpoint of an encoder: the explicit file, else the weights root, else an installed package,
    else the local cache of the Hugging Face hub.

    Raises:
        WeightsError: `explicit` is given and is not a readable file.
    """
    if explicit is not None:
        find_given(str(explicit), ())
    source = info.weights
    if source is None and explicit is None:
        return UNTRAINED
    path = explicit or _below_root(info, root)
    if path is not None:
        return _judged(path, source, hashes, otherwise="unknown")
    assert source is not None
    packaged = package_path(source)
    if packaged is not None:
        found = _judged(packaged, source, hashes, otherwise="unknown")
        return ResolvedWeights(packaged, found.sha256, "package") if found.status == "verified" else found
    cached = _hub_cached(source)
    if cached is not None:
        return _judged(cached, source, hashes, otherwise="downloaded")
    return ResolvedWeights(None, "", "missing")


def find_given(given: str, folders: Sequence[Path | None]) -> Path:
    """The checkpoint that a person names: below the first of `folders` that has it, else below the current folder.

    Raises:
        WeightsError: it is at none of these places, which the error names in full.
    """
    named = Path(given).expanduser()
    places = [f / named for f in folders if f is not None] + [named]
    tried = list(dict.fromkeys(p.absolute() for p in places))
    for path in tried:
        if path.is_file():
            return path
    raise WeightsError(
        f"The weights file {given!r} is not there.",
        where=str(tried[0]),
        fix=f"correct `weights` (looked at {', '.join(map(str, tried))})",
    )


def with_own_weights(info: EncoderInfo, found: ResolvedWeights, by_hand: bool) -> EncoderInfo:
    """The card of an encoder whose checkpoint may be another than the official one, without claims about that one.

    What the official checkpoint saw in pre-training stays: others are mostly trained further from it. A card without
    an official sha256 is taken at its word, unless a person has given the file `by_hand`.
    """
    checked = info.weights is not None and info.weights.sha256 is not None
    if found.status != "unknown" or found.path is None or not (by_hand or checked):
        return info
    weights = info.weights
    if by_hand:
        weights = WeightsSource(found.path.name, "not stated", "It was given by hand.", source=GIVEN_BY_HAND)
    return dataclasses.replace(
        info,
        title=f"{info.title}, own weights {found.path.name}",
        weights=weights,
        declared_clean=(),
        pretraining_complete="",
        compute=None,
    )


def _judged(
    path: Path, source: WeightsSource | None, hashes: HashCache, otherwise: Status
) -> ResolvedWeights:
    try:
        sha256 = hashes.sha256(path)
    except OSError as error:
        raise WeightsError(
            f"The weights file cannot be read: {error.strerror or error}.", where=str(path)
        ) from error
    official = source.sha256 if source else None
    if official and (sha256 == official or slim_source(path) == official):
        return ResolvedWeights(path, sha256, "verified")
    return ResolvedWeights(path, sha256, otherwise)


def stem(info: EncoderInfo) -> str:
    """File name stem of an encoder's own files (slim form); a variant with its own checkpoint has its own."""
    own = any(v.name == info.variant and v.weights is not None for v in info.variants)
    return f"{info.name}-{info.variant}" if own else info.name


def file_names(info: EncoderInfo) -> tuple[str, ...]:
    """Names, relative to the weights root, under which the checkpoint is looked for, in this order."""
    names = [info.weights.file_name, *info.weights.other_names] if info.weights else []
    return tuple(dict.fromkeys([*names, stem(info) + SLIM_SUFFIX]))


def _below_root(info: EncoderInfo, root: Path | None) -> Path | None:
    """The first known name in the root itself, else anywhere below it (shallowest first)."""
    if root is None or not root.is_dir():
        return None
    names = file_names(info)
    for name in names:
        if (root / name).is_file():
            return root / name
    for name in names:
        deeper = [p for p in root.rglob(name) if p.is_file()]
        if deeper:
            return min(deeper, key=lambda p: (len(p.parts), str(p)))
    return None


def package_path(source: WeightsSource) -> Path | None:
    """The checkpoint inside an installed distribution, found without importing the package."""
    if not source.package_file:
        return None
    name, _, inner = source.package_file.partition(":")
    try:
        path = Path(str(distribution(name).locate_file(inner)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _hub_cached(source: WeightsSource) -> Path | None:
    if not source.hub_repo:
        return None
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repo = cache / f"models--{source.hub_repo.replace('/', '--')}"
    name = Path(source.file_name).name
    found = [p for p in sorted(repo.glob(f"snapshots/*/{name}")) if p.is_file()]
    return max(found, key=lambda p: p.stat().st_mtime_ns) if found else None


def slim_source(path: Path) -> str | None:
    """The sha256 that a slim file says it was written from; None for any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, 100_000_000)))
        return header.get("__metadata__", {}).get(SLIM_SOURCE)
    except (OSError, ValueError, struct.error, AttributeError):
        return None


def hash_prefix(name: str) -> str:
    """The first digits of the sha256 in a name by torch's convention, ``resnet50-0676ba61.pth``; else empty."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found[1] if found else ""


def how_to(info: EncoderInfo, root: Path | None, by_hand: bool = False) -> str:
    """What a person does to get the checkpoint: licence, where to click, the file's name and folder.

    `by_hand` leaves out the command that downloads it, for when that command has failed.
    """
    source = info.weights
    if source is None:
        return f"{info.name} needs no weights."
    folder = str(root) if root else f"the weights root (--weights-root DIR, or set {ROOT_VARIABLE}=DIR)"
    lines = [f"{info.name}: put {source.file_name} into {folder}.", source.how_to_obtain.strip()]
    if source.gated:
        lines.append("Access is gated: ask for it on the hosting page and log in first.")
    lines.append(f"Licence: {source.licence}.")
    if not by_hand and (source.url or source.hub_repo or source.archive):
        lines.append(f"Or let benchbench download it: bench weights fetch {spelled(info)} --accept-licence")
    return " ".join(line for line in lines if line)


def spelled(info: EncoderInfo) -> str:
    """The encoder as it is written in suites and on the command line: ``name`` or ``name:variant``."""
    return info.name if info.variant == "default" else f"{info.name}:{info.variant}"
