"""ResNet50 with supervised ImageNet-1k weights: torchvision's first, and timm's improved recipe."""

from __future__ import annotations

from benchbench import EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource

from .recipe import Recipe

_CITATION = """@inproceedings{he2016deep,
  title={Deep Residual Learning for Image Recognition},
  author={He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  pages={770--778},
  year={2016},
  doi={10.1109/CVPR.2016.90}
}"""

IMAGENET_1K = PretrainingSet("ImageNet-1k", 1_281_167, "size of the ILSVRC 2012 training set")
FROM_SCRATCH = "its authors train from random weights on this one set"
POOLING = "global average of the last feature map"

_recipe = Recipe(encoder="resnet50", timm_model="resnet50", head=("fc.weight", "fc.bias"))

_A1_WEIGHTS = WeightsSource(
    file_name="resnet50_a1_0-14fe96d1.pth",
    licence="Apache-2.0",
    how_to_obtain="A release file of timm (pytorch-image-models), free to download.",
    url="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights/"
    "resnet50_a1_0-14fe96d1.pth",
    other_names=("resnet50.a1_in1k/model.safetensors", "resnet50.a1_in1k.safetensors"),
    source="timm's configuration of resnet50.a1_in1k",
)


def _a1(name: str, size: int, resize_to: int) -> EncoderVariant:
    return EncoderVariant(
        name=name,
        title=f"timm's A1 recipe, {size} px",
        preprocess=Preprocess(
            name=name,
            size=size,
            resize_to=resize_to,
            interpolation="bicubic",
            source="timm's configuration of resnet50.a1_in1k",
        ),
        weights=_A1_WEIGHTS,
    )


ENCODERS = (
    EncoderInfo(
        name="resnet50",
        title="ResNet50, supervised ImageNet-1k (torchvision V1)",
        architecture="resnet50",
        embed_dim=2048,
        preprocess=Preprocess(
            name="torchvision",
            size=224,
            resize_to=256,
            interpolation="bilinear",
            source="torchvision ResNet50_Weights.IMAGENET1K_V1; timm's configuration of resnet50.tv_in1k",
        ),
        pooling=POOLING,
        load=_recipe.load,
        weights=WeightsSource(
            file_name="resnet50-0676ba61.pth",
            licence="BSD-3-Clause",
            how_to_obtain="torchvision's own file, free to download.",
            url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
            other_names=("resnet50.tv_in1k/model.safetensors", "resnet50.tv_in1k.safetensors"),
            source="timm's configuration of resnet50.tv_in1k; the file name carries the hash's first digits",
        ),
        licence="BSD-3-Clause",
        citation=_CITATION,
        parameters=23_508_032,
        pretraining=(IMAGENET_1K,),
        pretraining_complete=FROM_SCRATCH,
        variants=(_a1("a1_in1k", 224, 235), _a1("a1_in1k_288", 288, 288)),
        notes="The slides' OCT comparison uses a ResNet50 without naming its weights; this is the classic one.",
    ),
)
