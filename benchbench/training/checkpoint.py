"""Checkpoints: written whole or not at all, read only where they are sound and belong to the same training."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import torch

from ..store import atomic_write, sha256_of

log = logging.getLogger("benchbench")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary file, flush it to the disk, and rename: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        # Before the rename, and beside earlier ones: whichever file a kill leaves, its checksum is known.
        checksums = [*_checksums(path)[-9:], sha256_of(temporary)]
        atomic_write(_record(path), "\n".join(checksums).encode())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The saved state, or None where there is none of this training; a damaged one is removed and said."""
    for stale in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            stale.unlink()
    if not path.is_file():
        return None
    try:
        if sha256_of(path) not in _checksums(path):
            raise ValueError("it does not have the checksum it was written with")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):  # a disk or a memory in trouble says nothing about the file: it is kept
        raise
    except Exception as error:  # torch names no error for a file that it cannot read
        log.warning("the checkpoint %s is removed and the training starts anew: %s", path, error)
        path.unlink(missing_ok=True)
        return None
    return state if state.get("fingerprint") == fingerprint else None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checksums(path: Path) -> list[str]:
    """Checksums of the last files that were written under this name."""
    try:
        return _record(path).read_text().split()
    except (OSError, ValueError):
        return []
