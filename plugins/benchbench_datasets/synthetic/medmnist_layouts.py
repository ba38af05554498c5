"""Synthetic arrays in the files of MedMNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .dr_layouts import draw_dme
from .findings import dr_findings, seen_grade
from .glaucoma_layouts import photograph
from .oct import Scanner, draw_volume, render_bscan
from .oct_layouts import class_signs
from .seeds import exact_counts, generator
from .writing import start

_SHARES = {"retinamnist": (714, 186, 326, 282, 92), "octmnist": (37, 11, 9, 51)}
_SPLITS = {"train": 0.62, "val": 0.10, "test": 0.28}


def write_medmnist(root: Path, n: int | None, seed: int, name: str) -> None:
    """``<name>_224.npz`` with images and labels of three splits."""
    n = max(n or 120, 60)
    start(root, name, n, seed)
    arrays: dict[str, np.ndarray] = {}
    for split, share in _SPLITS.items():
        size = max(len(_SHARES[name]), round(share * n))
        codes = exact_counts(size, _SHARES[name], generator(seed, name, split), at_least=1)
        images = [_image(name, int(c), f"{split}/{k}", seed) for k, c in enumerate(codes)]
        arrays[f"{split}_images"] = np.stack(images)
        arrays[f"{split}_labels"] = codes[:, None].astype(np.uint8)
    np.savez(root / f"{name}_224.npz", allow_pickle=False, **arrays)


def _image(name: str, label: int, key: str, seed: int) -> np.ndarray:
    own = generator(seed, name, "findings", key)
    if name == "octmnist":
        kind = ("cnv", "dme", "drusen", "normal")[label]
        scan = render_bscan(Scanner(224, 224, looks=3.0), draw_volume(own), class_signs(kind, own), 0.0, own)
        return np.asarray(scan)
    seen = seen_grade(label, own)
    eye = ("OD", "OS")[int(own.integers(2))]
    return np.asarray(photograph(name, key, eye, key, dr_findings(seen, draw_dme(seen, own), own), seed))
