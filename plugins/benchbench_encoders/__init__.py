"""Encoders that come with benchbench."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench import EncoderFamily, EncoderInfo, hookimpl

from . import (
    dinov2,
    efficientnet_lite,
    imagenet_ssl,
    resnet50,
    retfound,
    retfound_green,
    retinal_others,
    timm_family,
)


@hookimpl
def benchbench_encoders() -> Sequence[EncoderInfo | EncoderFamily]:
    """All encoders of this package."""
    return [
        *retfound.ENCODERS,
        *retfound_green.ENCODERS,
        *imagenet_ssl.ENCODERS,
        *dinov2.ENCODERS,
        *retinal_others.ENCODERS,
        *resnet50.ENCODERS,
        *efficientnet_lite.ENCODERS,
        *timm_family.FAMILIES,
    ]
