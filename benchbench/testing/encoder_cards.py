"""Is the card of an encoder complete, and can everything on it be true?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..api import EncoderInfo, Modality, Preprocess, WeightsSource

BIBTEX = re.compile(r"@\w+\s*\{[^,{}\s]+\s*[,}].*", re.DOTALL)
SHA256 = re.compile(r"[0-9a-f]{64}")


def card_problems(info: EncoderInfo) -> Iterator[str]:
    """One sentence for everything on a card that is missing or impossible."""
    for field in ("title", "architecture", "pooling", "licence"):
        if not str(getattr(info, field)).strip():
            yield f"`{field}` is empty"
    known = get_args(Modality)
    if not info.modalities or not set(info.modalities) <= set(known):
        yield f"`modalities` are {info.modalities}: name one or more of {', '.join(known)}"
    if info.weights is not None:
        yield from _weights(info.weights)
        if not BIBTEX.fullmatch(info.citation.strip()):
            yield "`citation` must be the BibTeX entry of the paper: @article{key, ...}"
        if info.parameters is None:
            yield "`parameters` is not given: count those of the module that `load` returns"
    yield from _preprocess(info.preprocess)
    yield from _training(info)
    names = [v.name for v in info.variants]
    if len(set(names)) != len(names):
        yield f"names occur twice: {', '.join(names)}"


def _weights(source: WeightsSource) -> Iterator[str]:
    if not source.how_to_obtain.strip() or not source.licence.strip():
        yield "`weights` must say how to obtain the file and its licence"
    for name in (source.file_name, *source.other_names):
        if not name or name.startswith("/") or ".." in Path(name).parts:
            yield f"the weights file name {name!r} must be relative to the weights root"
    if source.sha256 is not None and not SHA256.fullmatch(source.sha256):
        yield f"the sha256 of the weights is {source.sha256!r}, not 64 lower-case hexadecimal digits"
    if source.size_bytes is not None and source.size_bytes < 1:
        yield f"the weights have {source.size_bytes} bytes"
    if (source.sha256 or source.size_bytes) and not source.source.strip():
        yield "`weights.source` must say where the sha256 and the size were seen"


def _choices(kind: type) -> dict[str, tuple[Any, ...]]:
    """The values of each field that has a fixed set of them."""
    return {f: get_args(hint) for f, hint in get_type_hints(kind).items() if get_origin(hint) is Literal}


def _preprocess(p: Preprocess) -> Iterator[str]:
    if not p.source.strip():
        yield "`preprocess.source` must say where the recipe is stated"
    for field, values in _choices(Preprocess).items():
        if getattr(p, field) not in values:
            yield f"`preprocess.{field}` is {getattr(p, field)!r}: use one of {', '.join(values)}"
    if p.size < 1:
        yield f"`preprocess.size` is {p.size} pixels"
    if p.resize == "short_side" and p.resize_to is not None and p.resize_to < p.size:
        yield f"`preprocess.resize_to` is {p.resize_to}, less than the crop of {p.size}: that pads with black"
    if len(p.mean) != 3 or len(p.std) != 3 or min(p.std) <= 0:
        yield f"`preprocess` needs three means and three standard deviations above zero, not {p.mean}, {p.std}"


def _training(info: EncoderInfo) -> Iterator[str]:
    names = [s.name for s in info.pretraining]
    if len(set(names)) != len(names):
        yield f"names occur twice: {', '.join(names)}"
    for entry in info.pretraining:
        if not entry.source.strip():
            yield f"the pre-training set {entry.name!r} has no source"
        if entry.images is not None and entry.images < 1:
            yield f"the pre-training set {entry.name!r} has {entry.images} images"
    compute = info.compute
    if compute is not None and not compute.source.strip():
        yield "the declared compute has no source"
    if compute is not None and compute.gpu_days is not None and compute.gpu_days <= 0:
        yield f"the declared compute is {compute.gpu_days} GPU-days"
