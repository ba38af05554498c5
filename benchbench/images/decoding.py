"""From image files to RGB pixels, equal to what Pillow's ``convert("RGB")`` gives, only faster.

JPEG goes through libjpeg-turbo (simplejpeg), 8-bit PNG through libvips where pyvips is installed; both give
Pillow's pixels. Everything else, and every file that these two find odd, goes to Pillow, which therefore has the
last word on what is readable. EXIF orientation is not applied, as in the encoders' official code.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..threads import in_threads

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 150_000_000
"""Larger images are refused: no fundus camera or OCT makes them, but a decompression bomb does."""
MIN_SIDE = 8
MAX_ASPECT = 64
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_READABLE = "JPEG, PNG, TIFF, BMP and WebP files are read"
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""What Pillow may take a file for, whatever its name says; for some other formats it would start programs."""
# Sizes are checked here, with an error of its own; Pillow's warning at half of its own limit tells a user nothing.
warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit")


def decode(path: str | Path) -> np.ndarray:
    """RGB pixels of an image file: (H, W, 3) uint8, writable.

    Raises:
        DataError: the file is missing, unreadable, truncated, not an image, or absurd in size; it names the file.
    """
    return decode_bytes(read_file(path), path)


def decode_bytes(data: bytes, path: str | Path) -> np.ndarray:
    """As `decode`, from the bytes of the file; `path` is named in errors."""
    try:
        pixels = _decode_fast_codec(data, path)
        return _decode_pillow(data, path) if pixels is None else pixels
    except MemoryError as error:
        raise DataError("There is not enough memory to decode an image.", where=str(path)) from error


