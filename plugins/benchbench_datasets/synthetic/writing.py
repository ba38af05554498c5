"""What every synthetic layout needs: the marker, image files, copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from benchbench.datasets.model import SIMULATED_MARKER
from benchbench.errors import DataError

GENERATOR_VERSION = 1


def start(root: Path, dataset: str, n: int, seed: int) -> None:
    """Make `root` and mark it as simulated, before the first image, so that no real-looking folder can be left.

    Raises:
        DataError: the folder holds files that benchbench did not simulate.
    """
    marker = root / SIMULATED_MARKER
    if root.is_dir() and any(root.iterdir()) and not marker.is_file():
        raise DataError(
            f"{dataset}: the folder holds files that were not simulated; nothing was written.",
            where=str(root),
            fix="choose an empty folder with --root",
        )
    root.mkdir(parents=True, exist_ok=True)
    marker.write_text(
        f"These are not photographs of patients: benchbench drew every image and every label.\n"
        f"dataset: {dataset}\nimages: {n}\nseed: {seed}\ngenerator: {GENERATOR_VERSION}\n",
        encoding="utf-8",
    )


def save(image: Image.Image, path: Path, quality: int = 90) -> None:
    """Write an image; the format follows the suffix, whatever its case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        image.save(path, format="JPEG", quality=quality)
    elif path.suffix.lower() == ".png":
        image.save(path, format="PNG", compress_level=3)
    else:
        image.save(path)


def copy(source: Path, target: Path) -> None:
    """An exact duplicate."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write_csv(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    newline: str = "\n",
    separator: str = ",",
) -> None:
    """A plain table without quoting, with the line ends and separator of the original."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(map(str, r)) for r in (header, *rows)]
    path.write_bytes("".join(line + newline for line in lines).encode("utf-8"))
