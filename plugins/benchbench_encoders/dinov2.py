"""DINOv2: Meta's ViT-L/14, ViT-S/14 with registers, and the containers of models that continue them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchbench import EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource
from benchbench.api import HALF

from . import citations, positions
from .recipe import Recipe, vit_layer_groups

if TYPE_CHECKING:
    from .recipe import State

CLS_POOLING = "class token after the final norm"
VIT_L14, VIT_S14_REG4 = "vit_large_patch14_dinov2", "vit_small_patch14_reg4_dinov2"
_URL = "https://dl.fbaipublicfiles.com/dinov2"
_LVD = (PretrainingSet("LVD-142M", 142_000_000, "Oquab et al. 2024, arXiv 2304.07193"),)

EVAL = Preprocess(
    name="eval",
    size=224,
    resize_to=256,
    source="make_classification_eval_transform of the DINOv2 repository",
)


def _registers(state: State, model: Any) -> State:
    """Meta adds a position to the class token; timm expects it added already, and registers by another name."""
    if all(name in state for name in ("register_tokens", "pos_embed", "cls_token")):
        position = state["pos_embed"]
        state = {k: v for k, v in state.items() if k != "register_tokens"} | {
            "reg_token": state["register_tokens"],
            "cls_token": state["cls_token"] + position[:, :1],
            "pos_embed": position[:, 1:],
        }
    return positions.install(state, model, positions.antialiased, prefix=0)


def retfound_recipe(encoder: str) -> Recipe:
    """RETFound-DINOv2: the teacher's backbone, positions resized by RETFound's own code."""
    return Recipe(
        encoder=encoder,
        timm_model=VIT_L14,
        build={"img_size": 224},
        dropped=("mask_token", "dino_head.", "ibot_head."),
        head=("head.weight", "head.bias"),
        convert=partial(positions.install, how=positions.plain),
    )


def _large(pooling: str = "") -> Recipe:
    return Recipe(
        encoder="dinov2_vitl14",
        timm_model=VIT_L14,
        build={"img_size": 224},
        dropped=("mask_token",),
        convert=partial(positions.install, how=positions.with_offset),
        pooling=pooling,
    )


def _small(size: int, pooling: str = "") -> Recipe:
    return Recipe(
        encoder="dinov2_vits14_reg4",
        timm_model=VIT_S14_REG4,
        build={"img_size": size},
        dropped=("mask_token",),
        convert=_registers,
        pooling=pooling,
    )


def _green_control(size: int) -> EncoderVariant:
    """The untuned start of RETFound-Green, as its authors compare it."""
    return EncoderVariant(
        name=f"green_{size}",
        title=f"as RETFound-Green's ablation, {size} px",
        preprocess=Preprocess(
            name=f"green_{size}",
            size=size,
            resize="squash",
            interpolation="bilinear",
            resizer="tensor",
            mean=HALF,
            std=HALF,
            source="evaluation notebooks of the RETFound-Green repository",
        ),
        pooling="mean of all tokens after the final norm",
        load=_small(size, "all_tokens").load,
    )


def _linear(recipe: Recipe, width: int) -> EncoderVariant:
    return EncoderVariant(
        name="cls_and_patch_mean",
        title="class token and mean of patches, as DINOv2's linear evaluation",
        pooling="class token beside the mean of the patch tokens, both after the final norm",
        embed_dim=width,
        load=recipe.load,
    )


def _weights(folder: str, file: str, timm_tag: str) -> WeightsSource:
    return WeightsSource(
        file_name=file,
        licence="Apache-2.0",
        how_to_obtain="Meta's own file, free to download.",
        url=f"{_URL}/{folder}/{file}",
        other_names=(f"{timm_tag}/model.safetensors",),
        source="DINOv2 repository; no hash is published",
    )


ENCODERS = (
    EncoderInfo(
        name="dinov2_vitl14",
        title="DINOv2 ViT-L/14",
        architecture="ViT-L/14",
        embed_dim=1024,
        preprocess=EVAL,
        pooling=CLS_POOLING,
        load=_large().load,
        weights=_weights("dinov2_vitl14", "dinov2_vitl14_pretrain.pth", f"{VIT_L14}.lvd142m"),
        licence="Apache-2.0",
        citation=citations.DINOV2,
        parameters=303_227_904,
        pretraining=_LVD,
        variants=(_linear(_large("cls_and_patch_mean"), 2048),),
        layer_groups=vit_layer_groups,
    ),
    EncoderInfo(
        name="dinov2_vits14_reg4",
        title="DINOv2 ViT-S/14 with four registers",
        architecture="ViT-S/14, 4 registers",
        embed_dim=384,
        preprocess=EVAL,
        pooling=CLS_POOLING,
        load=_small(224).load,
        weights=_weights("dinov2_vits14", "dinov2_vits14_reg4_pretrain.pth", f"{VIT_S14_REG4}.lvd142m"),
        licence="Apache-2.0",
        citation=citations.REGISTERS,
        parameters=21_629_952,
        pretraining=_LVD,
        variants=(
            _linear(_small(224, "cls_and_patch_mean"), 768),
            _green_control(392),
            _green_control(224),
        ),
        layer_groups=vit_layer_groups,
        notes="The model that RETFound-Green starts from.",
    ),
)
