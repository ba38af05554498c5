"""A colour fundus photograph from anatomy, findings and a camera.

Fine structures are drawn at three times the output size and averaged down, so that a microaneurysm of one pixel
comes out as a real camera would show it; everything smooth is computed at output size.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .anatomy import Camera, Findings, Person
from .lesions import Masks, draw_lesions
from .vessels import draw_tree, grow_tree

SUPERSAMPLING = 3
_CENTRE = {"macula": 0.06, "between": 0.19, "disc": 0.379}


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
    light = _paint(light, layers, geometry, person)
    if findings.cataract:
        light = _veil(light, findings.cataract, geometry, image_rng)
    return _expose(light, camera, geometry, image_rng)


class _Geometry:
    """Where things are: pixel grids in FOV diameters from the fovea, and the way back."""

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
        y, x = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        dx, dy = (x + 0.5 - self.centre[0]) / self.diameter, (y + 0.5 - self.centre[1]) / self.diameter
        self.radius = 2 * np.sqrt(dx * dx + dy * dy)
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
) -> dict[str, np.ndarray]:
    """Coverage (H, W) in 0..1 of arteries, veins, red, yellow and white lesions."""
    size = (g.width * SUPERSAMPLING, g.height * SUPERSAMPLING)
    images = {name: Image.new("L", size) for name in ("artery", "vein", "red", "yellow", "white")}
    draws = {name: ImageDraw.Draw(image) for name, image in images.items()}
    scale = g.diameter * SUPERSAMPLING
    tree = grow_tree(g.disc, person.tortuosity, person.vessel_width, findings.beading, rng)
    draw_tree(tree, g.place, scale, draws["artery"], draws["vein"])
    masks = Masks(draws["red"], draws["yellow"], draws["white"], draws["vein"])
    draw_lesions(findings, masks, g.place, scale, g.disc, rng)
    small = {name: image.reduce(SUPERSAMPLING) for name, image in images.items()}
    if small["white"].getbbox():
        small["white"] = small["white"].filter(ImageFilter.GaussianBlur(0.007 * g.diameter))
    return {name: np.asarray(image, dtype=np.float32) / 255 for name, image in small.items()}


def smooth_noise(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) smooth noise of about unit variance with `cells` bumps across."""
    rows = max(2, round(cells * height / width))
    small = Image.fromarray(rng.standard_normal((rows, cells)).astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) * 1.25


def _light(
    g: _Geometry, person: Person, f: Findings, anatomy: np.random.Generator, image: np.random.Generator
) -> np.ndarray:
    """Background, macula and disc: (H, W, 3) float32, 0 to about 255."""
    noise = smooth_noise(g.height, g.width, 7, anatomy) * 0.055
    noise += smooth_noise(g.height, g.width, 26, anatomy) * (0.030 * person.choroid)
    slope = image.normal(0, 0.10, 2)
    shade = 1.10 - 0.30 * g.radius**2 + slope[0] * g.screen_x + slope[1] * g.screen_y + noise
    macula = np.exp(-(g.x**2 + g.y**2) / np.float32(0.095**2))
    fovea = np.exp(-(g.x**2 + g.y**2) / np.float32(0.028**2))
    base = np.empty((g.height, g.width, 3), dtype=np.float32)
    for channel, (level, dark) in enumerate(zip(person.colour, (0.16, 0.34, 0.30), strict=True)):
        base[..., channel] = level * shade * (1 - dark * macula - 0.12 * fovea)
    if f.nerve_fibre_defect:
        base *= (1 - 0.16 * _wedge(g))[..., None]
    if f.geographic_atrophy:
        patch = _soft(
            1 - np.sqrt(g.x**2 + (1.2 * g.y) ** 2) / (f.geographic_atrophy / 2) + 0.25 * noise / 0.06, 6
        )
        base = _mix(base, patch * 0.55, _bright(person, (1.20, 1.75, 1.9)))
    return _optic_disc(base, g, person, f)


