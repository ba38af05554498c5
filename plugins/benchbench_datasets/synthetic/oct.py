"""An OCT B-scan: layers of a retina in depth, eight signatures, speckle.

Heights are fractions of the image height, positions across are fractions of the width. A volume shares its anatomy:
its slices differ by a smooth change of depth, slope and lesion size, and by their speckle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

SIGNATURES = ("healthy", "foveal_scan", "srf", "irf", "drusen", "ped", "hdots", "hfoci")
_TILE = 1024
# Layers below the inner limiting membrane: share of the retina's thickness, and mean grey level.
_LAYERS = (
    (0.11, 118),  # nerve fibres
    (0.21, 82),  # ganglion cells and inner plexiform layer
    (0.12, 46),  # inner nuclear layer
    (0.10, 76),  # outer plexiform layer
    (0.23, 36),  # outer nuclear layer
    (0.05, 62),  # around the external limiting membrane
    (0.06, 140),  # ellipsoid zone
    (0.05, 74),
    (0.07, 172),  # pigment epithelium
)
_INNER = 5  # layers that thin out at the fovea


@dataclass(frozen=True)
class Scanner:
    """How the scans of one dataset look."""

    width: int = 256
    height: int = 256
    looks: float = 4.0
    """Shape of the gamma-distributed speckle: fewer looks, more grain."""
    gain: float = 1.0


@dataclass(frozen=True)
class Volume:
    """What the slices of one eye share."""

    depth: float
    thickness: float
    slope: float
    bow: float
    pit: float
    """Where the fovea lies across."""
    choroid: float
    gain: float
    lesions: np.ndarray
    """(24,) uniform numbers that place and size the lesions."""
    vessels: np.ndarray
    """(k,) positions of the vessels that cast shadows."""


@dataclass(frozen=True)
class Signs:
    """What one slice shows; `extent` scales every lesion (0 to 1)."""

    foveal_scan: bool = False
    srf: bool = False
    irf: bool = False
    drusen: bool = False
    ped: bool = False
    hdots: bool = False
    hfoci: bool = False
    thinning: float = 0.0
    """Loss of outer retina without any of the signatures."""
    extent: float = 1.0


def draw_volume(rng: np.random.Generator) -> Volume:
    """Anatomy of one eye."""
    return Volume(
        depth=float(rng.uniform(0.26, 0.40)),
        thickness=float(rng.normal(0.26, 0.02)),
        slope=float(rng.normal(0, 0.05)),
        bow=float(rng.normal(0.05, 0.03)),
        pit=float(rng.uniform(0.42, 0.58)),
        choroid=float(rng.uniform(0.10, 0.20)),
        gain=float(np.exp(rng.normal(0, 0.12))),
        lesions=rng.random(24),
        vessels=rng.uniform(0.03, 0.97, int(rng.integers(2, 6))),
    )


def render_bscan(
    scanner: Scanner, volume: Volume, signs: Signs, position: float, rng: np.random.Generator
) -> Image.Image:
    """One slice as 8-bit grey image; `position` runs from -1 to 1 through the volume."""
    width, height = scanner.width, scanner.height
    across = (np.arange(width, dtype=np.float32) + 0.5) / width
    borders, bruch = _borders(volume, signs, position, across)
    rows = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    edge = np.float32(height / 1.6)
    grey = np.full((height, width), 11.0, dtype=np.float32)
    level = 11.0
    for border, (_, wanted) in zip(borders[:-1], _LAYERS, strict=True):
        grey += np.float32(wanted - level) * np.clip((rows - border) * edge + 0.5, 0, 1)
        level = float(wanted)
    below = np.clip((rows - borders[-1]) * edge + 0.5, 0, 1)
    fading = 88 * np.exp(-np.maximum(rows - bruch, 0) / np.float32(0.55 * volume.choroid)) + 9
    grey += below * (fading - np.float32(level))
    grey = _fluid(grey, volume, signs, borders, bruch, rows, across)
    grey = _shadows(grey, volume, borders[0], rows, across)
    image = _spots(grey, volume, signs, borders, rng)
    return _scan(image, scanner, volume, rng)


def _bump(across: np.ndarray, at: float, half_width: float) -> np.ndarray:
    return np.exp(-(((across - np.float32(at)) / np.float32(half_width)) ** 2))


def _dome(across: np.ndarray, at: float, half_width: float) -> np.ndarray:
    return np.sqrt(np.clip(1 - ((across - np.float32(at)) / np.float32(half_width)) ** 2, 0, None))


def _borders(
    volume: Volume, signs: Signs, position: float, across: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Upper border of each layer, lower border of the last, and Bruch's membrane; (W,) each."""
    u, extent = volume.lesions, signs.extent
    x = across - 0.5
    bruch = (
        volume.depth + volume.thickness + volume.slope * x + volume.bow * (4 * x * x - 0.3) + 0.02 * position
    )
    bruch = bruch.astype(np.float32)
    lift = np.zeros_like(across)
    if signs.drusen:
        for k in range(2 + int(6 * u[0])):
            at = 0.12 + 0.76 * ((u[1] + 0.381966 * k) % 1.0)
            lift += (
                (0.010 + 0.014 * u[2 + k % 4])
                * (0.7 + 0.3 * extent)
                * _bump(across, at, 0.014 + 0.012 * u[3 + k % 3])
            )
    if signs.ped:
        lift += (
            (0.045 + 0.05 * u[8])
            * (0.6 + 0.4 * extent)
            * _dome(across, 0.3 + 0.4 * u[9], 0.09 + 0.08 * u[10])
        )
    epithelium = bruch - lift
    detached = np.zeros_like(across)
    if signs.srf:
        half = (0.10 + 0.10 * u[12]) * (0.6 + 0.4 * extent)
        detached = (0.03 + 0.04 * u[13]) * (0.6 + 0.4 * extent) * _dome(across, 0.32 + 0.36 * u[11], half)
    thickness = np.full_like(across, volume.thickness * (1 - 0.25 * signs.thinning))
    if signs.irf:
        thickness += 0.05 * (0.5 + 0.5 * extent) * _bump(across, 0.3 + 0.4 * u[14], 0.20)
    inner = np.ones_like(across)
    if signs.foveal_scan:
        inner -= 0.80 * _bump(across, volume.pit, 0.085)
    shares = [s for s, _ in _LAYERS]
    heights = [t * thickness * (inner if k < _INNER else 1.0) for k, t in enumerate(shares)]
    # Layers stack upwards from the pigment epithelium; subretinal fluid lies under the photoreceptors.
    borders = [epithelium]
    for k in range(len(shares) - 1, -1, -1):
        gap = detached if k == len(shares) - 2 else 0.0
        borders.insert(0, borders[0] - heights[k] - gap)
    # What pushes from below spreads out: the nearer a layer is to the vitreous, the less it is lifted.
    for k in range(_INNER - 1, -1, -1):
        spread = borders[k] + (lift + detached) * np.float32(0.62 - 0.06 * k)
        borders[k] = np.minimum(spread, borders[k + 1] - np.float32(0.006))
    return borders, bruch


