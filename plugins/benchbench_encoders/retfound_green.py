"""RETFound-Green: ViT-S/14 with registers at 392 pixels.

Source: the README of github.com/justinengelmann/RETFound_Green. Its paper's notebooks average all tokens instead
of the patches: variant `all_tokens`. The final norm comes before the mean, the other way round than in RETFound.
"""

from __future__ import annotations

from dataclasses import replace

from benchbench import DeclaredCompute, EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource
from benchbench.api import HALF

from . import citations
from .dinov2 import VIT_S14_REG4
from .recipe import Recipe, vit_layer_groups

_PAPER = "imgs_all.npy of the RETFound-Green repository"

_recipe = Recipe(
    encoder="retfound_green", timm_model=VIT_S14_REG4, build={"img_size": 392}, pooling="patch_mean"
)

ENCODERS = (
    EncoderInfo(
        name="retfound_green",
        title="RETFound-Green",
        architecture="ViT-S/14, 4 registers, 392 px",
        embed_dim=384,
        preprocess=Preprocess(
            name="readme",
            size=392,
            resize="squash",
            interpolation="bilinear",
            resizer="tensor",
            mean=HALF,
            std=HALF,
            source="README of the RETFound-Green repository",
        ),
        pooling="mean of the patch tokens after the final norm",
        load=_recipe.load,
        weights=WeightsSource(
            file_name="retfoundgreen_statedict.pth",
            licence="Justin's Custom Non-Commercial Research Licence (CNCRL)",
            how_to_obtain="A release file of github.com/justinengelmann/RETFound_Green (v0.1), not gated; no "
            "commercial entity and no industry-involved project may use it without permission.",
            sha256="431de5dbc1bebbb32f60e2c0bcf8daa4f8bcbf06f7cb1e1dc97ec589713942e1",
            size_bytes=87_396_676,
            url="https://github.com/justinengelmann/RETFound_Green/releases/download/v0.1/"
            "retfoundgreen_statedict.pth",
            source="size and hash seen by github.com/LIU-Rong-Tao/ophthalmic-foundation-model-benchmark",
        ),
        licence="CNCRL (non-commercial research)",
        citation=citations.RETFOUND_GREEN,
        modalities=("cfp",),
        parameters=21_832_704,
        pretraining=(
            PretrainingSet("airogs", 53_327, _PAPER),
            PretrainingSet("ddr", 13_673, _PAPER),
            PretrainingSet("odir", 8_000, _PAPER),
        ),
        compute=DeclaredCompute(
            0.27,
            "one consumer GPU with 24 GB; A100-days as estimated by the authors",
            "Engelmann & Bernabeu 2025",
        ),
        variants=(
            EncoderVariant(
                name="all_tokens",
                title="mean of all tokens, as the paper's notebooks",
                pooling="mean of all tokens (class, registers, patches) after the final norm",
                load=replace(_recipe, pooling="all_tokens").load,
            ),
        ),
        layer_groups=vit_layer_groups,
        notes="Starts from DINOv2 ViT-S/14 with registers (LVD-142M).",
    ),
)
