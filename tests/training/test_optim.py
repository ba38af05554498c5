"""Parameter groups, layer scales and schedule against the numbers of the official RETFound recipe."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from benchbench_protocols.fine_tune import PRESETS, FineTuneConfig

from benchbench.api import Task
from benchbench.errors import CellError
from benchbench.testing.fakes import fake_encoder
from benchbench.training.model import build_classifier, layer_of
from benchbench.training.optim import build_optimizer, build_schedule
from benchbench.training.recipe import Recipe

TASK = Task("grade", "Grade", "ordinal", tuple("01234"), column="grade")


def small(name: str, **settings):
    import timm

    return timm.create_model(name, num_classes=0, **settings)


def vit(depth=24):
    """RETFound's layer structure (24 blocks, mean of patch tokens, fc_norm) at a thousandth of the width."""
    return small(
        "vit_tiny_patch16_224",
        img_size=32,
        embed_dim=12,
        num_heads=3,
        depth=depth,
        global_pool="avg",
    )


def classifier(recipe, backbone=None, encoder=None):
    return build_classifier(encoder or fake_encoder(embed_dim=12), backbone or vit(), TASK, recipe, seed=0)


def official_layer(name: str, depth: int) -> int:
    """The layer of a parameter in the MAE family of fine-tune code: 0 for tokens and patches, head and norm last."""
    if name in ("cls_token", "pos_embed") or name.startswith("patch_embed"):
        return 0
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return depth + 1


def by_name(model, optimizer):
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)]: g for g in optimizer.param_groups for p in g["params"]}


@pytest.mark.parametrize("preset", ["retfound_2023", "retfound_2025", "deretfound"])
def test_layer_scales_and_weight_decay_are_the_official_ones(preset):
    recipe = FineTuneConfig(**PRESETS[preset])
    model = classifier(recipe)
    found = by_name(model, build_optimizer(model, recipe, "cpu"))
    assert len(found) == sum(1 for _ in model.parameters())
    for name, parameter in model.named_parameters():
        bare = name.removeprefix("backbone.")
        assert found[name]["lr_scale"] == pytest.approx(0.65 ** (25 - official_layer(bare, 24)), rel=1e-12), (
            name
        )
        exempt = parameter.ndim == 1 or bare in ("cls_token", "pos_embed")
        assert found[name]["weight_decay"] == (0.0 if exempt else 0.05), name


@pytest.mark.parametrize(
    ("preset", "batch"), [("retfound_2023", 16), ("retfound_2025", 24), ("deretfound", 32)]
)
def test_the_learning_rate_of_each_step_is_the_official_one(preset, batch):
    recipe = FineTuneConfig(**PRESETS[preset])
    assert recipe.batch_size == batch
    model = classifier(recipe)
    optimizer = build_optimizer(model, recipe, "cpu")
    per_epoch = 128
    schedule = build_schedule(optimizer, recipe, per_epoch)
    groups = by_name(model, optimizer)
    peak = 5e-3 * batch / 256
    for step in (0, 1, 127, 640, 1279, 1280, 1281, 3000, 5000, 50 * per_epoch - 1):
        epoch = step / per_epoch
        if epoch < 10:
            lr = peak * epoch / 10
        else:
            lr = 1e-6 + (peak - 1e-6) * 0.5 * (1 + math.cos(math.pi * (epoch - 10) / (50 - 10)))
        schedule.step_update(step)
        assert groups["head.weight"]["lr"] == pytest.approx(lr, rel=1e-9, abs=1e-15), step
        assert groups["backbone.blocks.3.mlp.fc1.weight"]["lr"] == pytest.approx(
            lr * 0.65**21, rel=1e-9, abs=1e-18
        )


def test_the_final_norm_of_a_token_pooled_transformer_is_in_the_layer_of_the_head():
    backbone = small("vit_tiny_patch16_224", img_size=32, embed_dim=12, num_heads=3, depth=3)
    layers = layer_of(fake_encoder(embed_dim=12), backbone)
    assert layers["norm.weight"] > layers["blocks.2.mlp.fc2.bias"] == 3


def test_an_encoders_own_layer_groups_decide_where_it_gives_them():
    backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(12))
    backbone(torch.zeros(1, 3, 8, 8))
    encoder = dataclasses.replace(
        fake_encoder(embed_dim=12), layer_groups=lambda m: (("0.weight", "0.bias"), ("2.weight", "2.bias"))
    )
    recipe = Recipe(layer_decay=0.5)
    model = classifier(recipe, backbone, encoder)
    found = by_name(model, build_optimizer(model, recipe, "cpu"))
    assert [found[n]["lr_scale"] for n in ("backbone.0.bias", "backbone.2.bias", "head.bias")] == [
        0.25,
        0.5,
        1.0,
    ]


def test_an_encoder_of_unknown_depth_is_refused_with_the_way_out():
    backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 12))
    with pytest.raises(CellError, match="layer_decay: null"):
        classifier(Recipe(), backbone)
    classifier(Recipe(layer_decay=None), backbone)


def test_a_wrapped_timm_model_keeps_its_grouping_and_its_exemptions():
    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = vit(depth=4)

        def forward(self, x):
            return self.model(x)

    recipe = Recipe(layer_decay=0.5)
    model = classifier(recipe, Wrapped())
    found = by_name(model, build_optimizer(model, recipe, "cpu"))
    assert found["backbone.model.pos_embed"]["lr_scale"] == 0.5**5
    assert found["backbone.model.pos_embed"]["weight_decay"] == 0.0
    assert found["backbone.model.blocks.3.attn.qkv.weight"]["lr_scale"] == 0.5


def test_drop_path_grows_linearly_to_the_last_block_as_timm_builds_it():
    from timm.layers import DropPath

    ours = [m.drop_prob for m in classifier(Recipe(drop_path=0.2)).modules() if isinstance(m, DropPath)]
    reference = small(
        "vit_tiny_patch16_224", img_size=32, embed_dim=12, num_heads=3, depth=24, drop_path_rate=0.2
    )
    theirs = [m.drop_prob for m in reference.modules() if isinstance(m, DropPath)]
    assert ours == pytest.approx(theirs)
    assert len(ours) == 46


def test_drop_path_works_on_convolutional_networks():
    for name in ("resnet18", "tf_efficientnet_lite0"):
        model = small(name)
        from benchbench.training.model import set_drop_path

        set_drop_path(model, 0.2)
        assert model.train()(torch.zeros(2, 3, 32, 32)).shape[0] == 2


def test_the_head_begins_as_in_the_official_code():
    model = classifier(FineTuneConfig(**PRESETS["retfound_2023"]))
    assert model.head.bias.abs().max() == 0
    assert 0.5e-5 < model.head.weight.std() < 4e-5


def test_an_accumulation_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="divisor"):
        Recipe(batch_size=16, accumulate=3)
