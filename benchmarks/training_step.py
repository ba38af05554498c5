"""Speed of fine-tuning: images per second against what the device's own matrix products allow, and peak memory.

    python benchmarks/training_step.py --model vit_large_patch16_224 --batch 16 --device cuda
    python benchmarks/training_step.py --model resnet18 --batch 16

A training step costs three forward passes of arithmetic. The limit is measured in the same run: the rate of a large
matrix product in the same precision. Images are random, loading is measured apart.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchbench.api import Task
from benchbench.inference import full_fp32
from benchbench.testing.fakes import fake_encoder
from benchbench.training.data import AugmentedImages, Order, build_augmentation, training_batches
from benchbench.training.loop import Job, Labelled, _Run
from benchbench.training.recipe import Augmentation, Recipe


def product_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """FLOP/s of a square matrix product: the best of ten."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def forward_flops(model: str, size: int) -> float:
    """FLOP of one image's forward pass (two per multiply-add), counted without weights."""
    import timm

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        timm.create_model(model, num_classes=0)(torch.empty(1, 3, size, size))
    return float(counter.get_total_flops())


def training(args: argparse.Namespace, **settings: object) -> _Run:
    """A training that is ready to take steps, on random images."""
    import timm

    backbone = timm.create_model(args.model, num_classes=0).to(args.device)
    encoder = fake_encoder(embed_dim=backbone.num_features, size=args.size)
    n = args.batch * 4
    images = np.random.default_rng(0).integers(0, 255, (n, args.size, args.size, 3), dtype=np.uint8)
    labelled = Labelled(images, (np.arange(n) % 5).astype(float))
    recipe = Recipe(batch_size=args.batch, precision=args.precision, augmentation=Augmentation(), **settings)  # type: ignore[arg-type]
    task = Task("grade", "Grade", "ordinal", tuple("01234"), column="grade")
    return _Run(
        Job(encoder, lambda: backbone, task, "macro_auroc", recipe, 0, labelled, labelled, args.device)
    )


def measure(args: argparse.Namespace, **settings: object) -> tuple[float, float]:
    """Median images per second of the steps, and peak GPU memory in GiB (0 on a CPU)."""
    run = training(args, **settings)
    run.model.train()
    pixels = torch.from_numpy(run.job.train.images[np.arange(args.batch)])
    positions = torch.arange(args.batch)
    if args.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for step in range(args.steps + 3):
        _wait(args.device)
        started = time.perf_counter()
        with full_fp32(args.device):
            run._train_step(pixels, positions)
        _wait(args.device)
        if step >= 3:
            seconds.append(time.perf_counter() - started)
    memory = torch.cuda.max_memory_allocated() / 2**30 if args.device.startswith("cuda") else 0.0
    return args.batch / float(np.median(seconds)), memory


def loading_rate(args: argparse.Namespace) -> float:
    """Images per second that the loaders deliver with RETFound's augmentation."""
    augmentation = Augmentation(
        crop_scale=(0.08, 1.0), crop_ratio=(0.75, 4 / 3), rand_augment="rand-m9-mstd0.5-inc1"
    )
    images = np.random.default_rng(0).integers(0, 255, (256, args.size, args.size, 3), dtype=np.uint8)
    encoder = fake_encoder(size=args.size)
    recipe = Recipe(batch_size=args.batch, epochs=4, workers=args.workers)
    dataset = AugmentedImages(images, build_augmentation(augmentation, encoder.preprocess), seed=0)
    batches = training_batches(dataset, Order(256, args.batch, True, 0), recipe, 0, args.device)
    next(batches)
    started, seen = time.perf_counter(), 0
    for pixels, _ in batches:
        seen += len(pixels)
    return seen / (time.perf_counter() - started)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_large_patch16_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    cuda = args.device.startswith("cuda")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[args.precision]
    rate = product_rate(args.device, dtype, 8192 if cuda else 2048)
    limit = rate / (3 * forward_flops(args.model, args.size))
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{args.model} at {args.size} px, batch {args.batch}, {args.precision}, {name}, torch {torch.__version__}"
    )
    print(f"matrix product {rate / 1e12:.2f} TFLOP/s: at most {limit:.1f} images/s")
    variants = {"plain": {}, "gradient checkpointing": {"grad_checkpointing": True}}
    for label, settings in variants.items():
        try:
            speed, memory = measure(args, **settings)
        except Exception as error:
            print(f"{label:24} not possible: {str(error).splitlines()[0]}")
            continue
        print(
            f"{label:24} {speed:8.1f} images/s  {100 * speed / limit:5.1f} % of the limit  peak {memory:.1f} GiB"
        )
    print(f"loading, {args.workers} workers  {loading_rate(args):8.1f} images/s")


if __name__ == "__main__":
    main()
