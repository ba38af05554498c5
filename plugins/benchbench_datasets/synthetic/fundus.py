"""A colour fundus photograph from anatomy, findings and a camera.

Fine structures are drawn at three times the output size and averaged down, so that a microaneurysm of one pixel
comes out as a real camera would show it. Everything smooth is computed at half size, and what is left at full
size is done by Pillow on bytes: a photograph of 224 pixels takes a few milliseconds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .anatomy import Camera, Findings, Person
from .lesions import Masks, draw_lesions
from .vessels import draw_tree, grow_tree

SUPERSAMPLING = 3
_CENTRE = {"macula": 0.06, "between": 0.19, "disc": 0.379}
_NOISE_SIDE = 1024


def render_fundus(
    camera: Camera,
    person: Person,
    eye: str,
    findings: Findings,
    anatomy_rng: np.random.Generator,
    image_rng: np.random.Generator,
) -> Image.Image:
    """One photograph as RGB image.

    Args:
        eye: "OD" (disc on the right) or "OS" (mirrored).
        anatomy_rng: draws vessels and lesions of this eye.
        image_rng: draws what differs between two photographs of an eye: framing, light, focus, noise.
    """
    geometry = _Geometry(camera, person, eye, image_rng)
    layers = _draw_layers(geometry, person, findings, anatomy_rng)
    light = _light(geometry, person, findings, anatomy_rng, image_rng)
    if findings.cataract:
        light = _cloud(light, findings.cataract, image_rng)
    picture = _to_image(light).resize((camera.width, camera.height), Image.Resampling.BILINEAR)
    veil = 0.30 + 0.40 * findings.cataract if findings.cataract else 0.0
    picture = _paint(picture, layers, person, 1 - veil, findings.visibility)
    if findings.cataract:
        picture = picture.filter(
            ImageFilter.GaussianBlur((0.005 + 0.012 * findings.cataract) * geometry.diameter)
        )
    return _expose(picture, camera, geometry, image_rng)


class _Geometry:
    """Where things are: half-size pixel grids in FOV diameters from the fovea, and the way back."""

    def __init__(self, camera: Camera, person: Person, eye: str, rng: np.random.Generator) -> None:
        self.width, self.height = camera.width, camera.height
        self.diameter = camera.fov * camera.width
        self.side = 1.0 if eye != "OS" else -1.0
        shift = rng.normal(0, camera.framing * camera.width, 2)
        self.centre = np.array([camera.width / 2 + shift[0], camera.height / 2 + shift[1]])
        nasal = _CENTRE[camera.centre] + rng.normal(0, 0.02)
        up = rng.normal(0, 0.015) + (person.disc_y if camera.centre == "disc" else 0.0)
        self.turn = rng.normal(0, 0.05)
        self.fovea = np.array([nasal, up])
        self.disc = np.array([person.disc_x, person.disc_y])
        rows, columns = (camera.height + 1) // 2, (camera.width + 1) // 2
        dx = ((2 * np.arange(columns, dtype=np.float32) + 1 - self.centre[0]) / self.diameter)[None, :]
        dy = ((2 * np.arange(rows, dtype=np.float32) + 1 - self.centre[1]) / self.diameter)[:, None]
        dx, dy = dx.astype(np.float32), dy.astype(np.float32)
        self.shape = (rows, columns)
        self.radius2 = 4 * (dx * dx + dy * dy)
        self.screen_x, self.screen_y = dx, dy
        c, s = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        self.x = np.float32(self.side) * (c * dx + s * dy) + np.float32(self.fovea[0])
        self.y = -s * dx + c * dy + np.float32(self.fovea[1])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Canvas pixels (supersampled) of points (.., 2) around the fovea."""
        px, py = (points[..., 0] - self.fovea[0]) * self.side, points[..., 1] - self.fovea[1]
        c, s = np.cos(self.turn), np.sin(self.turn)
        x = (c * px - s * py) * self.diameter + self.centre[0]
        y = (s * px + c * py) * self.diameter + self.centre[1]
        return np.stack([x, y], axis=-1) * SUPERSAMPLING


