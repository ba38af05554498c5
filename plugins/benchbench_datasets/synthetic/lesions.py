"""Lesions drawn on masks: dark red, yellow, white, pale; positions in FOV diameters with the fovea at the origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from .anatomy import Findings

Place = Callable[[np.ndarray], np.ndarray]
MICROANEURYSM, HAEMORRHAGE, EXUDATE, COTTON_WOOL = 0.0055, 0.0125, 0.0055, 0.026
DISC_DIAMETER = 0.15


@dataclass(frozen=True)
class Masks:
    """One drawing surface per appearance."""

    red: ImageDraw.ImageDraw
    yellow: ImageDraw.ImageDraw
    white: ImageDraw.ImageDraw
    vessel: ImageDraw.ImageDraw


def draw_lesions(
    f: Findings, masks: Masks, place: Place, scale: float, disc: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw everything of `f` that lies in the retina; `scale` is canvas pixels per FOV diameter."""
    if f.microaneurysms:
        at = _scatter(f.microaneurysms, disc, rng)
        _dots(masks.red, place(at), scale * MICROANEURYSM * rng.lognormal(0, 0.25, len(at)), 235)
    if f.haemorrhages:
        _haemorrhages(f.haemorrhages, masks, place, scale, disc, rng)
    if f.exudates:
        at = _exudates(f.exudates, f.exudates_at_macula, disc, rng)
        _dots(masks.yellow, place(at), scale * EXUDATE * rng.lognormal(0.0, 0.45, len(at)), 245)
    if f.drusen:
        at = rng.normal(0, (0.07, 0.16)[int(rng.integers(2))], (f.drusen, 2))
        _dots(masks.yellow, place(at), scale * 0.0065 * rng.lognormal(0, 0.4, len(at)), 190)
    if f.specks:
        at = _scatter(f.specks, disc, rng, inner=0.08)
        _dots(masks.red, place(at), scale * 0.009 * rng.lognormal(0, 0.45, len(at)), 190)
    if f.cotton_wool:
        at = _scatter(f.cotton_wool, disc, rng, inner=0.12, outer=0.34)
        for centre in at:
            puff = centre + rng.normal(0, 0.007, (5, 2))
            _dots(masks.white, place(puff), scale * COTTON_WOOL * rng.uniform(0.5, 0.9, 5), 200)
    if f.laser:
        at = _scatter(f.laser, disc, rng, inner=0.30, outer=0.47)
        _dots(masks.white, place(at), scale * rng.uniform(0.014, 0.022, len(at)), 120)
        _dots(
            masks.red,
            place(at + rng.normal(0, 0.002, at.shape)),
            scale * rng.uniform(0.004, 0.01, len(at)),
            190,
        )
    if f.preretinal:
        _boat(masks, place, scale, rng)
    if f.new_vessels:
        _new_vessels(masks, place, scale, disc, rng)
    if f.fibrosis:
        start = disc + rng.normal(0, 0.03, 2)
        line = start + np.cumsum(rng.normal((-0.012, 0.0), 0.012, (9, 2)), axis=0)
        masks.white.line(
            place(line).ravel().tolist(), fill=150, width=max(2, round(0.02 * scale)), joint="curve"
        )


