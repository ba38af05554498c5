"""Position embeddings at another grid size, each the way the encoder's official code computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]


def _interpolated(embedding: torch.Tensor, prefix: int, side: int, **how: Any) -> torch.Tensor:
    """Resize the grid part of (1, prefix + n*n, D) to side x side; prefix tokens are kept."""
    import torch

    old = math.isqrt(embedding.shape[1] - prefix)
    if old == side:
        return embedding
    grid = embedding[:, prefix:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, mode="bicubic", align_corners=False, **how)
    return torch.cat([embedding[:, :prefix].float(), grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def plain(embedding: torch.Tensor, prefix: int, side: int) -> torch.Tensor:
    """MAE and RETFound: bicubic to the new size, no antialiasing."""
    return _interpolated(embedding, prefix, side, size=(side, side))


def with_offset(embedding: torch.Tensor, prefix: int, side: int) -> torch.Tensor:
    """DINO, and DINOv2 without registers: bicubic by the scale factor (side + 0.1) / old side."""
    scale = (side + 0.1) / math.sqrt(embedding.shape[1] - prefix)
    return _interpolated(embedding, prefix, side, scale_factor=(scale, scale))


def antialiased(embedding: torch.Tensor, prefix: int, side: int) -> torch.Tensor:
    """DINOv2 with registers, and timm: bicubic to the new size with antialiasing."""
    return _interpolated(embedding, prefix, side, size=(side, side), antialias=True)


def install(state: State, model: Any, how: Callable[..., torch.Tensor], prefix: int = 1) -> State:
    """`state` with its position embedding at the grid of `model`; a state without one is refused later."""
    embedding = state.get("pos_embed")
    if embedding is None or embedding.ndim != 3 or embedding.shape[1] <= prefix:
        return state
    return state | {"pos_embed": how(embedding, prefix, int(model.patch_embed.grid_size[0]))}