def _draw_layers(
    g: _Geometry, person: Person, findings: Findings, rng: np.random.Generator
) -> dict[str, Image.Image]:
    """Coverage, as 8-bit images, of arteries, veins, red, yellow and white lesions; empty ones are left out."""
    size = (g.width * SUPERSAMPLING, g.height * SUPERSAMPLING)
    images = {name: Image.new("L", size) for name in ("artery", "vein", "red", "yellow", "white")}
    draws = {name: ImageDraw.Draw(image) for name, image in images.items()}
    scale = g.diameter * SUPERSAMPLING
    tree = grow_tree(g.disc, person.tortuosity, person.vessel_width, findings.beading, rng)
    draw_tree(tree, g.place, scale, draws["artery"], draws["vein"])
    masks = Masks(draws["red"], draws["yellow"], draws["white"], draws["vein"])
    draw_lesions(findings, masks, g.place, scale, g.disc, rng)
    small = {name: image.reduce(SUPERSAMPLING) for name, image in images.items() if image.getbbox()}
    if "white" in small:
        small["white"] = small["white"].filter(ImageFilter.BoxBlur(0.010 * g.diameter))
    return small


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of about unit variance with `cells` bumps across."""
    rows = max(2, round(cells * shape[0] / shape[1]))
    small = Image.fromarray(rng.standard_normal((rows, cells)).astype(np.float32))
    return np.asarray(small.resize(shape[::-1], Image.Resampling.BICUBIC)) * np.float32(1.25)


def _light(
    g: _Geometry, person: Person, f: Findings, anatomy: np.random.Generator, image: np.random.Generator
) -> np.ndarray:
    """Background, macula and disc: (3, H/2, W/2) float32, 0 to about 255."""
    noise = smooth_noise(g.shape, 7, anatomy) * np.float32(0.055)
    noise += smooth_noise(g.shape, 26, anatomy) * np.float32(0.030 * person.choroid)
    slope = image.normal(0, 0.10, 2).astype(np.float32)
    shade = np.float32(1.10) - np.float32(0.30) * g.radius2
    shade += slope[0] * g.screen_x + slope[1] * g.screen_y
    shade += noise
    from_fovea2 = g.x * g.x + g.y * g.y
    macula = np.exp(from_fovea2 * np.float32(-1 / 0.095**2))
    macula += np.float32(0.35) * np.exp(from_fovea2 * np.float32(-1 / 0.028**2))
    if f.nerve_fibre_defect:
        shade *= 1 - np.float32(0.16) * _wedge(g)
    base = np.empty((3, *g.shape), dtype=np.float32)
    for channel, (level, dark) in enumerate(zip(person.colour, (0.16, 0.34, 0.30), strict=True)):
        np.multiply(shade, np.float32(level) - np.float32(level * dark) * macula, out=base[channel])
    if f.geographic_atrophy:
        edge = 1 - np.sqrt(g.x**2 + (1.2 * g.y) ** 2) / np.float32(f.geographic_atrophy / 2) + 4 * noise
        _mix(base, _soft(edge, 6) * np.float32(0.55), _bright(person, (1.20, 1.75, 1.9)))
    _optic_disc(base, g, person, f)
    if image.random() < 0.15:
        at = image.uniform(-0.45, 0.45, 2)
        spread = (g.screen_x - np.float32(at[0])) ** 2 + (g.screen_y - np.float32(at[1])) ** 2
        base += np.float32(image.uniform(10, 35)) * np.exp(spread * np.float32(-1 / 0.10**2))
    return base


def _optic_disc(base: np.ndarray, g: _Geometry, person: Person, f: Findings) -> None:
    """Paint disc, cup and crescent, on the part of the grid where they are."""
    near = (np.abs(g.x - g.disc[0]) < 1.1 * person.disc) & (np.abs(g.y - g.disc[1]) < 1.1 * person.disc)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    part = base[:, window[0], window[1]]
    half = np.float32(person.disc / 2)
    dx, dy = (g.x[window] - np.float32(g.disc[0])) / half, (g.y[window] - np.float32(g.disc[1])) / half
    inside = _soft(1 - np.sqrt((dx / 0.92) ** 2 + dy**2), 9)
    if f.atrophy:
        # A crescent on the temporal side: a larger disc shifted towards the fovea, minus the disc itself.
        larger = _soft(1 + f.atrophy - np.sqrt(((dx + 0.8 * f.atrophy) / 0.95) ** 2 + dy**2), 7)
        _mix(part, np.clip(larger - inside, 0, 1) * 0.55, _bright(person, (1.25, 1.9, 2.3)))
    _mix(part, inside * 0.92, _bright(person, (1.30, 1.75, 1.9)))
    cup = f.cup_to_disc
    cup_y = dy - 0.35 * f.rim_notch * (1 - cup)
    edge = 1 - np.sqrt((dx / (0.90 * cup)) ** 2 + (cup_y / (cup + 0.30 * abs(f.rim_notch) * (1 - cup))) ** 2)
    _mix(part, _soft(edge * cup, 10) * inside * 0.85, _bright(person, (1.55, 2.55, 3.3)))


def _bright(person: Person, factor: tuple[float, float, float]) -> np.ndarray:
    """A bright colour of this eye: half its own pigment times `factor`, half a warm white as bright."""
    own = np.asarray(person.colour) * factor
    warm = np.asarray((1.0, 0.84, 0.56)) * own.max()
    return np.minimum(0.5 * own + 0.5 * warm, 252).astype(np.float32)


def _wedge(g: _Geometry) -> np.ndarray:
    """A dark wedge of lost nerve fibres from the disc to the lower arcade."""
    dx, dy = g.disc[0] - g.x, g.y - g.disc[1]
    angle = np.arctan2(dy, dx)
    return np.exp(-(((angle - 1.05) / 0.16) ** 2)) * _soft(np.sqrt(dx * dx + dy * dy) - 0.08, 60)


def _soft(signed: np.ndarray, steep: float) -> np.ndarray:
    """0 outside, 1 inside, with a soft edge."""
    return np.clip(0.5 + signed * np.float32(steep) / 2, 0, 1).astype(np.float32)


def _mix(base: np.ndarray, amount: np.ndarray, colour: np.ndarray) -> None:
    """Move `base` (3, h, w), in place, towards a colour by `amount` (h, w)."""
    for channel in range(3):
        base[channel] += amount * (colour[channel] - base[channel])


def _to_image(light: np.ndarray) -> Image.Image:
    np.clip(light, 0, 255, out=light)
    return Image.merge("RGB", [Image.fromarray(channel) for channel in light.astype(np.uint8)])


def _cloud(light: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    """A cloudy lens: less contrast under an uneven yellowish veil."""
    clouds = np.clip(1 + 0.25 * smooth_noise(light.shape[1:], 4, rng), 0.5, 1.5) * (0.30 + 0.40 * density)
    veil = light.mean(axis=(1, 2)) * np.asarray((1.05, 1.15, 0.95), dtype=np.float32)
    _mix(light, np.clip(clouds, 0, 0.85).astype(np.float32), veil)
    return light


def _paint(
    picture: Image.Image, layers: dict[str, Image.Image], person: Person, strength: float, visibility: float
) -> Image.Image:
    """Vessels and lesions over the background; `strength` below 1 behind a cloudy lens, `visibility` of lesions."""
    for name, factor in (
        ("artery", (0.83, 0.60, 0.66)),
        ("vein", (0.68, 0.42, 0.52)),
        ("red", (0.52, 0.20, 0.28)),
    ):
        if name in layers:
            clear = strength * (visibility if name == "red" else 1.0)
            r, g, b = (round(255 * (1 - clear * (1 - f))) for f in factor)
            dark = ImageChops.multiply(picture, Image.new("RGB", picture.size, (r, g, b)))
            picture.paste(dark, mask=layers[name])
    for name, cover, factor in (("yellow", 0.90, (1.50, 2.55, 2.6)), ("white", 0.80, (1.40, 2.30, 3.0))):
        if name in layers:
            r, g, b = (int(c) for c in _bright(person, factor))
            opacity = Image.new("L", picture.size, round(255 * cover * strength * visibility))
            picture.paste((r, g, b), mask=ImageChops.multiply(layers[name], opacity))
    return picture


@lru_cache(maxsize=4)
def _noise_tile(level: float) -> Image.Image:
    """Sensor noise around 128; every photograph cuts its own window."""
    rng = np.random.Generator(np.random.PCG64(20240517))
    noise = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE), dtype=np.float32) * np.float32(level) + 128.5
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))


def _expose(picture: Image.Image, camera: Camera, g: _Geometry, rng: np.random.Generator) -> Image.Image:
    """Haze, cast, focus, sensor noise and the black frame."""
    haze = abs(float(rng.normal(0, camera.haze)))
    cast = rng.normal(1.0, 0.03, 3) * np.exp(rng.normal(0, 0.08))
    levels = np.arange(256)
    curve = [levels * c * (1 - haze) + haze * grey for c, grey in zip(cast, (150, 140, 120), strict=True)]
    picture = picture.point([int(v) for v in np.clip(np.concatenate(curve), 0, 255)])
    median, spread = camera.sharpness
    radius = float(median * np.exp(rng.normal(0, spread)) * camera.height / 224)
    picture = picture.filter(ImageFilter.BoxBlur(radius * 1.3))
    left, top = (int(v) for v in rng.integers(0, (_NOISE_SIDE - g.width, _NOISE_SIDE - g.height)))
    noise = _noise_tile(camera.noise).crop((left, top, left + g.width, top + g.height))
    picture = ImageChops.add(picture, Image.merge("RGB", (noise, noise, noise)), offset=-128)
    black = Image.new("RGB", picture.size, (3, 3, 3))
    black.paste(picture, mask=_frame(camera, g))
    return black


def _frame(camera: Camera, g: _Geometry) -> Image.Image:
    """Coverage of the round field of view, with the notch that some cameras have."""
    frame = np.clip((1 - np.sqrt(g.radius2)) * np.float32(g.diameter * 63.75) + 128, 0, 255)
    if camera.notch:
        notch = (np.abs(g.screen_y - 0.02) < 0.018) & (g.screen_x > 0.485) & (g.radius2 < 1.12)
        frame = np.maximum(frame, notch * np.float32(230))
    image = Image.fromarray(frame.astype(np.uint8))
    return image.resize((camera.width, camera.height), Image.Resampling.BILINEAR)
