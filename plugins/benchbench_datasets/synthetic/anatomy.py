"""Who is photographed, with which camera, and what is to be seen.

Lengths are in diameters of the field of view (FOV). The palette of each camera follows colours measured on real
sets, so that models trained on one synthetic set meet a real domain shift on another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """How the photographs of one dataset look."""

    width: int
    height: int
    fov: float
    """FOV diameter in image widths; more than 1 is a crop."""
    colour: RGB
    """Mean red, green, blue (0 to 255) inside the FOV."""
    colour_sd: RGB
    centre: str = "macula"
    """What lies in the middle: ``macula``, ``between`` (macula and disc) or ``disc``."""
    notch: bool = False
    sharpness: tuple[float, float] = (0.35, 0.35)
    """Median blur in pixels at 224 px, and its spread on the log scale."""
    haze: float = 0.06
    noise: float = 2.5
    framing: float = 0.012
    """Spread of the position of the FOV, in widths."""


@dataclass(frozen=True)
class Person:
    """What both eyes of a patient share."""

    colour: RGB
    tortuosity: float
    vessel_width: float
    disc: float
    """Disc diameter."""
    disc_x: float
    """Distance of the disc centre from the fovea, towards the nose."""
    disc_y: float
    choroid: float
    cup_shift: float
    """Difference of this person's cup-to-disc ratio from what the diagnosis suggests."""


@dataclass(frozen=True)
class Findings:
    """What one photograph shows."""

    microaneurysms: int = 0
    haemorrhages: int = 0
    exudates: int = 0
    exudates_at_macula: bool = False
    cotton_wool: int = 0
    beading: float = 0.0
    new_vessels: bool = False
    preretinal: bool = False
    fibrosis: bool = False
    laser: int = 0
    drusen: int = 0
    specks: int = 0
    """Pigment and dust that looks like blood: tells nothing about disease."""
    visibility: float = 1.0
    """Contrast of the lesions: 1 crisp, near 0 hardly seen."""
    cup_to_disc: float = 0.40
    rim_notch: float = 0.0
    """Thinning of the lower (positive) or upper (negative) rim."""
    atrophy: float = 0.0
    """Width of a pale crescent beside the disc, in disc diameters."""
    nerve_fibre_defect: bool = False
    cataract: float = 0.0
    """0 clear, 1 dense."""
    geographic_atrophy: float = 0.0
    """Diameter of a pale patch at the macula, in FOV diameters."""


def draw_person(camera: Camera, rng: np.random.Generator) -> Person:
    """A patient as this camera sees them."""
    common, own = rng.standard_normal(), rng.standard_normal(3)
    # Exposure moves the channels together; about three quarters of the variance between photographs is common.
    shift = np.asarray(camera.colour_sd) * (0.86 * common + 0.50 * own)
    colour = np.clip(
        np.asarray(camera.colour) + np.clip(shift, -2.2 * np.asarray(camera.colour_sd), None), 14, 235
    )
    red, green, blue = (float(c) for c in colour)
    green = min(max(green, 0.38 * red), 0.72 * red)
    return Person(
        colour=(red, green, min(blue, 0.85 * green)),
        tortuosity=float(np.exp(rng.normal(0.0, 0.35))),
        vessel_width=float(np.exp(rng.normal(0.0, 0.12))),
        disc=float(np.clip(rng.normal(0.151, 0.012), 0.12, 0.19)),
        disc_x=float(rng.normal(0.379, 0.020)),
        disc_y=float(-0.042 + rng.normal(0.0, 0.024)),
        choroid=float(rng.uniform(0.4, 1.5)),
        cup_shift=float(rng.normal(0.0, 0.05)),
    )
