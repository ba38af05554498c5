"""Encoders that come with benchbench."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench import EncoderFamily, EncoderInfo, hookimpl

from . import efficientnet_lite, resnet50, timm_family


@hookimpl
def benchbench_encoders() -> Sequence[EncoderInfo | EncoderFamily]:
    """All encoders of this package."""
    return [
        *efficientnet_lite.ENCODERS,
        *resnet50.ENCODERS,
        *timm_family.FAMILIES,
    ]
