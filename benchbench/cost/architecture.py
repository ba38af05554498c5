"""What follows from the architecture alone: parameters, FLOPs, bytes; counted on torch's meta device.

On the meta device nothing is computed or allocated, and fused attention is counted like any other operation;
on a CPU torch's counter misses it without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from typing import Any

from ..api import EncoderInfo, module_forward


@dataclass(frozen=True)
class Architecture:
    """Numbers that need no weights."""

    parameters: int
    flops: int
    """Floating-point operations for one image; a multiply-add counts as two."""
    state_bytes: int
    """Bytes of the encoder's state (parameters and buffers) in fp32."""
    key: str
    """Hash of the modules and shapes: equal for encoders that differ in their weights only."""


def inspect_encoder(info: EncoderInfo) -> Architecture:
    """Parameters, FLOPs and size of an encoder with random weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = meta_module(info)
    size = info.preprocess.size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module_forward(module, torch.empty(1, 3, size, size, device="meta"))
    state = module.state_dict()
    described = repr(module) + repr([(k, tuple(v.shape)) for k, v in state.items()]) + str(size)
    return Architecture(
        parameters=sum(p.numel() for p in module.parameters()),
        flops=int(counter.get_total_flops()),
        state_bytes=sum(
            t.numel() * (4 if t.is_floating_point() else t.element_size()) for t in state.values()
        ),
        key=hashlib.sha256(described.encode()).hexdigest()[:16],
    )


def meta_module(info: EncoderInfo) -> Any:
    """The encoder on the meta device; without allocating anything where its loader allows that."""
    import torch

    with contextlib.suppress(NotImplementedError, RuntimeError), torch.device("meta"):
        module = info.load(None, "meta").eval()
        if all(p.device.type == "meta" for p in module.parameters()):
            return module.to("meta")
    return info.load(None, "cpu").eval().to("meta")


def saved_bytes(info: EncoderInfo) -> int:
    """Bytes of the encoder's fp32 state as torch saves it to a file; needs the weights in memory."""
    import torch

    buffer = io.BytesIO()
    torch.save(info.load(None, "cpu").state_dict(), buffer)
    return buffer.getbuffer().nbytes
