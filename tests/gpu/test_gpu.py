"""Runs where there is a CUDA device; skips elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench.api import EncoderInfo, Preprocess, Task
from benchbench.cost import CostConfig, measure_encoders
from benchbench.embedding import EmbedRequest, embed
from benchbench.images.pipeline import StageTimes
from benchbench.prepared import ImageSet, prepared_images
from benchbench.store import Store, sha256_of
from benchbench.training.loop import Job, Labelled, train
from benchbench.training.recipe import Augmentation, Recipe

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


def test_prepared_images_give_the_embeddings_of_the_files_over_several_parts(
    images: ImageSet, tmp_path: Path
) -> None:
    many = ImageSet("toy", images.paths * 20, images.sha256 * 20)
    common = {"device": "cuda", "batch_size": 32, "part_rows": 64}
    (files,) = embed(Store(tmp_path / "files"), [EmbedRequest(CARD, None, "")], many, **common).values()
    store, times = Store(tmp_path / "stored"), StageTimes()
    prepared_images(store, CARD.preprocess, many)
    (stored,) = embed(store, [EmbedRequest(CARD, None, "")], many, times=times, **common).values()
    assert times.files == 0
    assert np.array_equal(files[:], stored[:])


def test_a_compiled_encoder_gives_torchs_embeddings(images: ImageSet, tmp_path: Path) -> None:
    common = {"device": "cuda", "batch_size": 16}
    (plain,) = embed(Store(tmp_path / "a"), [EmbedRequest(CARD, None, "")], images, **common).values()
    request = EmbedRequest(CARD, None, "", backend="compile")
    (compiled,) = embed(Store(tmp_path / "b"), [request], images, **common).values()
    assert cosine_distance(plain[:], compiled[:]) < 1e-6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_learns_and_its_network_says_the_same_on_the_cpu(tmp_path: Path, precision: str) -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(96) % 2).astype(float)
    pixels = rng.integers(0, 120, (96, 224, 224, 3), dtype=np.uint8)
    pixels[labels == 1, :64, :64] += 100
    data = Labelled(pixels, labels)
    recipe = Recipe(
        epochs=4,
        batch_size=16,
        base_lr=0.01,
        warmup_epochs=1,
        precision=precision,
        augmentation=Augmentation(),
    )
    task = Task("grade", "Grade", "binary", ("no", "yes"), column="grade")
    encoder = dataclasses.replace(CARD, layer_groups=None)
    job = Job(
        encoder, lambda: load(None, "cuda"), task, "auroc", recipe, 0, data, data, "cuda", scratch=tmp_path
    )
    trained = train(job)
    scores = trained.scores(pixels)
    assert trained.best_value > 0.95
    assert trained.images_per_second > 0
    assert len(trained.epoch_seconds) == 4
    trained.model.to("cpu")
    on_cpu = dataclasses.replace(trained, device="cpu", channels_last=False, autocast=contextlib.nullcontext)
    assert np.abs(on_cpu.scores(pixels) - scores).max() < {"fp32": 1e-3, "bf16": 0.05}[precision]
