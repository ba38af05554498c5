"""Pictures to decode and prepare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter


@pytest.fixture(scope="session")
def photo() -> Callable[..., Image.Image]:
    """photo(width, height, mode): a picture with smooth areas, edges and noise."""
    return make_photo


def make_photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 7 + height)
    pixels = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").resize((width, height), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.SHARPEN).convert(mode)
