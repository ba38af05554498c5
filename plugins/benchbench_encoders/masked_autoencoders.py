"""Encoders that masked autoencoding pre-trained, with the feature of RETFound's code.

The feature is the mean of the patch tokens after the last block, then a LayerNorm without trained affine
parameters: the checkpoint's own ``norm`` belongs to the class-token path and is not used. A fine-tuned
checkpoint brings the affine parameters (``fc_norm``) and a head; then these are used, once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchbench import EncoderVariant, Preprocess

from . import positions
from .recipe import Recipe

if TYPE_CHECKING:
    from .recipe import State

DECODER = (
    "mask_token",
    "decoder_pos_embed",
    "decoder_embed.",
    "decoder_blocks.",
    "decoder_norm.",
    "decoder_pred.",
)
POOLING = "mean of the patch tokens of the last block, then LayerNorm without trained scale"
CLS_POOLING = "class token after the final norm"

RESIZE_256_CROP_224 = Preprocess(
    name="eval",
    size=224,
    resize_to=256,
    source="build_transform (evaluation) in util/datasets.py of the RETFound repository",
)
SQUASH_224 = Preprocess(
    name="nb2024", size=224, resize="squash", source="RETFound_Feature.ipynb of the RETFound repository, 2024"
)
SQUASH_224_PER_IMAGE = Preprocess(
    name="nb2025",
    size=224,
    resize="squash",
    normalise="per_image",
    source="latent_feature.ipynb of the RETFound repository, 2025",
)


def to_patch_mean(state: State, model: Any) -> State:
    """Names of the patch-mean model: ``fc_norm`` from a fine-tuned checkpoint, else without effect."""
    import torch

    if not any(name.startswith("fc_norm.") for name in state):
        width = model.fc_norm.weight.shape[0]
        state = {k: v for k, v in state.items() if k not in ("norm.weight", "norm.bias")}
        state |= {"fc_norm.weight": torch.ones(width), "fc_norm.bias": torch.zeros(width)}
    return positions.install(state, model, positions.plain)


def patch_mean_recipe(
    encoder: str, timm_model: str, dropped: tuple[str, ...] = DECODER, class_token_form: str = ""
) -> Recipe:
    """The patch-mean feature; `class_token_form` names the class-token one, if it is not the variant `cls_token`."""
    return Recipe(
        encoder=encoder,
        timm_model=timm_model,
        build={"global_pool": "avg"},
        dropped=dropped,
        head=("head.weight", "head.bias"),
        class_token_form=class_token_form or f"{encoder}:cls_token",
        convert=to_patch_mean,
    )


def cls_recipe(encoder: str, timm_model: str, dropped: tuple[str, ...] = DECODER) -> Recipe:
    """The class token after ``norm`` (the official ``--cls_token`` path)."""
    return Recipe(
        encoder=encoder,
        timm_model=timm_model,
        build={"global_pool": "token"},
        dropped=dropped,
        head=("head.weight", "head.bias"),
        convert=partial(positions.install, how=positions.plain),
    )


def cls_variant(encoder: str, timm_model: str, dropped: tuple[str, ...] = DECODER) -> EncoderVariant:
    """Variant ``cls_token`` of an encoder."""
    return EncoderVariant(
        name="cls_token",
        title="class token",
        pooling=CLS_POOLING,
        load=cls_recipe(encoder, timm_model, dropped).load,
    )
