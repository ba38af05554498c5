"""FLOPs against closed forms written out here, and against fvcore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchbench.api import EncoderInfo, Preprocess
from benchbench.cost.architecture import inspect_encoder, meta_module

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "ViT-L/16": ("vit_large_patch16_224", {"global_pool": "avg"}, 224),
    "RETFound-Green": ("vit_small_patch14_reg4_dinov2", {"img_size": 392}, 392),
    "ResNet50": ("resnet50", {}, 224),
    "EfficientNet-Lite0": ("tf_efficientnet_lite0", {}, 224),
}


def card(name: str, version: str = "1", blocks: int | None = None) -> EncoderInfo:
    """One of the cases; `blocks` shortens a ViT."""
    model, options, size = CASES[name]
    if blocks and model.startswith("vit"):
        options = {**options, "depth": blocks}

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        import timm

        return timm.create_model(model, num_classes=0, **options).eval().to(device)

    return EncoderInfo(name, name, name, 1, Preprocess("p", size), "", load, None, "", "", version=version)


def vit_flops(size: int, patch: int, dim: int, depth: int, extra_tokens: int) -> int:
    """Multiply-adds times two of a ViT with MLP ratio 4: patch embedding, projections, attention."""
    patches = (size // patch) ** 2
    tokens = patches + extra_tokens
    block = 12 * tokens * dim**2 + 2 * tokens**2 * dim
    return 2 * (patches * 3 * patch**2 * dim + depth * block)


def resnet50_flops() -> int:
    """Multiply-adds times two of the bottleneck network at 224 pixels, convolution by convolution."""
    total = 112**2 * 3 * 7 * 7 * 64
    channels, side = 64, 56
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            out = side // step
            total += side**2 * channels * width  # 1 x 1 before the stride
            total += out**2 * 9 * width * width
            total += out**2 * width * 4 * width
            if block == 0:
                total += out**2 * channels * 4 * width
            channels, side = 4 * width, out
    return 2 * total


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("ViT-L/16", vit_flops(224, 16, 1024, 24, 1)),
        ("RETFound-Green", vit_flops(392, 14, 384, 12, 5)),
        ("ResNet50", resnet50_flops()),
    ],
)
def test_operations_equal_the_closed_form(name: str, closed: int) -> None:
    assert inspect_encoder(card(name)).flops == pytest.approx(closed, rel=1e-3)


def test_the_ratio_of_vit_l_to_green_is_the_published_speed_ratio() -> None:
    ratio = inspect_encoder(card("ViT-L/16")).flops / inspect_encoder(card("RETFound-Green")).flops
    assert ratio == pytest.approx(2.72, abs=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("ViT-L/16", 0.01), ("RETFound-Green", 0.01), ("ResNet50", 0.01), ("EfficientNet-Lite0", 0.05)],
)
def test_operations_agree_with_fvcore(name: str, tolerance: float) -> None:
    nn = pytest.importorskip("fvcore.nn")
    import timm.layers

    info = card(name, blocks=3)
    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(enable=False)  # fvcore does not see fused attention
    try:
        with torch.no_grad():
            size = info.preprocess.size
            count = nn.FlopCountAnalysis(info.load(None, "cpu"), torch.zeros(1, 3, size, size))
            macs = count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    finally:
        timm.layers.set_fused_attn(enable=bool(fused))
    assert inspect_encoder(info).flops == pytest.approx(2 * macs, rel=tolerance)


def test_parameters_and_bytes_are_those_of_the_loaded_network() -> None:
    info = card("ResNet50")
    found, module = inspect_encoder(info), info.load(None, "cpu")
    assert found.parameters == sum(p.numel() for p in module.parameters()) == 23_508_032
    tensors = module.state_dict().values()
    assert found.state_bytes == sum(t.numel() * t.element_size() for t in tensors)


def test_vit_l_has_the_published_size() -> None:
    found = inspect_encoder(card("ViT-L/16"))
    assert found.parameters == pytest.approx(303.3e6, rel=1e-3)
    assert found.state_bytes / 2**30 == pytest.approx(1.13, abs=0.01)  # GiB, printed as GB in the papers


def test_the_key_is_of_the_architecture_not_of_the_card() -> None:
    assert inspect_encoder(card("ResNet50")).key == inspect_encoder(card("ResNet50", "2")).key
    assert inspect_encoder(card("ResNet50")).key != inspect_encoder(card("EfficientNet-Lite0")).key


def test_networks_with_the_same_layers_and_another_forward_pass_are_told_apart() -> None:
    class Once(torch.nn.Module):
        def __init__(self, times: int) -> None:
            super().__init__()
            self.conv, self.times = torch.nn.Conv2d(3, 3, 1), times

        def _get_name(self) -> str:
            return "Net"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(self.times):
                x = self.conv(x)
            return x.mean((2, 3))

    def key(times: int) -> str:
        preprocess = Preprocess("p", 16)
        load = lambda weights, device: Once(times).eval()  # noqa: E731
        return inspect_encoder(EncoderInfo("a", "a", "a", 3, preprocess, "", load, None, "", "")).key

    assert key(1) == key(1) != key(2)


def test_a_network_without_countable_operations_has_none_counted() -> None:
    """What `Architecture.flops` means by 0: the report must not say 0 GFLOP."""

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    load = lambda weights, device: Mean().eval()  # noqa: E731
    assert (
        inspect_encoder(EncoderInfo("a", "a", "a", 3, Preprocess("p", 16), "", load, None, "", "")).flops == 0
    )


def test_nothing_is_allocated_on_the_meta_device() -> None:
    assert {p.device.type for p in meta_module(card("ViT-L/16")).parameters()} == {"meta"}
