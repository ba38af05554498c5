"""The black frame is found and removed, on drawn circles and on real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbench.errors import DataError
from benchbench.images import decode
from benchbench.images.crop import crop_frame, find_circle


def disc(height: int, width: int, row: float, column: float, radius: float) -> np.ndarray:
    """A photograph of a lit disc with grain and a dark spot in it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - row, x - column) <= radius
    spot = np.hypot(y - row, x - column) <= radius / 6
    grey = np.where(inside & ~spot, 120, 3)[:, :, None] * np.array([1.0, 0.6, 0.4])
    return np.clip(grey + rng.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "circle"),
    [
        ((500, 700), (250, 350, 220)),
        ((500, 700), (250, 300, 280)),  # cut off above and below
        ((1700, 2400), (850, 1250, 800)),
    ],
)
def test_a_drawn_circle_is_found_to_one_percent(
    shape: tuple[int, int], circle: tuple[float, float, float]
) -> None:
    found = find_circle(disc(*shape, *circle))
    assert found is not None
    for got, true in zip((found.row, found.column, found.radius), circle, strict=True):
        assert abs(got - true) <= 0.01 * max(shape)


def test_automorph_blackens_outside_and_fundus_circle_does_not() -> None:
    picture = disc(500, 700, 250, 350, 220)
    kept, black = crop_frame(picture, "fundus_circle"), crop_frame(picture, "automorph_m0")
    assert kept.shape == black.shape
    assert kept.shape[0] == kept.shape[1]
    assert abs(kept.shape[0] - 440) <= 8
    assert black[:5, :5].max() == 0
    assert kept[:5, :5].max() > 0
    middle = slice(200, 240)
    assert np.array_equal(kept[middle, middle], black[middle, middle])


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_image_without_a_circle_is_unchanged(grey: int) -> None:
    flat = np.full((120, 200, 3), grey, np.uint8)
    assert crop_frame(flat, "fundus_circle") is flat


def test_an_unknown_crop_is_refused() -> None:
    with pytest.raises(DataError, match="no crop called 'tight'"):
        crop_frame(np.zeros((9, 9, 3), np.uint8), "tight")


@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_a_white_label_in_a_corner_does_not_move_the_circle(corner: str) -> None:
    picture = disc(500, 700, 250, 350, 220)
    rows = slice(0, 25) if "top" in corner else slice(-25, None)
    columns = slice(0, 90) if "left" in corner else slice(-90, None)
    picture[rows, columns] = 255
    found = find_circle(picture)
    assert found is not None
    assert (found.row, found.column, found.radius) == pytest.approx((250, 350, 220), abs=7)


@pytest.mark.parametrize("lit", ["square", "half disc", "ellipse", "band"])
def test_a_lit_region_that_is_no_disc_is_left_alone(lit: str) -> None:
    y, x = np.mgrid[:500, :700]
    inside = {
        "square": (abs(y - 250) < 200) & (abs(x - 350) < 200),
        "half disc": (np.hypot(y - 250, x - 350) < 220) & (x > 350),
        "ellipse": np.hypot((y - 250) * 1.4, x - 350) < 300,
        "band": abs(y - 250) < 120,
    }[lit]
    picture = np.repeat(np.where(inside, 120, 3).astype(np.uint8)[:, :, None], 3, axis=2)
    assert crop_frame(picture, "fundus_circle") is picture


def test_real_photographs_lose_their_frame_and_keep_their_retina(shared: Path) -> None:
    photographs = sorted((shared / "realdata" / "idrid").rglob("*.jpg"))
    assert photographs
    for path in photographs:
        pixels = decode(path)
        circle = find_circle(pixels)
        assert circle is not None, path.name
        y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
        distance = np.hypot(y - circle.row, x - circle.column)
        grey = pixels.mean(axis=2)
        outside = grey[distance > 1.05 * circle.radius].mean()  # haze beside some retinas
        rim = grey[(distance > 0.9 * circle.radius) & (distance < 0.97 * circle.radius)]
        assert outside < 12, path.name
        assert rim.mean() > 2.5 * outside, path.name
        assert 0.75 * pixels.shape[1] < crop_frame(pixels, "automorph_m0").shape[0] < pixels.shape[1]


def test_real_oct_scans_are_left_alone(shared: Path) -> None:
    scans = sorted((shared / "realdata" / "oct_kermany_mini").rglob("*.jpeg"))
    assert scans
    changed = [p.name for p in scans if crop_frame(pixels := decode(p), "fundus_circle") is not pixels]
    assert changed == []
