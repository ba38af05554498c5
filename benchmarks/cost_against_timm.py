"""Our model-only throughput against a loop as timm's benchmark script has it, in one run.

timm's loop: 10 warm-up and 40 timed steps on one synthetic batch that lies on the device, mean of the steps.

    python benchmarks/cost_against_timm.py [encoder ...] [--batch 8] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchbench.cost.timing import QUICK, time_steps
from benchbench.inference import EmbedRequest, Runner, full_fp32, is_convolutional
from benchbench.plugins import registry


def synchronise(device: str) -> Callable[[], None]:
    """Waits until the device has done its work."""
    return partial(torch.cuda.synchronize, device) if device.startswith("cuda") else lambda: None


def as_timm(module: Any, size: int, args: argparse.Namespace) -> float:
    """Images per second."""
    x = torch.randn(args.batch, 3, size, size, device=args.device)
    if is_convolutional(module):
        module, x = module.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    wait = synchronise(args.device)
    with torch.no_grad(), full_fp32(args.device):
        for _ in range(args.warm_up):
            module(x)
        wait()
        started = time.perf_counter()
        for _ in range(args.steps):
            module(x)
            wait()
        return args.batch * args.steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", nargs="*", default=["resnet50", "efficientnet_lite0"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    for name in args.encoders:
        card = registry().encoder(name)
        runner = Runner(EmbedRequest(card, None, ""), args.device)
        size = card.preprocess.size
        pixels = torch.randint(0, 256, (args.batch, size, size, 3), dtype=torch.uint8).to(args.device)
        module = card.load(None, args.device)
        for turn in range(2):
            theirs = as_timm(module, size, args)
            timing = time_steps(lambda r=runner, p=pixels: r(p), QUICK, synchronise=synchronise(args.device))
            mine = args.batch / timing.median
            print(
                f"{name}, turn {turn + 1}: ours {mine:.2f} images/s (from uint8; spread {timing.spread:.0%}), "
                f"timm's way {theirs:.2f}, ratio {mine / theirs:.2f}"
            )


if __name__ == "__main__":
    main()