def _optic_disc(base: np.ndarray, g: _Geometry, person: Person, f: Findings) -> np.ndarray:
    dx, dy = (g.x - g.disc[0]) / (person.disc / 2), (g.y - g.disc[1]) / (person.disc / 2)
    inside = _soft(1 - np.sqrt((dx / 0.92) ** 2 + dy**2), 9)
    if f.atrophy:
        # A crescent on the temporal side: a larger disc shifted towards the fovea, minus the disc itself.
        larger = _soft(1 + f.atrophy - np.sqrt(((dx + 0.8 * f.atrophy) / 0.95) ** 2 + dy**2), 7)
        base = _mix(base, np.clip(larger - inside, 0, 1) * 0.55, _bright(person, (1.25, 1.9, 2.3)))
    base = _mix(base, inside * 0.92, _bright(person, (1.42, 2.05, 2.4)))
    cup = f.cup_to_disc
    cup_y = dy - 0.35 * f.rim_notch * (1 - cup)
    edge = 1 - np.sqrt((dx / (0.90 * cup)) ** 2 + (cup_y / (cup + 0.30 * abs(f.rim_notch) * (1 - cup))) ** 2)
    return _mix(base, _soft(edge * cup, 10) * inside * 0.85, _bright(person, (1.55, 2.75, 3.9)))


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


def _mix(base: np.ndarray, amount: np.ndarray, colour: np.ndarray) -> np.ndarray:
    base += amount[..., None] * (colour - base)
    return base


def _paint(light: np.ndarray, layers: dict[str, np.ndarray], g: _Geometry, person: Person) -> np.ndarray:
    """Vessels and lesions over the background."""
    for name, factor in (
        ("artery", (0.83, 0.60, 0.66)),
        ("vein", (0.68, 0.42, 0.52)),
        ("red", (0.52, 0.20, 0.28)),
    ):
        light *= 1 - layers[name][..., None] * (1 - np.asarray(factor, dtype=np.float32))
    if layers["yellow"].any():
        _mix(light, layers["yellow"] * 0.90, _bright(person, (1.50, 2.55, 2.6)))
    if layers["white"].any():
        _mix(light, layers["white"] * 0.80, _bright(person, (1.40, 2.30, 3.0)))
    return light


def _veil(light: np.ndarray, density: float, g: _Geometry, rng: np.random.Generator) -> np.ndarray:
    """A cloudy lens: less contrast, less sharpness, a yellowish veil."""
    mean = light.mean(axis=(0, 1))
    veil = mean * np.asarray((1.05, 1.15, 0.95), dtype=np.float32)
    clouds = np.clip(1 + 0.25 * smooth_noise(g.height, g.width, 4, rng), 0.5, 1.5) * (0.30 + 0.40 * density)
    light = _mix(light, np.clip(clouds, 0, 0.85), veil)
    blurred = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur((0.006 + 0.014 * density) * g.diameter)
    )
    return np.asarray(blurred, dtype=np.float32)


def _expose(light: np.ndarray, camera: Camera, g: _Geometry, rng: np.random.Generator) -> Image.Image:
    """Haze, cast, flare, focus, sensor noise and the black frame."""
    haze = np.float32(abs(rng.normal(0, camera.haze)))
    cast = rng.normal(1.0, 0.03, 3).astype(np.float32) * np.float32(np.exp(rng.normal(0, 0.08)))
    light = light * (cast * (1 - haze)) + haze * np.asarray((150, 140, 120), dtype=np.float32)
    if rng.random() < 0.15:
        at = rng.uniform(-0.45, 0.45, 2)
        flare = np.exp(-((g.screen_x - at[0]) ** 2 + (g.screen_y - at[1]) ** 2) / np.float32(0.10**2))
        light += (rng.uniform(10, 35) * flare)[..., None]
    image = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
    median, spread = camera.sharpness
    radius = float(median * np.exp(rng.normal(0, spread)) * camera.height / 224)
    image = image.filter(ImageFilter.GaussianBlur(radius))
    pixels = np.asarray(image, dtype=np.float32)
    pixels = pixels + (rng.standard_normal((g.height, g.width), dtype=np.float32) * camera.noise)[..., None]
    frame = np.clip((1 - g.radius) * (g.diameter / 2) + 0.5, 0, 1)
    if camera.notch:
        notch = (np.abs(g.screen_y - 0.02) < 0.018) & (g.screen_x > 0.485)
        frame = np.maximum(frame, notch * np.float32(0.9) * (g.radius < 1.06))
    pixels = pixels * frame[..., None] + 3 * (1 - frame[..., None])
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
