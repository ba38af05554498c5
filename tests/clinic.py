"""A small dataset of one's own: images of noise and a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_clinic(root: Path, columns: str, rows: Iterable[str]) -> Path:
    """Write `root`/clinic with an image for each row of a labels.csv; returns `root`, the data root."""
    folder = root / "clinic"
    folder.mkdir(parents=True)
    lines = [f"image,{columns}"]
    for k, row in enumerate(rows):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        lines.append(f"{k}.png,{row}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return root
