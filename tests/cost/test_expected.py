"""Expected cost: pure arithmetic on images, passes, FLOPs and a rate that says where it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.cost import CostRow, write_cost
from benchbench.cost.architecture import inspect_encoder
from benchbench.cost.expected import DECLARED_RATE, expected_cost, forward_flops
from benchbench.cost.speeds import measured_speeds
from benchbench.plugins import registry
from benchbench.store import Store, content_key
from benchbench.suite import load_suite, parse_suite, shipped_suites

SUITE = """\
title: t
encoders: [resnet50, retfound_green]
tasks: [idrid/grade, idrid/referable]
protocols:
  - linear_probe
  - {protocol: fine_tune, config: {epochs: 10}, seeds: [0, 1], encoders: [resnet50], tasks: [idrid/grade]}
"""
IDRID = {"idrid": 516}


def shares(text: str = SUITE, **settings: object) -> dict[tuple[str, str], object]:
    found = registry()
    datasets = {"idrid": found.dataset("idrid")}
    return {
        (s.protocol, s.encoder): s
        for s in expected_cost(parse_suite(text), found, datasets, IDRID, **settings)
    }


@pytest.mark.parametrize(
    "name",
    ["resnet50", "retfound_green", "dinov2_vits14_reg4:green_392", "retfound_mae_cfp", "efficientnet_lite0"],
)
def test_the_table_of_flops_agrees_with_the_counter(name: str) -> None:
    info = registry().encoder(name)
    assert forward_flops(info) == pytest.approx(inspect_encoder(info).flops, rel=0.01)


def test_every_encoder_of_a_shipped_suite_is_in_the_table_or_named_as_unknown() -> None:
    found = registry()
    for path in shipped_suites():
        for use in load_suite(path).suite.encoders:
            assert forward_flops(found.encoder(use.name)), use.name


def test_embeddings_cost_one_pass_per_image_whatever_the_number_of_tasks() -> None:
    share = shares()["linear_probe", "retfound_green"]
    assert share.passes == 516
    assert share.hours == pytest.approx(516 * 45.34e9 / DECLARED_RATE / 3600, rel=0.01)
    assert "RTX 4090" in share.rate_from


def test_a_second_protocol_on_the_same_embeddings_costs_nothing() -> None:
    found = shares(SUITE.replace("  - linear_probe\n", "  - linear_probe\n  - knn\n"))
    assert found["linear_probe", "resnet50"].passes == 516
    assert found["knn", "resnet50"].passes == 0


def test_a_training_costs_three_passes_per_image_and_epoch() -> None:
    share = shares()["fine_tune", "resnet50"]
    train, test = 413, 103  # the official split
    epoch = 3 * 0.8 * train + 0.2 * train
    assert share.passes == pytest.approx(2 * (10 * epoch + test))
    frozen = shares(SUITE.replace("epochs: 10", "epochs: 10, train: head"))["fine_tune", "resnet50"]
    assert frozen.passes == pytest.approx(2 * (10 * train + test))


H100 = "NVIDIA H100 80GB HBM3, 16 cores; python 3.11; torch 2.8"
A100 = "NVIDIA A100, 16 cores; python 3.11; torch 2.8"


def speed(
    value: float, encoder: str = "resnet50", precision: str = "fp32", batch: int = 8, gpu: str = H100
) -> CostRow:
    return CostRow(
        encoder, "throughput", value, "images/s", "measured",
        device="cuda", precision=precision, batch=batch, versions=gpu,
    )  # fmt: skip


def keep(store: Store, when: str, *rows: CostRow) -> Path:
    """Rows in the store as if they had been measured at some time."""
    identity = {"when": when}
    kept = store.publish(
        "cost", content_key(identity), identity, lambda folder: write_cost(folder / "cost.csv", rows)
    )
    manifest = kept.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(kept.created, when))
    return kept.folder


def test_a_speed_that_was_measured_here_overrules_the_table(tmp_path: Path) -> None:
    store = Store(tmp_path)
    on_cpu = CostRow("resnet50", "throughput", 9000.0, "images/s", "measured", device="cpu", precision="fp32")
    keep(store, "2025-01-01T00:00:00Z", speed(2000, batch=64), speed(3000, batch=256), speed(2500), on_cpu)
    found = shares(speeds=measured_speeds(store))
    assert found["linear_probe", "resnet50"].hours == pytest.approx(516 / 3000 / 3600)
    assert found["linear_probe", "resnet50"].rate_from.startswith("measured: fp32, batch 256, NVIDIA H100")
    assert "RTX 4090" in found["linear_probe", "retfound_green"].rate_from


def test_a_speed_is_of_the_precision_that_the_encoder_has_in_the_suite(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "2025-01-01T00:00:00Z", speed(1000), speed(4000, precision="bf16"))
    speeds = measured_speeds(store)
    found = shares(speeds=speeds)
    assert found["linear_probe", "resnet50"].hours == pytest.approx(516 / 1000 / 3600)
    training = found["fine_tune", "resnet50"]
    assert training.hours == pytest.approx(training.passes / 4000 / 3600)  # auto is bf16 on a GPU
    exact = shares(SUITE.replace("epochs: 10", "epochs: 10, precision: fp32"), speeds=speeds)
    assert exact["fine_tune", "resnet50"].hours == pytest.approx(training.passes / 1000 / 3600)
    half = shares(
        SUITE.replace("[resnet50, ", "[{name: resnet50, precision: fp16}, ").replace(
            "[resnet50]", "[resnet50 +fp16]"
        ),
        speeds=speeds,
    )
    assert "RTX 4090" in half["linear_probe", "resnet50 +fp16"].rate_from
    assert ("fine_tune", "resnet50 +fp16") in half


def test_the_newest_measurement_and_its_gpu_decide(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "2025-03-01T00:00:00Z", speed(1000))
    keep(store, "2025-01-01T00:00:00Z", speed(5000))
    keep(store, "2025-02-01T00:00:00Z", speed(9000, "retfound_green", gpu=A100))
    found = shares(speeds=measured_speeds(store))
    assert found["linear_probe", "resnet50"].hours == pytest.approx(516 / 1000 / 3600)
    assert "RTX 4090" in found["linear_probe", "retfound_green"].rate_from


def test_encoders_that_differ_in_their_weights_share_what_was_measured_of_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "2025-01-01T00:00:00Z", speed(500, "retfound_mae_cfp"), speed(1, "retfound_green"))
    text = "title: t\nencoders: [deretfound, retfound_dinov2_meh]\ntasks: [idrid/grade]\nprotocols: [knn]\n"
    found = shares(text, speeds=measured_speeds(store))
    assert found["knn", "deretfound"].hours == pytest.approx(516 / 500 / 3600)
    assert "retfound_mae_cfp" in found["knn", "deretfound"].rate_from
    assert "RTX 4090" in found["knn", "retfound_dinov2_meh"].rate_from


@pytest.mark.parametrize("content", [b"encoder,what\na,b\n", b"\xff\xfe\x00", b"a,\x00\n", b""])
def test_costs_that_another_version_wrote_are_passed_over(content: bytes, tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "2025-01-01T00:00:00Z", speed(1000))
    (keep(store, "2025-01-02T00:00:00Z", speed(7)) / "cost.csv").write_bytes(content)
    assert {key: rate for key, (rate, _) in measured_speeds(store).items()} == {("resnet50", "fp32"): 1000}


def test_an_unknown_number_of_images_gives_no_hours() -> None:
    text = "title: t\nencoders: [resnet50]\ntasks: [oct_signatures/ped]\nprotocols: [linear_probe]\n"
    found = registry()
    (share,) = expected_cost(parse_suite(text), found, {"oct_signatures": found.dataset("oct_signatures")})
    assert (share.passes, share.hours) == (None, None)
    simulated = text + "datasets: {oct_signatures: {simulated: {images: 100}}}\n"
    (share,) = expected_cost(
        parse_suite(simulated), found, {"oct_signatures": found.dataset("oct_signatures")}
    )
    assert share.passes == 100
