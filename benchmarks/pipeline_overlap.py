"""End to end from large photographs, against its two stages alone, in one run.

Prints images/s of decode + resize alone, of the model alone, of both together, and the share of the slower stage
that is reached; then the decode work for several encoders in one pass against one pass each.

    python benchmarks/pipeline_overlap.py [--backend openvino] [--images 24] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchbench.cost.photograph import photograph_jpeg
from benchbench.embedding import EmbedRequest, embed
from benchbench.images import on_device
from benchbench.images.pipeline import StageTimes, prepared_batches
from benchbench.inference import Runner, cpu_threads
from benchbench.machine import usable_cores
from benchbench.plugins import registry
from benchbench.prepared import ImageSet
from benchbench.store import Store


def seconds(work: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def overlap(name: str, paths: list[Path], args: argparse.Namespace) -> None:
    request = EmbedRequest(registry().encoder(name), None, "", backend=args.backend)
    runner = Runner(request, args.device, args.threads)
    recipe = request.encoder.preprocess
    cut = [range(i, min(i + args.batch, len(paths))) for i in range(0, len(paths), args.batch)]

    def batches(ahead: int):
        pin = args.device.startswith("cuda")
        return prepared_batches(paths, [recipe], cut, threads=args.threads, ahead=ahead, pin=pin)

    def embedded(pixels: torch.Tensor) -> object:
        return runner(on_device(pixels, args.device))

    kept = [pixels for _, (pixels,) in batches(1)]
    embedded(kept[0])
    stages: dict[str, Callable[[], object]] = {
        "decode + resize alone": lambda: [None for _ in batches(2)],
        "model alone": lambda: [embedded(pixels) for pixels in kept],
        "both, one after the other": lambda: [embedded(pixels) for _, (pixels,) in batches(0)],
        "both, decoding ahead": lambda: [embedded(pixels) for _, (pixels,) in batches(2)],
    }
    times: dict[str, list[float]] = {stage: [] for stage in stages}
    for _ in range(args.repeats):  # interleaved, so that other work on the machine meets all alike
        for stage, work in stages.items():
            times[stage].append(seconds(work, args.device))
    rate = {stage: len(paths) / statistics.median(values) for stage, values in times.items()}
    decode, model = rate["decode + resize alone"], rate["model alone"]
    for stage, value in rate.items():
        best = len(paths) / min(times[stage])
        share = f", {value / min(decode, model):.0%} of the slower stage" if stage.startswith("both") else ""
        print(f"{name:24s} {stage:28s} {value:8.2f} images/s (best {best:.2f}){share}")
    serial = 1 / (1 / decode + 1 / model)
    print(
        f"{name:24s} if both share the processor  {serial:8.2f} images/s, {serial / min(decode, model):.0%}"
    )


def shared_pass(names: list[str], paths: list[Path], args: argparse.Namespace) -> None:
    requests = [EmbedRequest(registry().encoder(n), None, "", backend=args.backend) for n in names]
    images = ImageSet("photographs", tuple(paths), tuple(str(p) for p in paths))
    with tempfile.TemporaryDirectory() as folder:
        together, apart = StageTimes(), StageTimes()
        common = {"threads": args.threads, "device": args.device}
        embed(Store(Path(folder, "a")), requests, images, times=together, **common)
        for request in requests:
            embed(Store(Path(folder, "b")), [request], images, times=apart, **common)
    print(
        f"{len(names)} encoders in one pass: {together.files} files decoded, {together.prepare:.1f} thread-seconds; "
        f"one pass each: {apart.files} files, {apart.prepare:.1f} thread-seconds "
        f"({apart.prepare / together.prepare:.1f}x)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", nargs="*", default=["timm/vit_small_patch14_reg4_dinov2", "resnet50"])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4, help="256 is what a GPU gets in runs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--pass-only", action="store_true", help="only the pass of all encoders against one each"
    )
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cpu_threads(args.threads):
        data = [photograph_jpeg(4288, 2848, seed) for seed in range(4)]
        paths = [Path(folder, f"{i}.jpg") for i in range(args.images)]
        for i, path in enumerate(paths):
            path.write_bytes(data[i % len(data)])
        for name in () if args.pass_only else args.encoders:
            overlap(name, paths, args)
        shared_pass(args.encoders, paths, args)


if __name__ == "__main__":
    main()
