"""From decoded pixels to the uint8 input of an encoder: crop, resize, centre crop.

The geometry is torchvision's (``Resize`` then ``CenterCrop``), rounding included. Large images are resized by
torch's antialiased uint8 kernel at a tenth of Pillow's time, where a few values in a thousand differ from Pillow's
by one grey level (docs/reference/performance.md says when it is more). Small images, where speed does not matter,
and all images of recipes with ``decode="reference"``, are resized by Pillow itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..api import Preprocess
from ..errors import DataError
from .decoding import check_size, decode_bytes, decode_scaled, image_size, read_file, rgb_of_bands

if TYPE_CHECKING:
    from PIL import Image

    Source = str | Path | np.ndarray | Image.Image

PILLOW_BELOW = 2.0
"""Images less than this many times the target are resized by Pillow where Pillow is the reference; torch also
has a Lanczos kernel only since 2.11."""


def prepare(source: Source, preprocess: Preprocess) -> np.ndarray:
    """One image as the encoder's uint8 input, (size, size, 3).

    Args:
        source: File, Pillow image, or uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); transparency is
            ignored, as Pillow's ``convert("RGB")`` does.
        preprocess: The recipe; normalisation is left to `to_input`.

    Raises:
        DataError: as `decode`.
    """
    return prepare_many(source, [preprocess])[0]


def prepare_many(source: Source, preprocesses: Sequence[Preprocess]) -> list[np.ndarray]:
    """One image prepared for several encoders; it is read and decoded once, equal recipes are computed once."""
    pixels = _Pixels(source)
    done: dict[str, np.ndarray] = {}
    for p in preprocesses:
        key = repr(p.pixels_key())
        if key not in done:
            done[key] = fit(pixels.get(p), p)
    return [done[repr(p.pixels_key())] for p in preprocesses]


class _Pixels:
    """Decoded, frame-cropped pixels of one image, remembered for the encoders that follow."""

    def __init__(self, source: Source) -> None:
        self._path = source if isinstance(source, str | Path) else None
        self._data = read_file(self._path) if self._path is not None else b""
        self._known: dict[object, np.ndarray] = {}
        if self._path is None:
            self._known["full"] = as_rgb(source)

    def get(self, p: Preprocess) -> np.ndarray:
        # The frame has to be found at full size, so `fast` has nothing to gain where there is a crop.
        if p.decode == "fast" and p.crop == "none" and self._path is not None:
            return self._scaled(p)
        return self._cropped(p.crop)

    def _cropped(self, crop: str) -> np.ndarray:
        if "full" not in self._known:
            assert self._path is not None
            self._known["full"] = decode_bytes(self._data, self._path)
        if crop == "none":
            return self._known["full"]
        if crop not in self._known:
            from .crop import crop_frame

            self._known[crop] = crop_frame(self._known["full"], crop)
        return self._known[crop]

    def _scaled(self, p: Preprocess) -> np.ndarray:
        """Twice the target or more, by this recipe alone: pixels must not depend on the encoders beside it."""
        assert self._path is not None
        height, width = resized_size(*image_size(self._path, self._data), p)
        scaled = decode_scaled(self._data, self._path, 2 * height, 2 * width)
        return self._known.setdefault(("scaled", scaled.shape), scaled)


def as_rgb(image: Any) -> np.ndarray:
    """A Pillow image or a uint8 array as (H, W, 3) uint8, by the rules for files: the same modes and sizes."""
    if hasattr(image, "convert"):
        check_size(image.height, image.width, "a Pillow image")
        return np.array(image.convert("RGB"))
    pixels = np.asarray(image)
    channels = {2: 1, 3: pixels.shape[-1]}.get(pixels.ndim) if pixels.ndim else None
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise DataError(
            f"An image array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), not {pixels.dtype} {pixels.shape}.",
            fix="scale it to 0..255 and convert it to uint8 RGB",
        )
    check_size(pixels.shape[0], pixels.shape[1], "an array")
    return rgb_of_bands(pixels)


def resized_size(height: int, width: int, p: Preprocess) -> tuple[int, int]:
    """(height, width) after the resize step, before centre crop or padding; torchvision's rounding."""
    if p.resize == "squash":
        return p.size, p.size
    if p.resize == "short_side":
        short = p.resize_to or p.size
        if height <= width:
            return short, int(short * width / height)
        return int(short * height / width), short
    scale = max(height, width) / p.size  # fit_pad: FLAIR's code divides and cuts off, and so does this
    return max(1, int(height / scale)), max(1, int(width / scale))


def fit(pixels: np.ndarray, p: Preprocess) -> np.ndarray:
    """Resize (H, W, 3) uint8 and bring it to (size, size, 3) by the recipe."""
    height, width = resized_size(pixels.shape[0], pixels.shape[1], p)
    small = min(pixels.shape[0] / height, pixels.shape[1] / width) < PILLOW_BELOW
    if p.interpolation == "lanczos" or (p.resizer == "pil" and (small or p.decode == "reference")):
        out = resize_pillow(pixels, height, width, p.interpolation)
    else:
        out = resize(pixels, height, width, p.interpolation)
    return np.ascontiguousarray(_pad_corner(out, p.size) if p.resize == "fit_pad" else _centre(out, p.size))


def resize(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Antialiased resize of (H, W, 3) uint8 by torch, bicubic or bilinear."""
    if pixels.shape[:2] == (height, width):
        return pixels
    import torch

    pixels = np.ascontiguousarray(pixels)
    if not pixels.flags.writeable:  # torch wants a promise that it may write, though it only reads
        pixels = pixels.copy()
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    # With a batch of one torch cannot tell that the channels come last, and repacks, unless the stride says so.
    image = image.as_strided(image.shape, (image.numel(), *image.stride()[1:]))
    with torch.inference_mode():
        out = torch.nn.functional.interpolate(
            image, size=(height, width), mode=interpolation, antialias=True, align_corners=False
        )
    return out[0].permute(1, 2, 0).numpy()


def resize_pillow(pixels: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Resize of (H, W, 3) uint8 by Pillow."""
    from PIL import Image

    kernel = Image.Resampling[interpolation.upper()]
    return np.asarray(Image.fromarray(pixels).resize((width, height), kernel))


def _centre(pixels: np.ndarray, size: int) -> np.ndarray:
    """torchvision's CenterCrop, zeros around images that are smaller."""
    height, width = pixels.shape[:2]
    if height < size or width < size:
        rows, columns = max(0, size - height), max(0, size - width)
        pad = ((rows // 2, (rows + 1) // 2), (columns // 2, (columns + 1) // 2), (0, 0))
        pixels = np.pad(pixels, pad)
        height, width = pixels.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return pixels[top : top + size, left : left + size]


def _pad_corner(pixels: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((size, size, 3), np.uint8)
    out[: pixels.shape[0], : pixels.shape[1]] = pixels
    return out
