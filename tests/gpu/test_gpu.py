"""Runs where there is a CUDA device; skips elsewhere."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench.api import EncoderInfo, Preprocess
from benchbench.cost import CostConfig, measure_encoders
from benchbench.embedding import EmbedRequest, ImageSet, embed
from benchbench.images.pipeline import StageTimes
from benchbench.store import Store, sha256_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def load(weights: Path | None, device: str) -> torch.nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0).eval().to(device)


CARD = EncoderInfo("vit", "ViT", "ViT-Ti/16", 192, Preprocess("p", 224), "token", load, None, "", "")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    rng = np.random.default_rng(0)
    paths = tuple(tmp_path / f"{i:02d}.jpg" for i in range(40))
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(path)
    return ImageSet("toy", paths, tuple(sha256_of(p) for p in paths))


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).max())


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-6), ("bf16", 1e-3), ("fp16", 1e-3)])
def test_the_gpu_gives_the_cpus_embeddings(
    images: ImageSet, tmp_path: Path, precision: str, limit: float
) -> None:
    (cpu,) = embed(Store(tmp_path / "cpu"), [EmbedRequest(CARD, None, "")], images).values()
    request = EmbedRequest(CARD, None, "", precision)
    (gpu,) = embed(Store(tmp_path / "gpu"), [request], images, device="cuda", batch_size=16).values()
    assert cosine_distance(cpu[:], gpu[:]) < limit
    assert gpu.notes["device"] == "cuda"


def test_the_time_of_each_encoder_is_its_own(images: ImageSet, tmp_path: Path) -> None:
    def larger(weights: Path | None, device: str) -> torch.nn.Module:
        import timm

        return timm.create_model("vit_base_patch16_224", num_classes=0).eval().to(device)

    base = dataclasses.replace(CARD, name="larger", embed_dim=768, load=larger)
    many = ImageSet("toy", images.paths * 8, images.sha256 * 8)
    requests = [EmbedRequest(base, None, ""), EmbedRequest(CARD, None, "")]
    embed(Store(tmp_path / "warm"), requests, images, device="cuda")
    times = StageTimes()
    started = time.perf_counter()
    embed(Store(tmp_path / "timed"), requests, many, device="cuda", batch_size=32, times=times)
    large, small = times.model_by_encoder.values()
    assert large > 2 * small > 0  # the operations differ by a factor of fourteen
    assert times.model <= time.perf_counter() - started


def test_speed_memory_and_energy_are_measured_on_the_gpu() -> None:
    config = CostConfig(measure="quick", batches=(1, 64), photograph=(640, 480))
    rows = {r.quantity: r for r in measure_encoders([CARD], config, device="cuda") if r.encoder}
    assert rows["throughput_best"].device == "cuda"
    assert rows["memory_device"].value > 0
    assert rows["energy"].provenance in ("measured", "estimated", "unmeasured")
