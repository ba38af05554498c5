"""Settings of cost measurement: what cannot be measured is refused where it is written."""

from __future__ import annotations

import pytest

from benchbench.cost import CostConfig
from benchbench.cost.config import batches_of
from benchbench.errors import SuiteError
from benchbench.inference import automatic_batch
from benchbench.suite import parse_suite

SUITE = "title: t\nencoders: [resnet50]\ncost:\n  measure: quick\n"


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("batches: [0]", "cost.batches.0"),
        ("batches: [8, -3]", "cost.batches.1"),
        ("batches: []", "cost.batches"),
        ("batches: 8", "write cost.batches: [8]"),
        ("photograph: [0, 500]", "cost.photograph.0"),
        ("photograph: [500, 5]", "cost.photograph.1"),
        ("photograph: [100000, 500]", "cost.photograph.0"),
    ],
)
def test_settings_that_cannot_be_measured_are_refused_with_file_and_line(setting: str, named: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite(f"{SUITE}  {setting}\n", "mine")
    assert caught.value.where.startswith("mine.yaml:5")
    assert named in caught.value.what


def test_settings_at_the_limits_are_taken() -> None:
    cost = parse_suite(f"{SUITE}  batches: [1]\n  photograph: [64, 12000]\n").suite.cost
    assert (cost.batches, cost.photograph) == ((1,), (64, 12000))


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_the_sweep_reaches_the_batch_that_embedding_begins_with(device: str) -> None:
    chosen = batches_of(CostConfig(), device)
    assert chosen[0] == 1
    assert automatic_batch(device) in chosen
    assert (max(chosen) > 32) == (device != "cpu")
    assert batches_of(parse_suite(f"{SUITE}  batches: [3, 5]\n").suite.cost, device) == (3, 5)
