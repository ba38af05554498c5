"""Encoders whose trained weights are installed: equal to the packages they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench import load_encoder


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
