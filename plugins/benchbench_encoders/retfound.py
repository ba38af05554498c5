"""RETFound by masked autoencoding and by DINOv2, and DERETFound.

Sources: the RETFound repositories (rmaphoh/RETFound, rmaphoh/RETFound_MAE), their model cards on the Hugging
Face hub, and Jonlysun/DERETFound. "RETFound-MEH" of later papers is the checkpoint of the Nature paper on colour
photographs, here `retfound_mae_cfp`; the hub also has other models with "meh" in their names.
"""

from __future__ import annotations

from benchbench import (
    DeclaredCompute,
    EncoderInfo,
    EncoderVariant,
    Preprocess,
    PretrainingSet,
    WeightsArchive,
    WeightsSource,
)

from . import citations, dinov2
from .masked_autoencoders import (
    POOLING,
    RESIZE_256_CROP_224,
    SQUASH_224,
    SQUASH_224_PER_IMAGE,
    cls_variant,
    patch_mean_recipe,
)
from .recipe import vit_layer_groups

VIT_L16 = "vit_large_patch16_224"
LICENCE = "CC BY-NC 4.0"
_NATURE = "Zhou et al., Nature 2023, 10.1038/s41586-023-06555-x"
_TWINS = (
    "abstract of Zhou et al., Nature Communications 2026, twin pre-training at MEH and in Shanghai, taken to be "
    "the paper of these checkpoints"
)
_OPHBENCH = "size and hash seen by github.com/LIU-Rong-Tao/ophthalmic-foundation-model-benchmark"


def _hub(name: str, sha256: str | None = None, size: int | None = None, *others: str) -> WeightsSource:
    return WeightsSource(
        file_name=f"{name}.pth",
        licence=LICENCE,
        how_to_obtain=f"Log in at huggingface.co, open YukunZhou/{name}, agree to share your contact "
        f"information, and download {name}.pth.",
        sha256=sha256,
        size_bytes=size,
        hub_repo=f"YukunZhou/{name}",
        gated=True,
        other_names=others,
        source=_OPHBENCH if sha256 else "main_finetune.py of the RETFound repository; no hash is published",
    )


def _squashed(encoder_preprocess: Preprocess, title: str) -> EncoderVariant:
    return EncoderVariant(name=encoder_preprocess.name, title=title, preprocess=encoder_preprocess)


def _mae(
    name: str,
    title: str,
    weights: WeightsSource,
    modalities: tuple[str, ...],
    pretraining: tuple[PretrainingSet, ...],
    compute: DeclaredCompute | None,
    *,
    aliases: tuple[str, ...] = (),
    notes: str = "",
) -> EncoderInfo:
    return EncoderInfo(
        name=name,
        title=title,
        architecture="ViT-L/16",
        embed_dim=1024,
        preprocess=RESIZE_256_CROP_224,
        pooling=POOLING,
        load=patch_mean_recipe(name, VIT_L16).load,
        weights=weights,
        licence=LICENCE,
        citation=citations.RETFOUND,
        modalities=modalities,
        parameters=303_301_632,
        pretraining=pretraining,
        compute=compute,
        aliases=aliases,
        variants=(
            _squashed(SQUASH_224, "feature notebook of 2024"),
            _squashed(SQUASH_224_PER_IMAGE, "feature notebook of 2025"),
            cls_variant(name, VIT_L16),
        ),
        layer_groups=vit_layer_groups,
        notes=notes,
    )


def _dinov2(name: str, title: str, hub: str) -> EncoderInfo:
    return EncoderInfo(
        name=name,
        title=title,
        architecture="ViT-L/14",
        embed_dim=1024,
        preprocess=RESIZE_256_CROP_224,
        pooling=dinov2.CLS_POOLING,
        load=dinov2.retfound_recipe(name).load,
        weights=_hub(hub),
        licence=LICENCE,
        citation=citations.RETFOUND,
        modalities=("cfp",),
        parameters=303_227_904,
        layer_groups=vit_layer_groups,
        notes="Continues Meta's DINOv2 ViT-L/14. Its pre-training images are not stated where this card was "
        "made from; check the model card before you rule out contamination.",
    )


_NATURE_COMPUTE = DeclaredCompute(112.0, "8 x A100 for about 14 days", _NATURE)

