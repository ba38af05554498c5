"""Every encoder loads its official container and gives the official feature, computed here by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import by_hand as hand
import numpy as np
import pytest
import torch
from by_hand import State, final_norm, norm, rand, tokens
from torch.nn import functional as F

from benchbench.errors import WeightsError
from benchbench.plugins import registry

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """A container in official form, and the feature by hand."""

    save: Callable[[Path], State]
    """Writes the file and returns the tensors that the encoder uses, under official names."""
    feature: Callable[[State, torch.Tensor], torch.Tensor]
    build: dict[str, object] | None = None
    file: str = "checkpoint.pth"


def small(name: str, extra: dict[str, object] | None = None) -> Callable[[Path], torch.nn.Module]:
    """The plugin's own loader on the plugin's own architecture, made narrow and shallow."""
    recipe = registry().encoder(name).load.__self__  # type: ignore[attr-defined]
    size = extra if extra is not None else hand.SMALL
    return lambda path: replace(recipe, build={**recipe.build, **size}).load(path, "cpu")


def batch(name: str) -> torch.Tensor:
    side = registry().encoder(name).preprocess.size
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------- containers


def mae_container(path: Path, extra: State | None = None) -> State:
    state = hand.encoder_state(16, 197)
    hand.save_training_container(path, {**state, **hand.decoder_state(), **(extra or {})})
    return state


def urfound_container(path: Path) -> State:
    text = {
        "bert_encoder.model.embeddings.weight": rand(5, 8),
        "bert_mlp.weight": rand(3, 3),
        "bert_mlp.bias": rand(3),
    }
    return mae_container(path, text)


def encoder_only(path: Path) -> State:
    state = hand.encoder_state(16, 197)
    torch.save({"model": state}, path)
    return state


def retfound_dinov2_container(path: Path) -> State:
    state = hand.encoder_state(14, 1 + 37 * 37, layer_scale=True)
    heads = {"dino_head.mlp.0.weight": rand(4, 4), "ibot_head.last_layer.weight": rand(4, 4)}
    teacher = {f"backbone.{k}": v for k, v in {**state, "mask_token": rand(1, hand.WIDTH)}.items()}
    torch.save({"teacher": {**teacher, **heads}}, path)
    return state


def dinov2_container(path: Path) -> State:
    state = hand.encoder_state(14, 1 + 37 * 37, layer_scale=True)
    torch.save({**state, "mask_token": rand(1, hand.WIDTH)}, path)
    return state


def dinov2_register_container(path: Path) -> State:
    state = hand.encoder_state(14, 1 + 37 * 37, layer_scale=True) | {
        "register_tokens": rand(1, 4, hand.WIDTH, scale=1)
    }
    torch.save({**state, "mask_token": rand(1, hand.WIDTH)}, path)
    return state


def green_container(path: Path) -> State:
    """timm's names; here by hand the class token has no position and the registers another name."""
    state = hand.encoder_state(14, 784, layer_scale=True)
    registers = rand(1, 4, hand.WIDTH, scale=1)
    torch.save({**state, "reg_token": registers}, path)
    no_position = torch.zeros(1, 1, hand.WIDTH)
    return state | {
        "register_tokens": registers,
        "pos_embed": torch.cat([no_position, state["pos_embed"]], 1),
    }


def dino_container(path: Path) -> State:
    state = hand.encoder_state(16, 197)
    torch.save(state, path)
    return state


def moco_container(path: Path) -> State:
    state = hand.encoder_state(16, 197)
    other = hand.encoder_state(16, 197)
    heads = {"head.0.weight": rand(4, 4), "head.1.running_mean": rand(4)}
    content = {f"module.base_encoder.{k}": v for k, v in {**state, **heads}.items()}
    content |= {f"module.momentum_encoder.{k}": v for k, v in {**other, **heads}.items()}
    content |= {"module.predictor.0.weight": rand(4, 4)}
    torch.save({"epoch": 300, "arch": "vit_base", "state_dict": content, "optimizer": {}, "scaler": {}}, path)
    return state


