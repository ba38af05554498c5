"""The conformance kit passes what keeps the contract and finds each broken promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchbench import DeclaredCompute, EncoderInfo, EncoderVariant, Preprocess, PretrainingSet, WeightsSource
from benchbench.checkpoints import fit, tensors
from benchbench.errors import WeightsError
from benchbench.testing import assert_conforms, check
from benchbench.testing.conformance import _run
from benchbench.testing.encoders import check_encoder

NAMES = ["efficientnet_lite0", "untrained/resnet18", "linear_probe"]


@pytest.mark.parametrize("name", NAMES)
def test_first_party_plugins_pass(name: str) -> None:
    assert_conforms(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retfound_green", "dinov2_vits14_reg4", "resnet50", "idrid"])
def test_larger_first_party_plugins_pass(name: str) -> None:
    assert_conforms(name)


class Network(torch.nn.Module):
    """A sound little network, and ways to spoil it."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.layer = torch.nn.Linear(48, 6)
        self.norm = torch.nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norm(self.layer(torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)))
        if self.fault == "random":
            z = z + torch.randn_like(z)
        if self.fault == "constant":
            z = z * 0 + 1
        if self.fault == "not finite":
            z = z / 0
        return z.double() if self.fault == "double" else z


PARAMETERS = sum(p.numel() for p in Network().parameters())


def loaded(path: Path, fault: str) -> torch.nn.Module:
    """The network with a checkpoint in it, or what a careless loader makes of it."""
    torch.manual_seed(0)
    network = Network()
    state = tensors(path)
    if fault == "strict is false":
        if not state.keys() & network.state_dict().keys():
            raise WeightsError("nothing fits")
        network.load_state_dict(state, strict=False)
    elif fault == "ignores the numbers":
        if state.keys() != network.state_dict().keys():
            raise WeightsError("other names")
    elif fault == "takes only its own names":
        fit(
            network,
            {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")},
            path,
            "card",
        )
    else:
        fit(network, state, path, "card")
    return network.eval()


def card(fault: str) -> EncoderInfo:
    def load(path: Any, device: str) -> torch.nn.Module:
        if path is not None and fault != "loads anything":
            if fault == "raises KeyError":
                raise KeyError("layer.weight")
            return loaded(path, fault)
        with torch.random.fork_rng():
            if fault != "unseeded":
                torch.manual_seed(0)
            else:
                torch.seed()
            network = Network(fault)
        return network.train() if fault == "training mode" else network.eval()

    names = tuple(n for n, _ in Network().named_parameters())
    return EncoderInfo(
        name="card",
        title="" if fault == "no title" else "Card",
        architecture="linear",
        embed_dim=7 if fault == "wrong width" else 6,
        preprocess=Preprocess("eval", 16, resize="squash", source="here"),
        pooling="grid",
        load=load,
        weights=WeightsSource("card.pth", "Apache-2.0", "make it"),
        licence="Apache-2.0",
        citation="@misc{a}",
        parameters=5 if fault == "wrong parameters" else PARAMETERS,
        layer_groups=lambda module: (names[1:],) if fault == "groups" else (names,),
    )


def broken(info: EncoderInfo, weights: Path | None = None) -> str:
    return " | ".join(f"{f.check}: {f.detail}" for f in check_encoder(info, weights, _run) if not f.passed)


def test_a_sound_encoder_has_no_finding() -> None:
    assert broken(card("")) == ""


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("no title", "`title` is empty"),
        ("wrong width", "declares (3, 7)"),
        ("wrong parameters", "declares 5 parameters"),
        ("constant", "different images give the same embedding"),
        ("strict is false", "a checkpoint without layer.weight is loaded without an error"),
        ("ignores the numbers", "other numbers in layer.weight give the same embeddings"),
        ("random", "other embeddings the second time"),
        ("unseeded", "loading again gives other embeddings"),
        ("not finite", "not finite"),
        ("double", "not float32"),
        ("training mode", "call .eval()"),
        ("groups", "in no group"),
        ("loads anything", "is loaded without an error"),
        ("raises KeyError", "raises KeyError, not WeightsError"),
    ],
)
def test_each_broken_promise_is_found(fault: str, finding: str) -> None:
    assert finding in broken(card(fault))


