"""A small folder of images with a labels.csv, and the plugins' datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_image(path: Path, seed: int, size: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def clinic(tmp_path: Path) -> Callable[..., Path]:
    """clinic(rows, header) writes D/my_clinic with one image per row and returns D."""

    def make(rows: list[str], header: str = "image,label,patient", name: str = "my_clinic") -> Path:
        folder = tmp_path / "data" / name
        for k, row in enumerate(rows):
            write_image(folder / "images" / row.split(",")[0], k)
        (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return tmp_path / "data"

    return make


def rows(n: int = 40) -> list[str]:
    """Two images per patient, label by patient."""
    return [f"{k:03d}.png,{(k // 2) % 2},p{k // 2}" for k in range(n)]
