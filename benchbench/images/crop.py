"""Removal of the black frame around colour fundus photographs.

Both crops find the circle of the camera's field of view with the steps of AutoMorph's first module (Zhou et al.
2022, rmaphoh/AutoMorph, M0_Preprocess): threshold, holes filled from the corners, opening, centre from the
longest rows and columns, radius from the distances of the edge; then the circle has to agree with the lit region.
The search runs on a reduced copy, so the circle is right to a few thousandths of the image's side.

``fundus_circle`` cuts out the circle's bounding box and pads it to a square with black; ``automorph_m0`` also
blackens what lies outside the circle, as AutoMorph does. An image without such a circle (OCT, a photograph that
fills its frame) comes back unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DataError

SEARCH_SIDE = 1024
"""Longer side of the copy on which the circle is searched, in pixels."""
OPENING = 20 / 3500
"""AutoMorph opens with 20 pixels; as a share of the photographs' width that it was written for."""
SMALLEST_AREA = 0.1
"""A bright region below this share of the image is no field of view."""
SMALLEST_OVERLAP = 0.95
"""Intersection over union of the lit region and the disc within the frame; photographs reach 0.97 and more."""
SMALLEST_DARK_OVERLAP = 0.85
"""The same of what is dark; photographs of IDRiD reach 0.94 and more, OCT scans 0.78 at most."""
LARGEST_RADIUS = 0.75
"""As a share of the frame's longer side: a larger circle leaves no dark corner to be seen by."""


@dataclass(frozen=True)
class Circle:
    """Field of view: centre and radius in pixels."""

    row: float
    column: float
    radius: float


def crop_frame(pixels: np.ndarray, crop: str) -> np.ndarray:
    """(H, W, 3) uint8 without its black frame, square; unchanged where no field of view is found."""
    if crop not in ("fundus_circle", "automorph_m0"):
        raise DataError(f"There is no crop called {crop!r}.", fix="use none, fundus_circle or automorph_m0")
    circle = find_circle(pixels)
    if circle is None:
        return pixels
    height, width = pixels.shape[:2]
    top, left = max(0, int(circle.row - circle.radius)), max(0, int(circle.column - circle.radius))
    side = int(2 * circle.radius)
    bottom, right = min(height, top + side), min(width, left + side)
    cut = pixels[top:bottom, left:right]
    if crop == "automorph_m0":
        rows = np.arange(top, bottom)[:, None] - int(circle.row)
        columns = np.arange(left, right)[None, :] - int(circle.column)
        inside = rows**2 + columns**2 <= int(circle.radius) ** 2
        cut = cut * inside[:, :, None].astype(np.uint8)
    return _pad_to_square(cut)


def find_circle(pixels: np.ndarray) -> Circle | None:
    """The field of view of a fundus photograph (H, W, 3) uint8, or None."""
    step = max(1, -(-max(pixels.shape[:2]) // SEARCH_SIDE))
    mask = _bright_region(pixels[::step, ::step])
    if mask.mean() < SMALLEST_AREA or mask.mean() > 0.98:
        return None
    centre = [float(np.flatnonzero(sums > 0.95 * sums.max()).mean()) for sums in (mask.sum(1), mask.sum(0))]
    radius = _radius(mask, centre[0], centre[1])
    if not 0.25 * min(mask.shape) <= radius <= LARGEST_RADIUS * max(mask.shape):
        return None
    if not _is_disc(mask, centre[0], centre[1], radius):
        return None
    return Circle(centre[0] * step, centre[1] * step, radius * step)


def _is_disc(mask: np.ndarray, row: float, column: float, radius: float) -> bool:
    """Whether the lit region is the disc as far as the frame shows it, and the dark region all around it.

    The dark region is asked too because a disc larger than the frame agrees with any bright picture, such as an
    OCT scan, and disagrees only in the corners.
    """
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return _overlap(mask, disc) >= SMALLEST_OVERLAP and _overlap(~mask, ~disc) >= SMALLEST_DARK_OVERLAP


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def _bright_region(pixels: np.ndarray) -> np.ndarray:
    """Mask (h, w) of the lit part: above a third of the mean grey, dark holes inside filled, specks removed."""
    from scipy import ndimage

    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey -= grey.min()
    grey *= 255 / max(float(grey.max()), 1.0)
    bright = grey > max(5.0, float(grey.mean()) / 3 - 5)
    dark, _ = ndimage.label(~bright)
    # All four corners, where AutoMorph asks two: a white label in one of those would make the frame a hole.
    corners = {int(dark[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    filled = ~np.isin(dark, list(corners)) if corners else np.ones_like(bright)
    size = max(3, round(OPENING * pixels.shape[1]))
    opened = ndimage.minimum_filter(filled.astype(np.uint8), size, mode="constant", cval=1)
    return _largest(ndimage.maximum_filter(opened, size, mode="constant", cval=0).astype(bool))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected region: labels and dates beside the field of view go."""
    from scipy import ndimage

    regions, count = ndimage.label(mask)
    return regions == 1 + np.bincount(regions.ravel())[1:].argmax() if count > 1 else mask


def _radius(mask: np.ndarray, row: float, column: float) -> float:
    """The largest among the most frequent distances of the region's edge from the centre."""
    from scipy import ndimage

    edge = mask ^ ndimage.binary_erosion(mask, border_value=1)
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return 0.0
    distances = np.hypot(rows - row, columns - column)
    counts = np.bincount(np.ceil(distances).astype(int)).astype(float)
    # A band instead of single pixels: an edge that is one step off centre spreads over neighbouring distances.
    counts = np.convolve(counts, np.ones(3), mode="same")
    return float(np.flatnonzero(counts > 0.995 * counts.max()).max())


def _pad_to_square(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = max(height, width)
    out = np.zeros((side, side, pixels.shape[2]), pixels.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = pixels
    return out
