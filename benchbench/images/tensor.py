"""From prepared uint8 images to the normalised input of the network, on the network's device."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..api import Preprocess

if TYPE_CHECKING:
    import torch


def to_input(batch: Any, preprocess: Preprocess, device: str = "cpu") -> torch.Tensor:
    """Normalised float32 input (B, 3, H, W) on `device`, channels last in memory.

    Args:
        batch: (B, H, W, 3) uint8, numpy array or tensor. It travels as uint8, a quarter of the bytes.
        preprocess: Its normalisation: fixed mean and standard deviation, or each image's own per channel
            (population standard deviation; a channel without contrast becomes zero).
        device: Where the network is.
    """
    import numpy as np
    import torch

    if isinstance(batch, np.ndarray):
        # torch does not take read-only memory, which memory-mapped images are
        batch = torch.from_numpy(np.require(batch, requirements=["C", "W"]))
    pixels = on_device(batch, device)
    # The order of operations is that of ToTensor and Normalize, so that the values are equal to the last bit.
    x = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    if preprocess.normalise == "per_image":
        mean = x.mean(dim=(2, 3), keepdim=True)
        std = x.std(dim=(2, 3), keepdim=True, correction=0)
        return x.sub_(mean).div_(torch.where(std > 0, std, torch.ones_like(std)))
    return x.sub_(_per_channel(preprocess.mean, x.device)).div_(_per_channel(preprocess.std, x.device))


def on_device(batch: torch.Tensor, device: str) -> torch.Tensor:
    """A batch where the network is. To a GPU it is copied beside the work that the GPU was given before.

    The caller's next work on the GPU begins when the copy is there; the host waits for neither.
    """
    if not str(device).startswith("cuda") or batch.device.type != "cpu":
        return batch.to(device)
    import torch

    present, beside = torch.cuda.current_stream(device), _copies(torch.device(device))
    with torch.cuda.stream(beside):
        there = batch.pin_memory().to(device, non_blocking=True)
    present.wait_stream(beside)
    there.record_stream(present)  # its memory is free for others when this stream is through with it
    return there


@functools.cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    """The stream of a GPU on which copies to it run."""
    import torch

    return torch.cuda.Stream(device)


@functools.cache
def _per_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Kept on the device: copying three numbers to a GPU would wait for all the work that it has been given."""
    import torch

    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, 3, 1, 1)