@pytest.fixture(params=["file.pth", "file.safetensors", "wrapped.pth"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(9)
    state, path = Network().state_dict(), tmp_path / request.param
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        optimiser = {"moment": torch.zeros_like(state["layer.weight"])}
        torch.save(
            {"state_dict": state, "optimizer": optimiser} if "wrapped" in request.param else state, path
        )
    return path


def test_a_sound_encoder_with_its_checkpoint_has_no_finding(checkpoint: Path) -> None:
    assert broken(card(""), checkpoint) == ""


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("strict is false", "a checkpoint without layer.weight is loaded without an error"),
        ("ignores the numbers", "embeddings are those of random weights"),
    ],
)
def test_what_a_loader_does_to_its_own_checkpoint_is_found(
    fault: str, finding: str, checkpoint: Path
) -> None:
    assert finding in broken(card(fault), checkpoint)


def test_a_loader_of_other_names_than_the_modules_is_checked_by_its_checkpoint(tmp_path: Path) -> None:
    assert broken(card("takes only its own names")) == ""
    torch.manual_seed(9)
    path = tmp_path / "file.pth"
    torch.save({f"net.{k}": v for k, v in Network().state_dict().items()}, path)
    assert broken(card("takes only its own names"), path) == ""


WEIGHTS = WeightsSource("card.pth", "Apache-2.0", "make it")
RECIPE = Preprocess("eval", 16, resize="squash", source="here")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"parameters": None}, "`parameters` is not given"),
        ({"citation": "Smith 2020"}, "BibTeX"),
        ({"modalities": ("xray",)}, "`modalities` are ('xray',)"),
        ({"modalities": ()}, "`modalities` are ()"),
        ({"compute": DeclaredCompute(5.0, "GPU", "")}, "declared compute has no source"),
        ({"compute": DeclaredCompute(-5.0, "GPU", "here")}, "-5.0 GPU-days"),
        ({"pretraining": (PretrainingSet("a", -3, "here"),)}, "'a' has -3 images"),
        ({"pretraining": (PretrainingSet("a", 3, ""),)}, "'a' has no source"),
        ({"weights": replace(WEIGHTS, sha256="a" * 64)}, "where the sha256 and the size were seen"),
        ({"weights": replace(WEIGHTS, sha256="XYZ", source="here")}, "is 'XYZ', not 64"),
        ({"weights": replace(WEIGHTS, size_bytes=-1, source="here")}, "-1 bytes"),
        ({"preprocess": replace(RECIPE, resize="stretch")}, "`preprocess.resize` is 'stretch'"),
        ({"preprocess": replace(RECIPE, interpolation="cubic")}, "`preprocess.interpolation` is 'cubic'"),
        ({"preprocess": replace(RECIPE, resize="short_side", resize_to=8)}, "less than the crop of 16"),
        ({"preprocess": replace(RECIPE, std=(0.0, 1.0, 1.0))}, "above zero"),
        ({"preprocess": replace(RECIPE, source="")}, "`preprocess.source`"),
        (
            {"variants": (EncoderVariant("wide", "wide", embed_dim=7),)},
            "variant wide is complete: three images",
        ),
        ({"variants": (EncoderVariant("bad", "bad", load=lambda p, d: 1 / 0),)}, "ZeroDivisionError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_impossible_entry_of_a_card_is_found(change: dict[str, Any], finding: str) -> None:
    assert finding in broken(replace(card(""), **change))


def test_an_exception_while_loading_is_a_finding() -> None:
    def load(path: Any, device: str) -> Any:
        raise RuntimeError("no such layer")

    assert "RuntimeError: no such layer" in broken(replace(card(""), load=load))


def test_a_protocol_that_takes_unknown_settings_is_found() -> None:
    from pydantic import BaseModel

    from benchbench.plugins import registry
    from benchbench.testing.protocols import check_protocol

    class Loose(BaseModel):
        pass

    info = replace(registry().protocol("linear_probe"), config=Loose, needs="images")
    details = " ".join(f.detail for f in check_protocol(info, _run))
    assert "unknown settings are accepted" in details


def test_an_unknown_name_is_refused() -> None:
    from benchbench.errors import PluginError

    with pytest.raises(PluginError, match="is called 'no_such_thing'"):
        check("no_such_thing")