def decode_scaled(data: bytes, path: str | Path, height: int, width: int) -> np.ndarray:
    """Pixels at the smallest of 1, 1/2, 1/4, 1/8 of full size that is still (height, width) or more.

    Scaling happens inside the JPEG decoder, before most of the work is done. Files that are not JPEG come at
    full size.
    """
    header = _jpeg_header(data)
    if header is None:
        return decode_bytes(data, path)
    import simplejpeg

    full_height, full_width = header
    check_size(full_height, full_width, path)
    for divisor in (8, 4, 2):
        h, w = -(-full_height // divisor), -(-full_width // divisor)
        if h >= height and w >= width:
            try:
                return simplejpeg.decode_jpeg(data, "RGB", min_height=h, min_width=w)
            except ValueError:
                break  # let the full decoder say what is wrong
    return decode_bytes(data, path)


def read_file(path: str | Path) -> bytes:
    """The bytes of a file; every failure is a `DataError` that names it."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"An image cannot be read: {error.strerror or error}.",
            where=str(path),
            fix="check the file and its permissions, or obtain it again",
        ) from error
    if not data:
        raise DataError("An image file is empty.", where=str(path), fix="obtain the file again")
    return data


def open_image(source: str | Path | io.BytesIO) -> Image.Image:
    """A file opened by Pillow as one of `FORMATS`; raises what Pillow raises."""
    from PIL import Image

    Image.init()  # otherwise Pillow does not know TIFF and WebP by name before it has met one
    return Image.open(source, formats=FORMATS)


def image_size(path: str | Path, data: bytes | None = None) -> tuple[int, int]:
    """(height, width) from the header of an image file (or its bytes); raises `DataError` as `decode` does."""
    try:
        with open_image(path if data is None else io.BytesIO(data)) as image:
            width, height = image.size
    except Exception as error:
        raise _unreadable(path, error) from error
    check_size(height, width, path)
    return height, width


def find_unreadable(paths: Iterable[Path]) -> tuple[tuple[Path, str], ...]:
    """The files that cannot be decoded, with the reason, without decoding the healthy ones in full.

    A file passes when its header is sound and its last bytes are the end mark of its format; files that do not
    show one (damaged, or a format without a mark) are decoded in full to decide. Damage in the middle of a file
    shows only when the image is decoded.
    """
    checked = in_threads(_fault, paths := list(paths))
    return tuple((path, fault) for path, fault in zip(paths, checked, strict=True) if fault)


def _fault(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            head = stream.read(8)
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 4096))
            tail = stream.read()
        ends_well = (head.startswith(_JPEG) and b"\xff\xd9" in tail) or (head == _PNG and b"IEND" in tail)
        if ends_well:
            image_size(path)
        else:
            decode(path)
    except DataError as error:
        return error.what
    except OSError as error:
        return f"An image cannot be read: {error.strerror or error}."
    return ""


def size_fault(height: int, width: int) -> str:
    """Why an image of this size cannot be a photograph or scan (bombs, slivers and specks), or an empty string."""
    if height * width > MAX_PIXELS:
        problem = f"more than the {MAX_PIXELS / 1e6:.0f} million pixels that are accepted"
    elif min(height, width) < MIN_SIDE:
        problem = f"a side below {MIN_SIDE} pixels"
    elif max(height, width) > MAX_ASPECT * min(height, width):
        problem = f"one side more than {MAX_ASPECT} times the other"
    else:
        return ""
    return f"has an absurd size: {width} x {height} pixels, {problem}"


def check_size(height: int, width: int, path: str | Path) -> None:
    """Refuse images of an absurd size, see `size_fault`."""
    if fault := size_fault(height, width):
        raise DataError(
            f"An image {fault}.",
            where=str(path),
            fix="check the file; scale it down or remove it from the dataset",
        )


def _unreadable(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        what = "A file is not an image that can be read, or its header is damaged."
    elif isinstance(error, Image.DecompressionBombError):
        what = "An image has an absurd size (decompression bomb)."
    elif isinstance(error, OSError) and error.strerror:
        what = f"An image cannot be read: {error.strerror}."
    else:
        what = f"An image is damaged: {error}."
    return DataError(what, where=str(path), fix=f"obtain the file again ({_READABLE})")


def _decode_fast_codec(data: bytes, path: str | Path) -> np.ndarray | None:
    """Pixels from simplejpeg or libvips, or None where Pillow must decide."""
    if header := _jpeg_header(data):
        import simplejpeg

        check_size(*header, path)
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError:
            return None
    if _is_plain_png(data) and (vips := _vips()):
        height, width = int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
        check_size(height, width, path)
        try:
            image = vips.Image.new_from_buffer(data, "", access="sequential", fail_on="truncated")
            bands = np.asarray(image.numpy())
            return rgb_of_bands(bands) if bands.dtype == np.uint8 else None
        except vips.Error:
            return None
    return None


def _decode_pillow(data: bytes, path: str | Path) -> np.ndarray:
    try:
        with open_image(io.BytesIO(data)) as image:
            check_size(image.height, image.width, path)
            return np.array(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise many kinds; each means that this file is unusable
        raise _unreadable(path, error) from error


def _jpeg_header(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG in YCbCr or grey; None for other files and colour spaces."""
    if not data.startswith(_JPEG):
        return None
    try:
        import simplejpeg

        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
    except (ImportError, ValueError):
        return None
    return (height, width) if colour in ("YCbCr", "Gray", "GRAY") else None


def _is_plain_png(data: bytes) -> bool:
    """8 bits per sample; Pillow has rules of its own for 1, 2, 4 and 16."""
    return data.startswith(_PNG) and len(data) > 33 and data[12:16] == b"IHDR" and data[24] == 8


def rgb_of_bands(pixels: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 1 to 4) uint8 as (H, W, 3): grey is repeated, transparency left out."""
    if pixels.ndim == 2 or pixels.shape[2] <= 2:  # grey, or grey and alpha
        grey = pixels if pixels.ndim == 2 else pixels[:, :, 0]
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])


@functools.cache
def _vips() -> Any:
    """The pyvips module, or None where it is not installed or cannot start."""
    try:
        os.environ.setdefault("VIPS_CONCURRENCY", "1")  # the loaders run one image per thread themselves
        import logging

        import pyvips

        logging.getLogger("pyvips").setLevel(logging.WARNING)
        pyvips.cache_set_max(0)  # every image is read once
    except Exception:  # a missing or mismatching libvips raises OSError, cffi's own errors, ...
        return None
    return pyvips


def codecs() -> dict[str, str]:
    """Which decoder and version reads which format here, for reports."""
    import PIL

    found = {"other": f"Pillow {PIL.__version__}"}
    try:
        from importlib.metadata import version

        found["jpeg"] = f"simplejpeg {version('simplejpeg')}"
    except Exception:
        found["jpeg"] = found["other"]
    vips = _vips()
    found["png"] = (
        f"libvips {vips.version(0)}.{vips.version(1)}.{vips.version(2)}" if vips else found["other"]
    )
    return found