ENCODERS = (
    _mae(
        "retfound_mae_cfp",
        "RETFound (MAE, colour fundus photographs, Nature 2023)",
        _hub(
            "RETFound_mae_natureCFP",
            "e1e4f66a1b792eeb6e2efaf158f33be35c8255f36b3d17ed67cd5129da246485",
            3_952_489_221,
            "RETFound_cfp_weights.pth",
        ),
        ("cfp",),
        (PretrainingSet("MEH-MIDAS", 815_468, _NATURE), PretrainingSet("eyepacs", 88_702, _NATURE)),
        _NATURE_COMPUTE,
        aliases=("retfound_meh", "retfound"),
        notes="Called RETFound-MEH in the RETFound-Green paper. Continues MAE ViT-L from ImageNet-1k.",
    ),
    _mae(
        "retfound_mae_oct",
        "RETFound (MAE, OCT, Nature 2023)",
        _hub(
            "RETFound_mae_natureOCT",
            "e9ff7864f40334885062953cb3894739d9fff52aaeb22c8b4f47d92270068d18",
            3_952_489_221,
            "RETFound_oct_weights.pth",
        ),
        ("oct",),
        (PretrainingSet("MEH-MIDAS (OCT)", 627_133, _NATURE), PretrainingSet("oct2017", 109_309, _NATURE)),
        _NATURE_COMPUTE,
        notes="Continues MAE ViT-L from ImageNet-1k.",
    ),
    _mae(
        "retfound_mae_meh",
        "RETFound (MAE, MEH)",
        _hub("RETFound_mae_meh"),
        ("cfp",),
        (PretrainingSet("MEH-MIDAS", 904_170, f"model card YukunZhou/RETFound_mae_meh; count: {_TWINS}"),),
        DeclaredCompute(56.0, "4 x A100-80GB for 14 days", "model card YukunZhou/RETFound_mae_meh"),
        notes="From a later paper than Nature 2023; not the RETFound-MEH of the RETFound-Green paper.",
    ),
    _mae(
        "retfound_mae_shanghai",
        "RETFound (MAE, Shanghai)",
        _hub("RETFound_mae_shanghai"),
        ("cfp",),
        (PretrainingSet("Shanghai", 904_170, _TWINS),),
        None,
        notes="The twin of retfound_mae_meh on photographs from Shanghai.",
    ),
    _dinov2("retfound_dinov2_meh", "RETFound (DINOv2, MEH)", "RETFound_dinov2_meh"),
    _dinov2("retfound_dinov2_shanghai", "RETFound (DINOv2, Shanghai)", "RETFound_dinov2_shanghai"),
    EncoderInfo(
        name="deretfound",
        title="DERETFound (MAE on generated, then real photographs)",
        architecture="ViT-L/16",
        embed_dim=1024,
        preprocess=Preprocess(
            name="eval",
            size=224,
            resize="squash",
            interpolation="bilinear",
            source="util/data_*.py of the DERETFound repository",
        ),
        pooling=POOLING,
        load=patch_mean_recipe("deretfound", VIT_L16).load,
        weights=WeightsSource(
            file_name="PreTraining/checkpoint-best.pth",
            licence=LICENCE,
            how_to_obtain="Download PreTraining.zip (3.7 GB) from zenodo.org/records/13340936 and unpack it in "
            "the weights root, so that PreTraining/checkpoint-best.pth is there.",
            archive=WeightsArchive(
                url="https://zenodo.org/records/13340936/files/PreTraining.zip?download=1",
                member="PreTraining/checkpoint-best.pth",
                sha256="b6b3e92dde5409b18e3dbc6118c6f4d0216545f62cd0a2241f5d20593aafe361",
                size_bytes=3_656_207_114,
            ),
            other_names=("deretfound.pth",),
            source=f"Zenodo record 13340936; archive: {_OPHBENCH}; the hash of the file inside is not published",
        ),
        licence=LICENCE,
        citation=citations.DERETFOUND,
        modalities=("cfp",),
        parameters=303_301_632,
        pretraining=(
            PretrainingSet(
                "real photographs", 150_786, "Sun et al. 2025, as quoted by Engelmann & Bernabeu 2025"
            ),
            PretrainingSet("generated photographs", 1_000_000, "Sun et al. 2025: about one million"),
        ),
        compute=DeclaredCompute(163.0, "8 x A100-80GB", "comparison table of Engelmann & Bernabeu 2025"),
        aliases=("retfound_de",),
        variants=(
            EncoderVariant("retfound_eval", "RETFound's preprocessing", preprocess=RESIZE_256_CROP_224),
            _squashed(SQUASH_224, "RETFound's feature notebook of 2024"),
            _squashed(SQUASH_224_PER_IMAGE, "RETFound's feature notebook of 2025"),
            cls_variant("deretfound", VIT_L16),
        ),
        layer_groups=vit_layer_groups,
        notes="Which public sets the 150,786 photographs came from is not stated on this card; check the paper "
        "before you rule out contamination. The licence of the weights is not stated apart from the code's.",
    ),
)
