"""Further retinal encoders: UrFound, VisionFM and the image tower of FLAIR."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from benchbench import EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource

from . import citations, positions
from .masked_autoencoders import DECODER, POOLING, RESIZE_256_CROP_224, cls_variant, patch_mean_recipe
from .recipe import Recipe, vit_layer_groups
from .resnet50 import POOLING as MAP_POOLING

VIT_B16 = "vit_base_patch16_224"
_URFOUND_DROPPED = (*DECODER, "bert_encoder.", "bert_mlp.")

# ------------------------------------------------------------------------------------------------ VisionFM

_FUNDUS_MEAN = (0.423737496137619, 0.2609460651874542, 0.128403902053833)
_FUNDUS_STD = (0.29482534527778625, 0.20167365670204163, 0.13668020069599152)
_OCT_MEAN = (0.21091926, 0.21091926, 0.21091919)
_OCT_STD = (0.17598894, 0.17598891, 0.17598893)


def _visionfm(modality: str, file: str, mean: tuple[float, ...], std: tuple[float, ...]) -> EncoderInfo:
    name = f"visionfm_{'cfp' if modality == 'Fundus' else 'oct'}"
    statistics: Any = {"mean": mean, "std": std}
    recipe = Recipe(
        encoder=name,
        timm_model=VIT_B16,
        wrappers=("teacher", "state_dict", "model"),
        dropped=("head.", "masked_embed"),
        convert=partial(positions.install, how=positions.plain),
        pooling="cls_of_last_four",
    )
    return EncoderInfo(
        name=name,
        title=f"VisionFM ({modality})",
        architecture="ViT-B/16",
        embed_dim=3072,
        preprocess=Preprocess(
            name="eval",
            size=224,
            resize="squash",
            interpolation="bilinear",
            source="evaluation/extract_features.py and utils.get_stats of the VisionFM repository",
            **statistics,
        ),
        pooling="class tokens of the last four blocks, each after the final norm, side by side",
        load=recipe.load,
        weights=WeightsSource(
            file_name=file,
            licence="CC BY-NC 4.0 (research and education)",
            how_to_obtain="Google Drive link in the README of github.com/ABILab-CUHK/VisionFM.",
            source="README of the VisionFM repository; no hash is published",
        ),
        licence="CC BY-NC 4.0 (research and education)",
        citation=citations.VISIONFM,
        modalities=("cfp" if modality == "Fundus" else "oct",),
        parameters=85_798_656,
        variants=(
            EncoderVariant(
                name="cls_token",
                title="class token of the last block",
                pooling="class token after the final norm",
                embed_dim=768,
                load=replace(recipe, pooling="cls_token").load,
            ),
        ),
        layer_groups=vit_layer_groups,
        notes="Its pre-training sets are not listed on this card; check the paper for contamination.",
    )


# ------------------------------------------------------------------------------------------------ FLAIR

_FLAIR_SETS = (
    "eyepacs",
    "messidor2",
    "idrid",
    "rfmid",
    "jsiec",
    "lag",
    "odir",
    "papila",
    "stare",
    "fives",
    "aptos2019",
    "g1020",
    "origa",
    "refuge",
    "brset",
    "ddr",
    "airogs",
    "acrima",
    "deepdrid",
    "retina4",
)


_flair = Recipe(
    encoder="flair",
    timm_model="resnet50",
    prefixes=("module.", "vision_model.", "model."),
    dropped=("text_model.", "logit_scale", "projection_head_vision."),
)

ENCODERS = (
    EncoderInfo(
        name="urfound",
        title="UrFound",
        architecture="ViT-B/16",
        embed_dim=768,
        preprocess=replace(
            RESIZE_256_CROP_224, source="finetune/datasets_finetune.py of the UrFound repository"
        ),
        pooling=POOLING,
        load=patch_mean_recipe("urfound", VIT_B16, _URFOUND_DROPPED).load,
        weights=WeightsSource(
            file_name="urfound_mm.pth",
            licence="not stated (code: MIT)",
            how_to_obtain="Hugging Face repository yyyyk/UrFound.",
            size_bytes=1_815_991_647,
            hub_repo="yyyyk/UrFound",
            source="Hugging Face repository yyyyk/UrFound; no hash was seen",
        ),
        licence="not stated for the weights; ask the authors before you publish",
        citation=citations.URFOUND,
        modalities=("cfp", "oct"),
        parameters=85_798_656,
        variants=(cls_variant("urfound", VIT_B16, _URFOUND_DROPPED),),
        layer_groups=vit_layer_groups,
        notes="Its pre-training sets are not listed on this card; check the paper for contamination.",
    ),
    _visionfm("Fundus", "VFM_Fundus_weights.pth", _FUNDUS_MEAN, _FUNDUS_STD),
    _visionfm("OCT", "VFM_OCT_weights.pth", _OCT_MEAN, _OCT_STD),
    EncoderInfo(
        name="flair",
        title="FLAIR, image tower",
        architecture="resnet50",
        embed_dim=2048,
        preprocess=Preprocess(
            name="canvas",
            size=512,
            resize="fit_pad",
            interpolation="bilinear",
            resizer="tensor",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            source="preprocess_image in flair/modeling/model.py of the FLAIR repository",
        ),
        pooling=MAP_POOLING,
        load=_flair.load,
        weights=WeightsSource(
            file_name="FLAIR/model.safetensors",
            licence="Apache-2.0",
            how_to_obtain="Hugging Face repository jusiro2/FLAIR.",
            hub_repo="jusiro2/FLAIR",
            other_names=("flair_resnet.pth",),
            source="README of the FLAIR repository; no hash was seen",
        ),
        licence="Apache-2.0",
        citation=citations.FLAIR,
        modalities=("cfp",),
        parameters=23_508_032,
        pretraining=tuple(
            PretrainingSet(name, None, "assembly listed in the README of the FLAIR repository")
            for name in _FLAIR_SETS
        ),
        notes="The feature before the projection, which the authors use for linear probing. The official code "
        "resizes in floating point; here pixels are rounded to 8 bits after the resize. Which listed sets the "
        "released checkpoint left out for evaluation is not stated in the README: all are treated as seen.",
    ),
)
