"""Ways from tokens to one vector that timm's own forward does not offer; imported only while loading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def cls_token(model: Any, images: Tensor) -> Tensor:
    """Class token after the final norm."""
    return model.forward_features(images)[:, 0]


def all_tokens(model: Any, images: Tensor) -> Tensor:
    """Mean over all tokens (class, registers and patches) after the final norm."""
    return model.forward_features(images).mean(dim=1)


def cls_and_patch_mean(model: Any, images: Tensor) -> Tensor:
    """Class token beside the mean of the patch tokens, both after the final norm."""
    tokens = model.forward_features(images)
    return torch.cat([tokens[:, 0], tokens[:, model.num_prefix_tokens :].mean(dim=1)], dim=1)


def patch_mean(model: Any, images: Tensor) -> Tensor:
    """Mean of the patch tokens after the final norm."""
    return model.forward_features(images)[:, model.num_prefix_tokens :].mean(dim=1)


def cls_of_last_four(model: Any, images: Tensor) -> Tensor:
    """Class tokens of the last four blocks, each after the final norm, side by side."""
    layers = model.forward_intermediates(
        images, indices=4, return_prefix_tokens=True, norm=True, output_fmt="NLC", intermediates_only=True
    )
    return torch.cat([prefix[:, 0] for _, prefix in layers], dim=1)


_POOLINGS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    f.__name__: f for f in (cls_token, all_tokens, cls_and_patch_mean, patch_mean, cls_of_last_four)
}


class Pooled(nn.Module):
    """A timm vision transformer whose forward ends in another pooling."""

    def __init__(self, backbone: nn.Module, pooling: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to embeddings (B, D)."""
        return _POOLINGS[self.pooling](self.backbone, images)
