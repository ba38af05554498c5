"""Every random choice of a training is a function of (seed of its axis, position), so that nothing random needs saving.

An interrupted training resumes with the same data order, augmentation and drop-out because these depend on the
epoch, the image and the step, not on how often a generator was asked before.
"""

from __future__ import annotations

import hashlib
import random


def derive(*parts: int | str) -> int:
    """A 63-bit seed from an axis name, a seed and a position; equal on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_everything(seed: int) -> None:
    """Set Python's, numpy's and torch's global generators, which the augmentation and drop-out libraries use."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_of(axis: str, vary: tuple[str, ...], seed: int) -> int:
    """The seed of one axis: the cell's own where the recipe varies that axis, else 0."""
    return seed if axis in vary else 0
