"""Is every image file readable? Asked once per content, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..remembered import Remembered
from ..store import Store
from ..threads import in_threads

Progress = Callable[[int, int, str], None]
_CHECK_VERSION = 3


def check_image(path: Path) -> str:
    """What is wrong with an image file, or an empty string. Reads the whole file."""
    from PIL import Image, UnidentifiedImageError

    from ..images.decoding import open_image, size_fault  # with numpy, which listing datasets can do without

    try:
        if path.stat().st_size == 0:
            return "is empty (0 bytes)"
        with open_image(path) as image:
            width, height = image.size
            if fault := size_fault(height, width):  # what decoding would refuse later
                return fault
            if image.format == "PNG":
                image.verify()  # checksums of all chunks, without inflating them
            else:
                if image.format == "JPEG":
                    image.draft("RGB", (width // 8 or 1, height // 8 or 1))  # reads all, transforms little
                image.load()
    except UnidentifiedImageError:
        return "is not an image that can be opened (JPEG, PNG, TIFF, BMP or WebP)"
    except Image.DecompressionBombError:
        return "has an absurd size: it claims more pixels than are accepted"
    except Exception as error:  # Pillow's decoders raise many kinds; each means that this file is unusable
        text = str(error).removesuffix(".") or type(error).__name__
        return f"cannot be read: {text}"
    return ""


def check_images(
    paths: Sequence[Path], sha256: Sequence[str], store: Store, progress: Progress | None = None
) -> dict[Path, str]:
    """Faults of image files, by path. Good files are remembered by content and not read again."""
    good = Remembered(store.root / "checked_images.json", _CHECK_VERSION, _is_good)
    todo = [(p, h) for p, h in zip(paths, sha256, strict=True) if h not in good]
    faults: dict[Path, str] = {}
    try:
        for done, fault in enumerate(in_threads(check_image, (p for p, _ in todo)), start=1):
            path, digest = todo[done - 1]
            if fault:
                faults[path] = fault
            else:
                good.remember(digest, True)
            if progress:
                progress(done, len(todo), "checking images")
    finally:
        good.save()
    return faults


def _is_good(key: str, value: Any) -> bool:
    return value is True
