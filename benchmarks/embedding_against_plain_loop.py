"""The embedding engine against the loop that one would write without it, in one run on the same photographs.

The plain loop: timm model in torch fp32, Pillow and torchvision transforms, a DataLoader with two workers, batches
of 32. Against it: `exact` (fp32) and `fast` (scaled decoding, bf16), with the cosine distance of the embeddings.

    python benchmarks/embedding_against_plain_loop.py [encoder ...] [--images 32] [--backend openvino]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchbench.api import EncoderInfo, Preprocess
from benchbench.cost.photograph import photograph_jpeg
from benchbench.embedding import EmbedRequest
from benchbench.images.pipeline import prepared_batches
from benchbench.inference import Runner, cpu_threads
from benchbench.machine import usable_cores
from benchbench.plugins import registry

KERNELS = {"bicubic": transforms.InterpolationMode.BICUBIC, "bilinear": transforms.InterpolationMode.BILINEAR}


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """What a script has: open, convert, transform."""

    def __init__(self, paths: list[Path], recipe: Preprocess) -> None:
        kernel = KERNELS[recipe.interpolation]
        steps: list[Any] = [transforms.Resize((recipe.size, recipe.size), kernel)]
        if recipe.resize == "short_side":
            steps = [
                transforms.Resize(recipe.resize_to or recipe.size, kernel),
                transforms.CenterCrop(recipe.size),
            ]
        steps += [transforms.ToTensor(), transforms.Normalize(recipe.mean, recipe.std)]
        self.paths, self.transform = paths, transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        tensor: torch.Tensor = self.transform(Image.open(self.paths[index]).convert("RGB"))
        return tensor


def plain_loop(module: Any, paths: list[Path], recipe: Preprocess) -> np.ndarray:
    loader = torch.utils.data.DataLoader(Files(paths, recipe), batch_size=32, num_workers=2)
    with torch.no_grad():
        return np.concatenate([module(batch).numpy() for batch in loader])


def ours(runner: Runner, paths: list[Path], recipe: Preprocess, threads: int) -> np.ndarray:
    cut = [range(i, min(i + 8, len(paths))) for i in range(0, len(paths), 8)]
    batches = prepared_batches(paths, [recipe], cut, threads=threads)
    return np.concatenate([runner(pixels).numpy() for _, (pixels,) in batches])


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).max())


def compare(card: EncoderInfo, paths: list[Path], args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    module = card.load(None, "cpu")
    same = dataclasses.replace(card, load=lambda weights, device: module)
    fast = dataclasses.replace(same, preprocess=dataclasses.replace(card.preprocess, decode="fast"))
    modes = {
        "exact": Runner(EmbedRequest(same, None, "", "fp32", args.backend), threads=args.threads),
        "fast": Runner(EmbedRequest(fast, None, "", "bf16", args.backend), threads=args.threads),
    }
    warm = np.zeros((8, card.preprocess.size, card.preprocess.size, 3), np.uint8)
    for runner in modes.values():
        runner(warm)
    times: dict[str, list[float]] = {"plain loop": [], **{mode: [] for mode in modes}}
    for _ in range(args.repeats):
        started = time.perf_counter()
        reference = plain_loop(module, paths, card.preprocess)
        times["plain loop"].append(time.perf_counter() - started)
        distances = {}
        for mode, runner in modes.items():
            started = time.perf_counter()
            rows = ours(runner, paths, runner.request.encoder.preprocess, args.threads)
            times[mode].append(time.perf_counter() - started)
            distances[mode] = cosine_distance(reference, rows)
    base = min(times["plain loop"])
    print(f"{card.name}: plain loop {len(paths) / base:.2f} images/s")
    for mode in modes:
        best = min(times[mode])
        print(
            f"{card.name}: {mode} ({args.backend}) {len(paths) / best:.2f} images/s, {base / best:.1f}x, "
            f"cosine distance at most {distances[mode]:.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", nargs="*", default=["retfound_green", "resnet50"])
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cpu_threads(args.threads):
        paths = [Path(folder, f"{i}.jpg") for i in range(args.images)]
        for i, path in enumerate(paths):
            path.write_bytes(photograph_jpeg(4288, 2848, i % 4))
        for name in args.encoders:
            compare(registry().encoder(name), paths, args)


if __name__ == "__main__":
    main()
