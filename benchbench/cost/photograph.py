"""A synthetic photograph for timing the way from file to embedding: as large and as hard to decode as a real one.

Its pixels are a bright disc with vessels-like streaks and sensor noise; at 4288 x 2848 the JPEG has about 0.4 MB,
as IDRiD's have.
"""

from __future__ import annotations

import functools
import io

import numpy as np


@functools.cache
def photograph_jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """JPEG bytes (4:2:0, quality 85) of a synthetic photograph."""
    from PIL import Image, ImageDraw, ImageFilter

    rng = np.random.default_rng(seed)
    radius = 0.47 * min(width, height)
    centre = (width / 2, height / 2)
    box = [c - radius for c in centre] + [c + radius for c in centre]
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    draw.ellipse(box, fill=(190, 90, 40))
    disc = 0.12 * radius
    draw.ellipse([centre[0] + 0.4 * radius, centre[1], centre[0] + 0.4 * radius + 2 * disc, centre[1] + 2 * disc],
                 fill=(250, 210, 140))  # fmt: skip
    for _ in range(60):
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, 40))
        start = np.array([centre[0] + 0.5 * radius, centre[1] + disc])
        steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius / 40
        points = [tuple(p) for p in start + np.cumsum(steps, axis=0)]
        draw.line(points, fill=(120, 30, 20), width=max(1, int(rng.integers(2, 14) * radius / 1400)))
    image = image.filter(ImageFilter.GaussianBlur(2))
    pixels = np.asarray(image, dtype=np.int16)
    noise = rng.normal(0, 1.6, (height, width, 1)).astype(np.int16)
    lit = pixels.max(axis=2, keepdims=True) > 20
    noisy = Image.fromarray(np.clip(pixels + noise * lit, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    noisy.save(buffer, "JPEG", quality=85, subsampling="4:2:0")
    return buffer.getvalue()