def _fluid(
    grey: np.ndarray,
    volume: Volume,
    signs: Signs,
    borders: list[np.ndarray],
    bruch: np.ndarray,
    rows: np.ndarray,
    across: np.ndarray,
) -> np.ndarray:
    """Dark spaces: under the retina, in it, and under a detached pigment epithelium."""
    u, edge = volume.lesions, np.float32(grey.shape[0] / 1.6)

    def between(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
        return np.clip((rows - upper) * edge, 0, 1) * np.clip((lower - rows) * edge, 0, 1)

    if signs.srf:
        thin = np.float32(_LAYERS[-2][0] * volume.thickness)
        grey = grey + between(borders[-3] + thin, borders[-2]) * (15 - grey)
    if signs.ped or signs.drusen:
        content = 30 + 45 * u[15] if signs.ped else 95.0
        inside = between(borders[-1], bruch)
        grey = grey + inside * np.float32(0.85) * (np.float32(content) - grey)
        line = np.clip(1 - np.abs(rows - bruch) * edge, 0, 1) * (bruch - borders[-1] > 0.012)
        grey = np.maximum(grey, line * 120)
    if signs.irf:
        for k in range(3 + int(5 * u[16])):
            at = 0.3 + 0.4 * u[14] + 0.13 * (((u[17] + 0.381966 * k) % 1.0) - 0.5) * 2
            column = int(np.clip(at, 0.02, 0.97) * len(across))
            layer = 2 if k % 2 else 4
            middle = 0.5 * (borders[layer][column] + borders[layer + 1][column])
            wide = (0.014 + 0.022 * u[18 + k % 4]) * (0.6 + 0.4 * signs.extent)
            tall = 0.55 * wide + 0.010
            inside = (
                1
                - ((across - np.float32(at)) / np.float32(wide)) ** 2
                - ((rows - middle) / np.float32(tall)) ** 2
            )
            grey = grey + np.clip(inside * 4, 0, 1) * (13 - grey)
    return grey


def _shadows(
    grey: np.ndarray, volume: Volume, top: np.ndarray, rows: np.ndarray, across: np.ndarray
) -> np.ndarray:
    dark = np.zeros_like(across)
    for at in volume.vessels:
        dark = np.maximum(dark, 0.45 * _bump(across, at, 0.009))
    return grey * (1 - dark * (rows > top + 0.03))


def _spots(
    grey: np.ndarray, volume: Volume, signs: Signs, borders: list[np.ndarray], rng: np.random.Generator
) -> Image.Image:
    """Hyper-reflective dots in the inner layers, and larger foci with a shadow."""
    height, width = grey.shape
    image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if signs.hfoci:
        for _ in range(int(rng.integers(2, 6))):
            column = int(rng.uniform(0.2, 0.8) * width)
            row = float(rng.uniform(borders[2][column], borders[5][column])) * height
            radius = float(rng.uniform(0.008, 0.013)) * height
            strip = image.crop((int(column - radius), int(row), int(column + radius) + 1, height))
            image.paste(strip.point(lambda v: v * 0.6), (int(column - radius), int(row)))
            draw.ellipse((column - radius, row - radius, column + radius, row + radius), fill=215)
    if signs.hdots:
        for _ in range(int(rng.integers(6, 26))):
            column = int(rng.uniform(0.04, 0.96) * width)
            row = float(rng.uniform(borders[1][column], borders[5][column])) * height
            radius = float(rng.uniform(0.0028, 0.005)) * height
            draw.ellipse((column - radius, row - radius, column + radius, row + radius), fill=190)
    return image


@lru_cache(maxsize=4)
def _speckle(looks: float) -> np.ndarray:
    """A tile of multiplicative speckle with mean 1; every scan cuts its own window."""
    rng = np.random.Generator(np.random.PCG64(20230911))
    tile = rng.gamma(looks, 1 / looks, (_TILE, _TILE)).astype(np.float32)
    return 0.75 * tile + 0.25 * np.roll(tile, 1, axis=1)


def _scan(image: Image.Image, scanner: Scanner, volume: Volume, rng: np.random.Generator) -> Image.Image:
    """Speckle, gain, the noise floor, and now and then a white wedge from registration."""
    height, width = scanner.height, scanner.width
    top, left = (int(v) for v in rng.integers(0, (_TILE - height, _TILE - width)))
    grain = _speckle(scanner.looks)[top : top + height, left : left + width]
    gain = np.float32(scanner.gain * volume.gain * np.exp(rng.normal(0, 0.06)))
    pixels = np.asarray(image, dtype=np.float32) * grain * gain + np.float32(rng.uniform(4, 12))
    if rng.random() < 0.08:
        slope = rng.uniform(-0.12, 0.12)
        edge = height * (
            1 - abs(slope) * (np.arange(width) / width if slope > 0 else 1 - np.arange(width) / width)
        )
        pixels[np.arange(height)[:, None] >= edge[None, :]] = 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
