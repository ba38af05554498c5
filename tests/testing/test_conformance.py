"""The conformance kit passes what keeps the contract and finds each broken promise."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from benchbench import EncoderInfo, Preprocess, WeightsSource
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
        if self.fault == "not finite":
            z = z / 0
        return z.double() if self.fault == "double" else z


def card(fault: str) -> EncoderInfo:
    def load(path: Any, device: str) -> torch.nn.Module:
        if path is not None and fault != "loads anything":
            if fault == "raises KeyError":
                raise KeyError("layer.weight")
            from benchbench.checkpoints import fit, tensors

            network = Network()
            fit(network, tensors(path), path, "card")
            return network
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
        parameters=5 if fault == "wrong parameters" else None,
        layer_groups=lambda module: (names[1:],) if fault == "groups" else (names,),
    )


def broken(info: EncoderInfo) -> str:
    return " | ".join(f"{f.check}: {f.detail}" for f in check_encoder(info, None, _run) if not f.passed)


def test_a_sound_encoder_has_no_finding() -> None:
    assert broken(card("")) == ""


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("no title", "`title` is empty"),
        ("wrong width", "declares (3, 7)"),
        ("wrong parameters", "declares 5 parameters"),
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


def test_an_exception_while_loading_is_a_finding() -> None:
    def load(path: Any, device: str) -> Any:
        raise RuntimeError("no such layer")

    assert "RuntimeError: no such layer" in broken(dataclasses.replace(card(""), load=load))


def test_a_protocol_that_takes_unknown_settings_is_found() -> None:
    from pydantic import BaseModel

    from benchbench.plugins import registry
    from benchbench.testing.protocols import check_protocol

    class Loose(BaseModel):
        pass

    info = dataclasses.replace(registry().protocol("linear_probe"), config=Loose, needs="images")
    details = " ".join(f.detail for f in check_protocol(info, _run))
    assert "unknown settings are accepted" in details


def test_an_unknown_name_is_refused() -> None:
    from benchbench.errors import PluginError

    with pytest.raises(PluginError, match="is called 'no_such_thing'"):
        check("no_such_thing")
