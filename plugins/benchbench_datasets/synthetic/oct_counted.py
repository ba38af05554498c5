"""The OCT signatures at full size: as many images and positives in each part as a published lecture reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .oct import SIGNATURES, Signs
from .oct_layouts import write_slice
from .seeds import generator
from .writing import start, write_csv

IMAGES: Mapping[str, int] = {"train": 1360, "test": 410}
POSITIVES: Mapping[str, Mapping[str, int]] = {
    "train": {
        "healthy": 420,
        "foveal_scan": 135,
        "srf": 89,
        "irf": 69,
        "drusen": 227,
        "ped": 220,
        "hdots": 840,
        "hfoci": 40,
    },
    "test": {
        "healthy": 165,
        "foveal_scan": 33,
        "srf": 2,
        "irf": 6,
        "drusen": 91,
        "ped": 27,
        "hdots": 257,
        "hfoci": 32,
    },
}
FULL_SIZE = sum(IMAGES.values())
_SLICES = 13
_RUN = 7
"""Slices of a volume that a lesion usually covers."""
_EYES_WITH_IT = 10
"""A lesion is spread over this many eyes where its count allows, so that patients with it can be counted."""


@dataclass
class _Eye:
    """One volume in the making: which slices show which sign."""

    patient: str
    healthy: bool
    slices: int
    shows: dict[str, set[int]] = field(default_factory=dict)


def write_counted(root: Path, seed: int) -> None:
    """``images/`` and ``labels.csv`` with exactly `POSITIVES` in `IMAGES`; a volume is one patient's, in one part."""
    start(root, "oct_signatures", FULL_SIZE, seed)
    rows: list[list[object]] = []
    for split, total in IMAGES.items():
        wanted = POSITIVES[split]
        rng = generator(seed, "oct_signatures counted", split)
        eyes = [
            *_volumes(f"{split[:2].upper()}H", True, wanted["healthy"]),
            *_volumes(f"{split[:2].upper()}D", False, total - wanted["healthy"]),
        ]
        _foveal(eyes, wanted["foveal_scan"])
        _dots(eyes, wanted["hdots"], rng)
        diseased = [e for e in eyes if not e.healthy]
        for name in ("srf", "irf", "drusen", "ped", "hfoci"):
            _lesion(diseased, name, wanted[name], rng)
        for eye in eyes:
            rows += _write(eye, split, seed, root)
    write_csv(root / "labels.csv", ["image", "patient_id", "split", *SIGNATURES], rows)


def _volumes(prefix: str, healthy: bool, images: int) -> list[_Eye]:
    """Volumes of `_SLICES` slices, the last one smaller."""
    full, rest = divmod(images, _SLICES)
    sizes = [_SLICES] * full + ([rest] if rest else [])
    return [_Eye(f"{prefix}{i + 1:03d}", healthy, size) for i, size in enumerate(sizes)]


def _foveal(eyes: list[_Eye], count: int) -> None:
    """The central slice of every volume, then the one beside it in as many as the count needs."""
    for turn in range(count):
        eye = eyes[turn % len(eyes)]
        middle = eye.slices // 2
        eye.shows.setdefault("foveal_scan", set()).add(middle + turn // len(eyes))


def _dots(eyes: list[_Eye], count: int, rng: np.random.Generator) -> None:
    """Whole volumes, as dots belong to the eye; part of one where the count ends."""
    left = count
    for i in rng.permutation(len(eyes)):
        taken = min(left, eyes[i].slices)
        eyes[i].shows["hdots"] = set(range(taken))
        left -= taken


def _lesion(eyes: list[_Eye], name: str, count: int, rng: np.random.Generator) -> None:
    """A run of neighbouring slices in each of several diseased eyes, with `count` slices in all."""
    carriers = max(-(-count // _RUN), min(_EYES_WITH_IT, count))
    chosen = [eyes[i] for i in rng.permutation([i for i, e in enumerate(eyes) if e.slices > _RUN])[:carriers]]
    for k, eye in enumerate(chosen):
        length = count // carriers + (k < count % carriers)
        first = int(rng.integers(0, eye.slices - length + 1))
        eye.shows[name] = set(range(first, first + length))


def _write(eye: _Eye, split: str, seed: int, root: Path) -> list[list[object]]:
    rows: list[list[object]] = []
    lesions = ("srf", "irf", "drusen", "ped", "hfoci")
    for k in range(eye.slices):
        present = {name: k in eye.shows.get(name, ()) for name in SIGNATURES[1:]}
        sick = any(present[name] for name in lesions)
        signs = Signs(
            **present, thinning=0.0 if eye.healthy or sick else 0.9, extent=_extent(eye, k, present, lesions)
        )
        image = f"{eye.patient}_{k:02d}.png"
        write_slice("oct_signatures", eye.patient, k, eye.slices, signs, seed, root / "images" / image)
        labels = {"healthy": eye.healthy, **present}
        rows.append([image, eye.patient, split, *(int(labels[s]) for s in SIGNATURES)])
    return rows


def _extent(eye: _Eye, k: int, present: Mapping[str, bool], lesions: tuple[str, ...]) -> float:
    """How far inside its lesions a slice lies: 1 in the middle of a run, less towards its ends."""
    inside = [0.0]
    for name in lesions:
        if present[name]:
            run = sorted(eye.shows[name])
            middle, half = (run[0] + run[-1]) / 2, len(run) / 2 + 0.5
            inside.append(1 - abs(k - middle) / half)
    return max(inside)