def visionfm_container(path: Path) -> State:
    state = hand.encoder_state(16, 197)
    teacher = {f"module.backbone.{k}": v for k, v in state.items()} | {
        "module.head.last_layer.weight": rand(3, 3)
    }
    student = {k: v + 1 for k, v in teacher.items()} | {"module.backbone.masked_embed": rand(1, hand.WIDTH)}
    torch.save({"student": student, "teacher": teacher, "epoch": 3}, path)
    return state


def jax_archive(path: Path) -> State:
    state = hand.encoder_state(16, 197)
    w, h = hand.WIDTH, hand.HEADS
    arrays = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": rand(w, 5),
        "head/bias": rand(5),
    }
    for i in range(hand.DEPTH):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        for n, jax in ((1, "LayerNorm_0"), (2, "LayerNorm_2")):
            arrays[f"{theirs}{jax}/scale"] = state[f"{ours}norm{n}.weight"]
            arrays[f"{theirs}{jax}/bias"] = state[f"{ours}norm{n}.bias"]
        attention = f"{theirs}MultiHeadDotProductAttention_1/"
        parts = zip(
            ("query", "key", "value"),
            state[ours + "attn.qkv.weight"].chunk(3),
            state[ours + "attn.qkv.bias"].chunk(3),
            strict=True,
        )
        for part, weight, bias in parts:
            arrays[f"{attention}{part}/kernel"] = weight.T.reshape(w, h, w // h)
            arrays[f"{attention}{part}/bias"] = bias.reshape(h, w // h)
        arrays[f"{attention}out/kernel"] = state[ours + "attn.proj.weight"].T.reshape(h, w // h, w)
        arrays[f"{attention}out/bias"] = state[ours + "attn.proj.bias"]
        for n in (0, 1):
            arrays[f"{theirs}MlpBlock_3/Dense_{n}/kernel"] = state[f"{ours}mlp.fc{n + 1}.weight"].T
            arrays[f"{theirs}MlpBlock_3/Dense_{n}/bias"] = state[f"{ours}mlp.fc{n + 1}.bias"]
    np.savez(path, **{k: v.numpy() for k, v in arrays.items()})
    return state


# ------------------------------------------------------------------------------------------- features


def retfound_feature(s: State, x: torch.Tensor) -> torch.Tensor:
    return norm(tokens(s, x)[-1][:, 1:].mean(1))


def cls_feature(s: State, x: torch.Tensor) -> torch.Tensor:
    return final_norm(s, tokens(s, x)[-1])[:, 0]


def cls_and_mean(s: State, x: torch.Tensor) -> torch.Tensor:
    t = final_norm(s, tokens(s, x)[-1])
    return torch.cat([t[:, 0], t[:, 1:].mean(1)], 1)


def dinov2_tokens(s: State, x: torch.Tensor, **how: object) -> torch.Tensor:
    side = x.shape[-1] // 14
    return final_norm(s, tokens(s, x, hand.resized(s["pos_embed"], 1, side, **how))[-1])


def meta_tokens(s: State, x: torch.Tensor) -> torch.Tensor:
    scale = (x.shape[-1] // 14 + 0.1) / 37
    return dinov2_tokens(s, x, scale_factor=(scale, scale))


def register_tokens(s: State, x: torch.Tensor) -> torch.Tensor:
    side = x.shape[-1] // 14
    return dinov2_tokens(s, x, size=(side, side), antialias=True)


def last_four(s: State, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([final_norm(s, t)[:, 0] for t in tokens(s, x)[-4:]], 1)


def both(t: torch.Tensor, prefix: int) -> torch.Tensor:
    return torch.cat([t[:, 0], t[:, prefix:].mean(1)], 1)


MAE = Case(mae_container, retfound_feature)
MAE_CLS = Case(mae_container, cls_feature)
RETFOUND_DINOV2 = Case(retfound_dinov2_container, lambda s, x: dinov2_tokens(s, x)[:, 0])
REGISTERS = Case(dinov2_register_container, lambda s, x: register_tokens(s, x)[:, 0])
GREEN_CONTROL = Case(dinov2_register_container, lambda s, x: register_tokens(s, x).mean(1))

VISION_TRANSFORMERS: dict[str, Case] = {
    **{f"retfound_mae_{n}": MAE for n in ("cfp", "oct", "meh", "shanghai")},
    "retfound_mae_cfp:nb2024": MAE,
    "retfound_mae_cfp:nb2025": MAE,
    **{f"retfound_mae_{n}:cls_token": MAE_CLS for n in ("cfp", "oct", "meh", "shanghai")},
    "retfound_dinov2_meh": RETFOUND_DINOV2,
    "retfound_dinov2_shanghai": RETFOUND_DINOV2,
    "deretfound": MAE,
    "deretfound:cls_token": MAE_CLS,
    "retfound_green": Case(green_container, lambda s, x: final_norm(s, tokens(s, x)[-1])[:, 5:].mean(1)),
    "retfound_green:all_tokens": Case(green_container, lambda s, x: final_norm(s, tokens(s, x)[-1]).mean(1)),
    "mae_imagenet": Case(encoder_only, retfound_feature),
    "mae_imagenet:cls_token": Case(encoder_only, cls_feature),
    "mae_vitb16": Case(encoder_only, cls_feature),
    "mae_vitb16:patch_mean": Case(encoder_only, retfound_feature),
    "dino_vitb16": Case(dino_container, cls_feature),
    "dino_vitb16:cls_and_patch_mean": Case(dino_container, cls_and_mean),
    "mocov3_vitb16": Case(moco_container, cls_feature, file="checkpoint.pth.tar"),
    "dinov2_vitl14": Case(dinov2_container, lambda s, x: meta_tokens(s, x)[:, 0]),
    "dinov2_vitl14:cls_and_patch_mean": Case(dinov2_container, lambda s, x: both(meta_tokens(s, x), 1)),
    "dinov2_vits14_reg4": REGISTERS,
    "dinov2_vits14_reg4:cls_and_patch_mean": Case(
        dinov2_register_container, lambda s, x: both(register_tokens(s, x), 5)
    ),
    "dinov2_vits14_reg4:green_392": GREEN_CONTROL,
    "dinov2_vits14_reg4:green_224": GREEN_CONTROL,
    "vit_l16_in21k": Case(jax_archive, cls_feature, file="archive.npz"),
    "urfound": Case(urfound_container, retfound_feature),
    "urfound:cls_token": Case(urfound_container, cls_feature),
    "visionfm_cfp": Case(visionfm_container, last_four),
    "visionfm_oct": Case(visionfm_container, last_four),
    "visionfm_cfp:cls_token": Case(visionfm_container, cls_feature),
}


@pytest.mark.parametrize("name", VISION_TRANSFORMERS)
def test_vision_transformer_gives_the_official_feature(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    case = VISION_TRANSFORMERS[name]
    state = case.save(tmp_path / case.file)
    module = small(name)(tmp_path / case.file)
    x = batch(name)
    with torch.no_grad():
        got, expected = module(x), case.feature(state, x)
    assert got.shape == expected.shape
    assert not module.training
    assert (got - expected).abs().max() < TOLERANCE * max(1.0, float(expected.abs().max()))


def resnet_state() -> State:
    """A torchvision ResNet50 with every tensor random."""
    from torchvision.models import resnet50

    state = resnet50(weights=None).state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
        elif tensor.ndim == 1:
            tensor.uniform_(0.2, 0.5)
    return state


def resnet_feature(state: State, x: torch.Tensor) -> torch.Tensor:
    """torchvision's own network without its classifier."""
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.load_state_dict(state)
    network.fc = torch.nn.Identity()
    return network.eval()(x)


def _resnet(save: Callable[[State, Path], None]) -> Callable[[Path], State]:
    def write(path: Path) -> State:
        state = resnet_state()
        save(state, path)
        return state

    return write


def _body(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items() if not k.startswith("fc.")}


def _save_simclr(state: State, path: Path) -> None:
    model = {"trunk": _body(state, "_feature_blocks."), "heads": {"0.clf.0.weight": rand(3, 3)}}
    torch.save({"phase_idx": 999, "classy_state_dict": {"base_model": {"model": model}, "optim": {}}}, path)


def _save_swav(state: State, path: Path) -> None:
    head = {"module.projection_head.0.weight": rand(3, 3), "module.prototypes.weight": rand(3, 3)}
    torch.save({**_body(state, "module."), **head}, path)


def _save_flair(state: State, path: Path) -> None:
    from safetensors.torch import save_file

    other = {
        "text_model.model.embeddings.word_embeddings.weight": rand(4, 4),
        "vision_model.projection_head_vision.projection.weight": rand(4, 4),
        "logit_scale": rand(1),
    }
    save_file({**_body(state, "vision_model.model."), **other}, path)


RESNETS = {
    "resnet50": (torch.save, "resnet50-0676ba61.pth"),
    "simclr_resnet50": (_save_simclr, "model_final_checkpoint_phase999.torch"),
    "swav_resnet50": (_save_swav, "swav_800ep_pretrain.pth.tar"),
    "flair": (_save_flair, "model.safetensors"),
}


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_gives_torchvisions_pooled_feature(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save, file = RESNETS[name]
    state = _resnet(save)(tmp_path / file)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        got = registry().encoder(name).load(tmp_path / file, "cpu")(x)
        expected = resnet_feature(state, x)
    assert got.shape == (2, 2048)
    assert (got - expected).abs().max() < TOLERANCE * max(1.0, float(expected.abs().max()))


def test_every_encoder_and_own_loader_is_covered_above() -> None:
    covered = {*VISION_TRANSFORMERS, *RESNETS, "efficientnet_lite0", "efficientnet_lite2"}
    for info in registry().encoders.values():
        if not getattr(info.load, "__module__", "").startswith("benchbench_encoders"):
            continue  # somebody else's plugin in this environment
        assert info.name in covered
        for variant in info.variants:
            if variant.load is not None:
                full = f"{info.name}:{variant.name}"
                assert full in covered or full.replace("_oct:", "_cfp:") in covered, full


# ------------------------------------------------------------------------------------------- mistakes


def _mistakes(s: State, x: torch.Tensor) -> dict[str, torch.Tensor]:
    last = tokens(s, x)[-1]
    return {
        "norm's affine parameters in place of none": final_norm(s, last[:, 1:].mean(1)),
        "norm before the mean": final_norm(s, last)[:, 1:].mean(1),
        "class token in the mean": norm(last.mean(1)),
        "no norm": last[:, 1:].mean(1),
        "class token alone": final_norm(s, last)[:, 0],
    }


def test_each_pooling_mistake_on_retfound_is_far_outside_the_tolerance(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = mae_container(tmp_path / "c.pth")
    module, x = small("retfound_mae_cfp")(tmp_path / "c.pth"), batch("retfound_mae_cfp")
    with torch.no_grad():
        got = module(x)
        for mistake, value in _mistakes(state, x).items():
            assert (got - value).abs().max() > 100 * TOLERANCE, mistake


def test_each_pooling_mistake_on_green_is_far_outside_the_tolerance(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = green_container(tmp_path / "c.pth")
    module, x = small("retfound_green")(tmp_path / "c.pth"), batch("retfound_green")
    with torch.no_grad():
        got = module(x)
        last = tokens(state, x)[-1]
        mistakes = {
            "mean, then a norm without training (timm's avg)": norm(last[:, 5:].mean(1)),
            "mean of all tokens": final_norm(state, last).mean(1),
            "registers in the mean": final_norm(state, last)[:, 1:].mean(1),
            "class token": final_norm(state, last)[:, 0],
        }
        for mistake, value in mistakes.items():
            assert (got - value).abs().max() > 100 * TOLERANCE, mistake


def test_other_position_resizing_and_patch_mean_on_dinov2_are_outside_the_tolerance(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = retfound_dinov2_container(tmp_path / "c.pth")
    module, x = small("retfound_dinov2_meh")(tmp_path / "c.pth"), batch("retfound_dinov2_meh")
    with torch.no_grad():
        got = module(x)
        mistakes = {
            "antialiased positions": register_tokens(state, x)[:, 0],
            "scale factor with offset": meta_tokens(state, x)[:, 0],
            "patch mean": dinov2_tokens(state, x)[:, 1:].mean(1),
        }
        for mistake, value in mistakes.items():
            assert (got - value).abs().max() > 100 * TOLERANCE, mistake


# ------------------------------------------------------------------------------------------- fine-tuned, re-hosted


def test_a_fine_tuned_retfound_gives_the_logits_of_the_code_of_2023(tmp_path: Path) -> None:
    """fc_norm once, then the head; the code of 2025 applies fc_norm twice and lands elsewhere."""
    torch.manual_seed(0)
    state = hand.encoder_state(16, 197)
    del state["norm.weight"], state["norm.bias"]
    state |= {"fc_norm.weight": rand(64, shift=1), "fc_norm.bias": rand(64)}
    state |= {"head.weight": rand(5, 64), "head.bias": rand(5)}
    hand.save_training_container(tmp_path / "checkpoint-best.pth", state)
    module, x = small("retfound_mae_cfp")(tmp_path / "checkpoint-best.pth"), batch("retfound_mae_cfp")
    with torch.no_grad():
        once = norm(tokens(state, x)[-1][:, 1:].mean(1), state["fc_norm.weight"], state["fc_norm.bias"])
        twice = norm(once, state["fc_norm.weight"], state["fc_norm.bias"])
        features = module(x)
        logits = F.linear(features, *module.classification_head)
    assert (features - once).abs().max() < TOLERANCE
    assert (logits - F.linear(once, state["head.weight"], state["head.bias"])).abs().max() < 10 * TOLERANCE
    assert (logits - F.linear(twice, state["head.weight"], state["head.bias"])).abs().max() > 0.01


@pytest.mark.parametrize(
    ("patch_mean", "class_token"),
    [
        ("retfound_mae_cfp", "retfound_mae_cfp:cls_token"),
        ("deretfound", "deretfound:cls_token"),
        ("mae_vitb16:patch_mean", "mae_vitb16"),
    ],
)
def test_a_checkpoint_fine_tuned_on_the_class_token_is_sent_to_the_encoder_that_takes_it(
    patch_mean: str, class_token: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    state = hand.encoder_state(16, 197) | {"head.weight": rand(5, 64), "head.bias": rand(5)}
    hand.save_training_container(tmp_path / "checkpoint-best.pth", state)
    with pytest.raises(WeightsError, match=f"load it as {class_token}$"):
        small(patch_mean)(tmp_path / "checkpoint-best.pth")
    module, x = small(class_token)(tmp_path / "checkpoint-best.pth"), batch(class_token)
    with torch.no_grad():
        logits = F.linear(module(x), *module.classification_head)
    expected = F.linear(cls_feature(state, x), state["head.weight"], state["head.bias"])
    assert (logits - expected).abs().max() < 10 * TOLERANCE


@pytest.mark.parametrize(
    "form",
    ["safetensors", "state_dict", "module", "backbone", "lightning", "safetensors.bin", "double precision"],
)
def test_rehosted_forms_of_retfound_give_the_same_feature(form: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = mae_container(tmp_path / "official.pth")
    expected = small("retfound_mae_cfp")(tmp_path / "official.pth")(batch("retfound_mae_cfp"))
    path = tmp_path / {"safetensors": "copy.safetensors", "safetensors.bin": "copy.bin"}.get(form, "copy.pth")
    if form.startswith("safetensors"):
        save_file(state, path)
    elif form == "lightning":
        names = {f"model.{k}": v for k, v in state.items()}
        torch.save({"state_dict": names, "pytorch-lightning_version": "2.4.0", "epoch": 3}, path)
    elif form == "double precision":
        torch.save({k: v.double() for k, v in state.items()}, path)
    elif form == "state_dict":
        torch.save({"state_dict": {f"backbone.{k}": v for k, v in state.items()}}, path)
    else:
        torch.save({f"{form}.{k}": v for k, v in state.items()}, path)
    got = small("retfound_mae_cfp")(path)
    assert next(got.parameters()).dtype == torch.float32
    assert torch.equal(got(batch("retfound_mae_cfp")), expected)


# ------------------------------------------------------------------------------------------- refusals


def test_a_checkpoint_of_another_width_is_refused_with_both_shapes(tmp_path: Path) -> None:
    mae_container(tmp_path / "c.pth")
    with pytest.raises(WeightsError) as caught:
        small("retfound_mae_cfp", {"embed_dim": 32, "num_heads": 4, "depth": 4})(tmp_path / "c.pth")
    text = str(caught.value)
    assert "(1, 1, 32)" in text
    assert "(1, 1, 64)" in text
    assert "bench weights how-to retfound_mae_cfp" in text


@pytest.mark.parametrize(
    "name", ["retfound_green", "retfound_dinov2_meh", "mocov3_vitb16", "vit_l16_in21k", "flair"]
)
def test_the_checkpoint_of_another_encoder_is_refused(name: str, tmp_path: Path) -> None:
    mae_container(tmp_path / "retfound.pth", {"unknown.weight": rand(3)})
    loader = small(name) if name != "flair" else lambda p: registry().encoder(name).load(p, "cpu")
    with pytest.raises(WeightsError, match="not a checkpoint of"):
        loader(tmp_path / "retfound.pth")


def test_one_missing_and_one_unexpected_tensor_are_both_named(tmp_path: Path) -> None:
    state = hand.encoder_state(16, 197)
    state["blocks.1.attn.extra.weight"] = state.pop("blocks.1.attn.proj.weight")
    hand.save_training_container(tmp_path / "c.pth", state)
    with pytest.raises(WeightsError) as caught:
        small("retfound_mae_cfp")(tmp_path / "c.pth")
    assert "1 missing: blocks.1.attn.proj.weight" in str(caught.value)
    assert "1 unexpected: blocks.1.attn.extra.weight" in str(caught.value)


# ------------------------------------------------------------------------------------------- without weights, full size


def test_random_weights_are_the_same_on_every_load_and_leave_the_random_state_alone() -> None:
    recipe = registry().encoder("retfound_green").load.__self__  # type: ignore[attr-defined]
    recipe = replace(recipe, build={**recipe.build, **hand.SMALL})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = recipe.load(None, "cpu").state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    two = recipe.load(None, "cpu").state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.slow
def test_a_full_size_retfound_container_loads_and_has_the_declared_parameters(tmp_path: Path) -> None:
    import timm

    info = registry().encoder("retfound_mae_cfp")
    with torch.device("meta"):
        model = timm.create_model("vit_large_patch16_224", num_classes=0)
    state = {k: rand(*v.shape, scale=0.02, shift=float(v.ndim == 1)) for k, v in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    hand.save_training_container(tmp_path / "RETFound_mae_natureCFP.pth", state)
    x = batch("retfound_mae_cfp")[:1]
    with torch.no_grad():
        layers = model.eval().forward_intermediates(x, norm=False, intermediates_only=True, output_fmt="NLC")
        expected = norm(layers[-1].mean(1))
        del model, layers, state
        module = info.load(tmp_path / "RETFound_mae_natureCFP.pth", "cpu")
        got = module(x)
    assert sum(p.numel() for p in module.parameters()) == info.parameters == 303_301_632
    assert (got - expected).abs().max() < TOLERANCE
