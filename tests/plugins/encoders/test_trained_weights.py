"""Encoders whose trained weights are installed: equal to the packages they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from benchbench import load_encoder
from benchbench.errors import BenchError


@pytest.mark.parametrize("size", [0, 2])
def test_efficientnet_lite_logits_equal_the_original_package(size: int, shared: Path) -> None:
    original = pytest.importorskip("efficientnet_lite_pytorch")
    from benchbench.images import prepare, to_input

    encoder = load_encoder(f"efficientnet_lite{size}")
    assert encoder.weights.status == "package"
    network = original.EfficientNet.from_name(f"efficientnet-lite{size}")
    network.load_state_dict(torch.load(encoder.weights.path, weights_only=True))
    photographs = sorted((shared / "realdata" / "idrid").rglob("*.jpg"))[:3]
    x = to_input(
        np.stack([prepare(p, encoder.info.preprocess) for p in photographs]), encoder.info.preprocess
    )
    with torch.no_grad():
        expected = network.eval()(x)
        got = torch.nn.functional.linear(encoder.module(x), *encoder.module.classification_head)
        pooled = network._avg_pooling(network.extract_features(x)).flatten(1)
    assert torch.equal(got, expected)
    assert np.array_equal(encoder.embed(photographs), pooled.numpy())
    assert np.array_equal(encoder.logits(photographs), expected.numpy())


def large_photograph(path: Path) -> Path:
    """2600 x 1900 with smooth areas, edges and grain."""
    rng = np.random.default_rng(5)
    rough = Image.fromarray(rng.integers(0, 256, (48, 65, 3), dtype=np.uint8))
    pixels = np.asarray(rough.resize((2600, 1900), Image.Resampling.BICUBIC)).astype(int)
    grain = rng.integers(-20, 21, pixels.shape)
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def test_a_large_photograph_has_the_embedding_of_the_original_package_and_transform(tmp_path: Path) -> None:
    """The whole way by others' code: Pillow, torchvision, and the network of the package."""
    original = pytest.importorskip("efficientnet_lite_pytorch")
    path = large_photograph(tmp_path / "large.jpg")
    encoder = load_encoder("efficientnet_lite0")
    network = original.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(encoder.weights.path, weights_only=True))
    transform = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    with torch.no_grad():
        x = transform(Image.open(path).convert("RGB"))[None]
        expected = network.eval().extract_features(x).mean((2, 3)).numpy()
    assert np.abs(encoder.embed(path) - expected).max() < 1e-5
    approximate = np.abs(load_encoder("efficientnet_lite0", decode="exact").embed(path) - expected).max()
    assert 1e-5 < approximate < 5e-2


def test_a_device_that_is_not_there_is_refused_in_plain_words() -> None:
    for device in ("banana", "cuda:97"):
        with pytest.raises(BenchError, match="There is no"):
            load_encoder("efficientnet_lite0", device=device)


def test_a_timm_model_from_its_own_file_equals_timm(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = timm.create_model("resnet18", pretrained=False).eval()
    (tmp_path / "resnet18").mkdir()
    save_file(model.state_dict(), tmp_path / "resnet18" / "model.safetensors")
    encoder = load_encoder("timm/resnet18", tmp_path / "resnet18" / "model.safetensors")
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = model.global_pool(model.forward_features(x))
        assert torch.equal(encoder.module(x), expected)
    assert encoder.weights.status == "unknown"


def test_the_shipped_timm_cards_are_what_timm_says() -> None:
    import json
    from importlib.resources import files

    from benchbench_encoders.timm_cards import _ask

    shipped = json.loads(files("benchbench_encoders").joinpath("timm_cards.json").read_text())
    assert shipped
    for model, card in shipped.items():
        assert _ask(model) == card, model


def test_unknown_and_unsuitable_timm_models_are_refused_with_a_hint() -> None:
    from benchbench.errors import PluginError
    from benchbench.plugins import registry

    with pytest.raises(PluginError, match="resnet18"):
        registry().encoder("untrained/resnet_18")
    with pytest.raises(PluginError, match="no pretrained weights"):
        registry().encoder("timm/vit_base_patch16_18x2_224")
