"""The vessel tree of one eye: two arcades and two nasal trunks, each as artery and vein, with branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

POINTS = 16


@dataclass(frozen=True)
class Tree:
    """Polylines in FOV diameters, nasal to the right, up negative, fovea at the origin."""

    points: np.ndarray
    """(k, POINTS, 2)"""
    widths: np.ndarray
    """(k,) width at the start; it halves towards the end."""
    vein: np.ndarray
    """(k,) bool"""


def grow_tree(
    disc: np.ndarray, tortuosity: float, width: float, beading: float, rng: np.random.Generator
) -> Tree:
    """A random tree that starts at the disc centre (2,)."""
    trunks, trunk_widths, veins = _trunks(disc, tortuosity, width, rng)
    first = _branches(trunks, trunk_widths, veins, 5, 0.20, tortuosity, rng)
    second = _branches(*first, 2, 0.10, tortuosity, rng)
    parts = [(trunks, trunk_widths, veins), first, second]
    points = np.concatenate([p[0] for p in parts])
    vein = np.concatenate([p[2] for p in parts])
    if beading:
        bend = np.sin(np.linspace(0, 9 * np.pi, POINTS))[None, :, None] * 0.006 * beading
        points = points + bend * vein[:, None, None]
    return Tree(points, np.concatenate([p[1] for p in parts]), vein)


def _trunks(
    disc: np.ndarray, tortuosity: float, width: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = np.linspace(0, 1, POINTS)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    lines, widths, veins = [], [], []
    for side in (-1, 1):
        for vein in (False, True):
            apart = 0.022 * (1 if vein else -1) + rng.normal(0, 0.008)
            lift = 1 + rng.normal(0, 0.10)
            temporal = np.array(
                [
                    disc + np.array([0.01 * (1 if vein else -1), 0.012 * side]),
                    disc + np.array([-0.03 + apart, side * 0.27 * lift]),
                    np.array([-0.02 + apart, side * (0.40 * lift + apart)]),
                    np.array([-0.50, side * (0.20 + rng.normal(0, 0.06))]),
                ]
            )
            nasal = np.array(
                [
                    disc + np.array([0.0, 0.01 * side]),
                    disc + np.array([0.04 + apart, side * 0.10]),
                    disc + np.array([0.12, side * (0.16 + apart)]),
                    disc + np.array([0.34, side * (0.26 + rng.normal(0, 0.06))]),
                ]
            )
            for control, scale in ((temporal, 1.0), (nasal, 0.72)):
                lines.append(weights @ control)
                widths.append((0.0135 if vein else 0.0098) * width * scale)
                veins.append(vein)
    points = np.array(lines)
    wander = np.cumsum(rng.normal(0, 0.0022 * tortuosity, points.shape), axis=1)
    return (
        points + wander * np.linspace(0, 1, POINTS)[None, :, None] ** 0.5,
        np.array(widths),
        np.array(veins),
    )


def _branches(
    parents: np.ndarray,
    widths: np.ndarray,
    veins: np.ndarray,
    each: int,
    length: float,
    tortuosity: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`each` branches per parent, all at once: headings wander, the fovea repels."""
    owner = np.repeat(np.arange(len(parents)), each)
    at = rng.integers(3, POINTS - 2, len(owner))
    start = parents[owner, at]
    tangent = parents[owner, at + 1] - parents[owner, at - 1]
    heading = np.arctan2(tangent[:, 1], tangent[:, 0])
    turn = rng.uniform(0.45, 1.05, len(owner)) * np.where(np.arange(len(owner)) % 2, 1, -1)
    reach = length * rng.uniform(0.5, 1.3, len(owner))
    drift = np.cumsum(rng.normal(0, 0.11 * tortuosity, (len(owner), POINTS)), axis=1)
    bend = np.linspace(0, -0.5, POINTS)[None, :] * turn[:, None]
    angles = (heading + turn)[:, None] + drift + bend
    step = (reach / POINTS)[:, None]
    points = start[:, None, :] + np.stack(
        [np.cumsum(step * np.cos(angles), 1), np.cumsum(step * np.sin(angles), 1)], 2
    )
    distance = np.maximum(np.linalg.norm(points, axis=2, keepdims=True), 1e-6)
    points = points * np.maximum(1.0, 0.07 / distance)  # the foveal avascular zone
    return points, widths[owner] * rng.uniform(0.40, 0.62, len(owner)), veins[owner]


def draw_tree(
    tree: Tree, place: object, scale: float, arteries: ImageDraw.ImageDraw, veins: ImageDraw.ImageDraw
) -> None:
    """Draw the tree; `place` maps points (.., 2) to canvas pixels, `scale` is pixels per FOV diameter."""
    pixels = place(tree.points)  # type: ignore[operator]
    half = POINTS // 2
    flat = pixels.reshape(len(pixels), -1).tolist()
    for line, width, vein in zip(flat, (tree.widths * scale).tolist(), tree.vein.tolist(), strict=True):
        draw = veins if vein else arteries
        thick = max(1, round(width))
        if thick < 3:
            draw.line(line, fill=235, width=thick)
            continue
        draw.line(line[: 2 * half + 2], fill=255, width=thick, joint="curve" if thick > 6 else None)
        draw.line(line[2 * half :], fill=215, width=round(0.66 * width))