def _scatter(
    n: int, disc: np.ndarray, rng: np.random.Generator, inner: float = 0.05, outer: float = 0.44
) -> np.ndarray:
    """(n, 2) points of the fundus, denser at the posterior pole, outside the disc."""
    radius = inner + (outer - inner) * rng.beta(1.4, 1.5, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    at = np.stack([radius * np.cos(angle) + 0.06, radius * np.sin(angle)], axis=1)
    on_disc = np.linalg.norm(at - disc, axis=1) < 0.09
    at[on_disc, 0] -= 0.22
    return at


def _dots(draw: ImageDraw.ImageDraw, centres: np.ndarray, diameters: np.ndarray, fill: int) -> None:
    radii = np.maximum(diameters / 2, 0.8)[:, None]
    for box in np.hstack([centres - radii, centres + radii]).tolist():
        draw.ellipse(box, fill=fill)


def _haemorrhages(
    n: int, masks: Masks, place: Place, scale: float, disc: np.ndarray, rng: np.random.Generator
) -> None:
    """Blots, and flames that follow the nerve fibres away from the disc."""
    at = _scatter(n, disc, rng, inner=0.07)
    away = at - disc
    direction = np.arctan2(away[:, 1], away[:, 0])
    flame = rng.random(n) < 0.35
    corners = 9
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    size = HAEMORRHAGE / 2 * rng.lognormal(0.0, 0.45, n)
    radius = size[:, None] * rng.uniform(0.65, 1.3, (n, corners))
    x, y = radius * np.cos(angle) * np.where(flame, 2.1, 1.0)[:, None], radius * np.sin(angle)
    c, s = np.cos(direction)[:, None], np.sin(direction)[:, None]
    outline = at[:, None, :] + np.stack([c * x - s * y, s * x + c * y], axis=2)
    for polygon in place(outline).reshape(n, -1).tolist():
        masks.red.polygon(polygon, fill=245)


def _exudates(n: int, at_macula: bool, disc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) points in clusters and rings; within one disc diameter of the fovea if and only if `at_macula`."""
    clusters = max(1, round(n / 22))
    radius = rng.uniform(0.20, 0.36, clusters)
    if at_macula:
        radius[: max(1, clusters // 2)] = rng.uniform(0.04, 0.11, max(1, clusters // 2))
    angle = rng.uniform(0, 2 * np.pi, clusters)
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    of = rng.integers(0, clusters, n)
    ring = (np.arange(clusters) % 3 == 0)[of]
    turn = rng.uniform(0, 2 * np.pi, n)
    spread = np.where(ring, 0.030 + 0.004 * rng.standard_normal(n), 0.020 * np.abs(rng.standard_normal(n)))
    at = centre[of] + np.stack([spread * np.cos(turn), spread * np.sin(turn)], axis=1)
    distance = np.maximum(np.linalg.norm(at, axis=1, keepdims=True), 1e-6)
    if not at_macula:
        at = at * np.maximum(1.0, (DISC_DIAMETER + 0.015) / distance)
    on_disc = np.linalg.norm(at - disc, axis=1) < 0.08
    at[on_disc, 0] -= 0.18
    return at


def _boat(masks: Masks, place: Place, scale: float, rng: np.random.Generator) -> None:
    """A pre-retinal haemorrhage with its level top."""
    centre = np.array([rng.uniform(-0.2, 0.15), rng.choice([-1, 1]) * rng.uniform(0.16, 0.26)])
    angle = np.linspace(0, np.pi, 12)
    half = rng.uniform(0.035, 0.065)
    outline = centre + np.stack([half * np.cos(angle), 0.75 * half * np.sin(angle)], axis=1)
    masks.red.polygon(place(outline).ravel().tolist(), fill=250)


def _new_vessels(
    masks: Masks, place: Place, scale: float, disc: np.ndarray, rng: np.random.Generator
) -> None:
    """A tangle of fine loops on the disc and on one place elsewhere."""
    elsewhere = np.array([rng.uniform(-0.1, 0.2), rng.choice([-1, 1]) * rng.uniform(0.2, 0.3)])
    for centre, number in ((disc, 16), (elsewhere, 10)):
        start = centre + rng.normal(0, 0.03, (number, 1, 2))
        heading = rng.uniform(0, 2 * np.pi, (number, 1)) + np.cumsum(
            rng.normal(0.35, 0.5, (number, 12)), axis=1
        )
        line = start + np.cumsum(0.009 * np.stack([np.cos(heading), np.sin(heading)], axis=2), axis=1)
        for polyline in place(line).reshape(number, -1).tolist():
            masks.vessel.line(polyline, fill=210, width=max(1, round(0.0042 * scale)))
