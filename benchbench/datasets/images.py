"""Is every image file readable? Asked once per content, before anything is computed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..claims import guarded
from ..store import Store, atomic_write

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]
_CHECK_VERSION = 2
_SAVE_EVERY = 2000


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
    memory = _Memory(store.root / "checked_images.json")
    todo = [(p, h) for p, h in zip(paths, sha256, strict=True) if h not in memory.good]
    faults: dict[Path, str] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, ((path, digest), fault) in enumerate(
            zip(todo, pool.map(lambda t: check_image(t[0]), todo), strict=True), 1
        ):
            if fault:
                faults[path] = fault
            else:
                memory.good.add(digest)
            if done % _SAVE_EVERY == 0:
                memory.save()
            if progress:
                progress(done, len(todo), "checking images")
    if todo:
        memory.save()
    return faults


class _Memory:
    """sha256 of the files that were found readable; one file per store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.good: set[str] = set(_read(path))

    def save(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with guarded(self.path):
                self.good |= set(_read(self.path))
                content: dict[str, Any] = {"version": _CHECK_VERSION, "good": sorted(self.good)}
                atomic_write(self.path, json.dumps(content, indent=0).encode())
        except OSError as error:  # the memory only saves time
            log.warning("cannot remember checked images in %s: %s", self.path, error.strerror or error)


def _read(path: Path) -> Iterable[str]:
    try:
        content = json.loads(path.read_bytes())
        good = content["good"] if content["version"] == _CHECK_VERSION else ()
        return {digest for digest in good if isinstance(digest, str)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
