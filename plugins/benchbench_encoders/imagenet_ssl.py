"""ImageNet objectives to compare retinal pre-training with, from their public checkpoints.

MAE (ViT-L is "SSL-ImageNet" of the RETFound papers), DINO, MoCo-v3, SimCLR and SwAV, each with the feature and the
evaluation transform of its own linear evaluation; supervised ImageNet-21k ViT-L ("SL-ImageNet").
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchbench import EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource
from benchbench.api import HALF

from . import citations, positions
from .masked_autoencoders import (
    CLS_POOLING,
    POOLING,
    RESIZE_256_CROP_224,
    SQUASH_224,
    SQUASH_224_PER_IMAGE,
    cls_recipe,
    cls_variant,
    patch_mean_recipe,
)
from .recipe import Recipe, vit_layer_groups
from .resnet50 import FROM_SCRATCH, IMAGENET_1K
from .resnet50 import POOLING as MAP_POOLING

if TYPE_CHECKING:
    from .recipe import State

VIT_L16, VIT_B16 = "vit_large_patch16_224", "vit_base_patch16_224"
_FAIR = "https://dl.fbaipublicfiles.com"
_META_FREE = "Meta's own file, free to download."


def _bicubic(source: str) -> Preprocess:
    return Preprocess(name="eval", size=224, resize_to=256, source=source)


def _bilinear(source: str, std: tuple[float, float, float] = (0.229, 0.224, 0.225)) -> Preprocess:
    return Preprocess(name="eval", size=224, resize_to=256, interpolation="bilinear", std=std, source=source)


def _file(path: str, licence: str, *others: str, name: str = "") -> WeightsSource:
    return WeightsSource(
        file_name=name or path.rsplit("/", 1)[1],
        licence=licence,
        how_to_obtain=_META_FREE,
        url=f"{_FAIR}/{path}",
        other_names=others,
        source="the repository of the method; no full hash is published",
    )


# ------------------------------------------------------------------------------------------------ MAE


def _mae(
    name: str, title: str, model: str, width: int, parameters: int, file: str, **card: Any
) -> EncoderInfo:
    return EncoderInfo(
        name=name,
        title=title,
        architecture=model,
        embed_dim=width,
        load=patch_mean_recipe(name, model).load
        if card["pooling"] == POOLING
        else cls_recipe(name, model).load,
        weights=_file(f"mae/pretrain/{file}", "CC BY-NC 4.0", f"{model}.mae/model.safetensors"),
        licence="CC BY-NC 4.0",
        citation=citations.MAE,
        parameters=parameters,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
        layer_groups=vit_layer_groups,
        **card,
    )


# ------------------------------------------------------------------------------------------------ DINO, MoCo-v3


_dino = Recipe(
    encoder="dino_vitb16",
    timm_model=VIT_B16,
    wrappers=("teacher", "state_dict", "model"),
    dropped=("head.",),
    convert=partial(positions.install, how=positions.with_offset),
)

_moco = Recipe(
    encoder="mocov3_vitb16",
    timm_model=VIT_B16,
    prefixes=("module.", "base_encoder."),
    dropped=("head.", "momentum_encoder.", "predictor."),
)

# ------------------------------------------------------------------------------------------------ ResNet50s

_simclr = Recipe(
    encoder="simclr_resnet50",
    timm_model="resnet50",
    wrappers=("classy_state_dict/base_model/model/trunk", "state_dict", "model"),
    prefixes=("_feature_blocks.", "module."),
)

_swav = Recipe(
    encoder="swav_resnet50",
    timm_model="resnet50",
    dropped=("projection_head.", "prototypes."),
)

# ------------------------------------------------------------------------------------------------ SL-ImageNet

_JAX_BLOCK = {
    "LayerNorm_0/scale": "norm1.weight",
    "LayerNorm_0/bias": "norm1.bias",
    "LayerNorm_2/scale": "norm2.weight",
    "LayerNorm_2/bias": "norm2.bias",
    "MultiHeadDotProductAttention_1/out/kernel": "attn.proj.weight",
    "MultiHeadDotProductAttention_1/out/bias": "attn.proj.bias",
    "MlpBlock_3/Dense_0/kernel": "mlp.fc1.weight",
    "MlpBlock_3/Dense_0/bias": "mlp.fc1.bias",
    "MlpBlock_3/Dense_1/kernel": "mlp.fc2.weight",
    "MlpBlock_3/Dense_1/bias": "mlp.fc2.bias",
}
_JAX_OUTSIDE = {
    "cls": "cls_token",
    "embedding/kernel": "patch_embed.proj.weight",
    "embedding/bias": "patch_embed.proj.bias",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "Transformer/encoder_norm/scale": "norm.weight",
    "Transformer/encoder_norm/bias": "norm.bias",
}


def _from_jax(state: State, model: Any) -> State:
    """Names and layouts of the JAX archive; a state dict that has torch names already stays as it is."""
    import torch

    if "Transformer/encoder_norm/scale" not in state:
        return state
    result: State = {}
    for name, array in state.items():
        block = re.fullmatch(r"Transformer/encoderblock_(\d+)/(.+)", name)
        if name == "embedding/kernel":
            array = array.permute(3, 2, 0, 1)
        elif block and block[2].endswith("out/kernel"):
            array = array.flatten(0, 1).T
        elif block and block[2].startswith("MlpBlock") and array.ndim == 2:
            array = array.T
        if block and block[2] in _JAX_BLOCK:
            result[f"blocks.{block[1]}.{_JAX_BLOCK[block[2]]}"] = array
        elif not (block and re.fullmatch(r"Multi.+_1/(query|key|value)/(kernel|bias)", block[2])):
            result[_JAX_OUTSIDE.get(name, name)] = array
    for index in range(len(model.blocks)):
        attention = f"Transformer/encoderblock_{index}/MultiHeadDotProductAttention_1"
        parts = [f"{attention}/{part}" for part in ("query", "key", "value")]
        if all(f"{p}/kernel" in state and f"{p}/bias" in state for p in parts):
            kernels = [state[f"{p}/kernel"].flatten(1).T for p in parts]
            result[f"blocks.{index}.attn.qkv.weight"] = torch.cat(kernels)
            result[f"blocks.{index}.attn.qkv.bias"] = torch.cat([state[f"{p}/bias"].flatten() for p in parts])
    return result


_in21k = Recipe(
    encoder="vit_l16_in21k",
    timm_model=VIT_L16,
    dropped=("head/kernel", "head/bias", "head.weight", "head.bias"),
    convert=_from_jax,
)
_IN21K_FILE = "L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1.npz"

ENCODERS = (
    _mae(
        "mae_imagenet",
        "MAE ViT-L/16, ImageNet-1k (SSL-ImageNet), with RETFound's feature",
        VIT_L16,
        1024,
        303_301_632,
        "mae_pretrain_vit_large.pth",
        preprocess=RESIZE_256_CROP_224,
        pooling=POOLING,
        aliases=("ssl_imagenet",),
        variants=(
            EncoderVariant(SQUASH_224.name, "RETFound's feature notebook of 2024", preprocess=SQUASH_224),
            EncoderVariant(
                SQUASH_224_PER_IMAGE.name,
                "RETFound's feature notebook of 2025",
                preprocess=SQUASH_224_PER_IMAGE,
            ),
            cls_variant("mae_imagenet", VIT_L16),
        ),
        notes="The start of RETFound and the like-for-like control: same architecture, feature and preprocessing.",
    ),
    _mae(
        "mae_vitb16",
        "MAE ViT-B/16, ImageNet-1k",
        VIT_B16,
        768,
        85_798_656,
        "mae_pretrain_vit_base.pth",
        preprocess=_bicubic("main_linprobe.py of the MAE repository"),
        pooling=CLS_POOLING,
        variants=(
            EncoderVariant(
                "patch_mean",
                "RETFound's feature",
                pooling=POOLING,
                load=patch_mean_recipe("mae_vitb16", VIT_B16, class_token_form="mae_vitb16").load,
            ),
        ),
    ),
    EncoderInfo(
        name="dino_vitb16",
        title="DINO ViT-B/16, ImageNet-1k",
        architecture=VIT_B16,
        embed_dim=768,
        preprocess=_bicubic("eval_knn.py of the DINO repository"),
        pooling=CLS_POOLING,
        load=_dino.load,
        weights=_file(
            "dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
            "Apache-2.0",
            f"{VIT_B16}.dino/model.safetensors",
        ),
        licence="Apache-2.0",
        citation=citations.DINO,
        parameters=85_798_656,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
        variants=(
            EncoderVariant(
                name="cls_and_patch_mean",
                title="class token and mean of patches, as DINO's linear evaluation of ViT-B",
                pooling="class token beside the mean of the patch tokens, both after the final norm",
                embed_dim=1536,
                load=replace(_dino, pooling="cls_and_patch_mean").load,
            ),
        ),
        layer_groups=vit_layer_groups,
    ),
    EncoderInfo(
        name="mocov3_vitb16",
        title="MoCo-v3 ViT-B/16, ImageNet-1k",
        architecture=VIT_B16,
        embed_dim=768,
        preprocess=_bilinear("main_lincls.py of the MoCo-v3 repository"),
        pooling=CLS_POOLING,
        load=_moco.load,
        weights=_file("moco-v3/vit-b-300ep/vit-b-300ep.pth.tar", "CC BY-NC 4.0"),
        licence="CC BY-NC 4.0",
        citation=citations.MOCO_V3,
        parameters=85_798_656,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
        layer_groups=vit_layer_groups,
    ),
    EncoderInfo(
        name="simclr_resnet50",
        title="SimCLR ResNet50, ImageNet-1k (VISSL, 1000 epochs)",
        architecture="resnet50",
        embed_dim=2048,
        preprocess=_bilinear("linear evaluation configuration of VISSL"),
        pooling=MAP_POOLING,
        load=_simclr.load,
        weights=_file(
            "vissl/model_zoo/simclr_rn50_1000ep_simclr_8node_resnet_16_07_20.afe428c7/"
            "model_final_checkpoint_phase999.torch",
            "MIT (VISSL)",
            name="simclr_rn50_1000ep_simclr_8node_resnet_16_07_20.afe428c7/model_final_checkpoint_phase999.torch",
        ),
        licence="MIT (VISSL)",
        citation=citations.SIMCLR,
        parameters=23_508_032,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
        notes="A reimplementation by VISSL; the original SimCLR checkpoints are for TensorFlow.",
    ),
    EncoderInfo(
        name="swav_resnet50",
        title="SwAV ResNet50, ImageNet-1k (800 epochs)",
        architecture="resnet50",
        embed_dim=2048,
        preprocess=_bilinear(
            "eval_linear.py of the SwAV repository (std of red is 0.228 there)", (0.228, 0.224, 0.225)
        ),
        pooling=MAP_POOLING,
        load=_swav.load,
        weights=_file("deepcluster/swav_800ep_pretrain.pth.tar", "CC BY-NC 4.0"),
        licence="CC BY-NC 4.0",
        citation=citations.SWAV,
        parameters=23_508_032,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
    ),
    EncoderInfo(
        name="vit_l16_in21k",
        title="ViT-L/16, supervised ImageNet-21k (SL-ImageNet)",
        architecture=VIT_L16,
        embed_dim=1024,
        preprocess=Preprocess(
            name="timm",
            size=224,
            resize_to=248,
            mean=HALF,
            std=HALF,
            source="timm's configuration of vit_large_patch16_224.augreg_in21k",
        ),
        pooling=CLS_POOLING,
        load=_in21k.load,
        weights=WeightsSource(
            file_name=_IN21K_FILE,
            licence="Apache-2.0",
            how_to_obtain="Google's own archive, free to download.",
            url=f"https://storage.googleapis.com/vit_models/augreg/{_IN21K_FILE}",
            other_names=("vit_large_patch16_224.augreg_in21k/model.safetensors",),
            source="timm's configuration of vit_large_patch16_224.augreg_in21k; no hash is published",
        ),
        licence="Apache-2.0",
        citation=citations.AUGREG,
        parameters=303_301_632,
        pretraining=(PretrainingSet("ImageNet-21k", 14_197_122, "size of the full ImageNet as released"),),
        pretraining_complete=FROM_SCRATCH,
        aliases=("sl_imagenet",),
        layer_groups=vit_layer_groups,
    ),
)
