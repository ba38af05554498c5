"""What follows from the architecture alone: parameters, FLOPs, bytes; counted on torch's meta device.

On the meta device nothing is computed or allocated, and fused attention is counted like any other operation;
on a CPU torch's counter misses it without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Any

from ..api import EncoderInfo, module_forward
from ..encoder_faults import load_module

UNCOUNTED = "torch's counter of operations knows none of this network's"
"""Why a network whose operations come out as zero has no such value."""


@dataclass(frozen=True)
class Architecture:
    """Numbers that need no weights."""

    parameters: int
    flops: int
    """Floating-point operations for one image; a multiply-add counts as two. 0: `UNCOUNTED`."""
    state_bytes: int
    """Bytes of the encoder's state (parameters and buffers) in fp32."""
    key: str
    """Hash of modules, shapes and the operations of a forward pass: equal where only the weights differ."""


def inspect_encoder(info: EncoderInfo) -> Architecture:
    """Parameters, FLOPs and size of an encoder with random weights."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = meta_module(info)
    size = info.preprocess.size
    operations = _recorder()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter, operations:
        module_forward(module, torch.empty(1, 3, size, size, device="meta"))
    state = module.state_dict()
    shapes = [(k, tuple(v.shape)) for k, v in state.items()]
    described = repr((repr(module), shapes, size, operations.done))
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
        module = load_module(info, None, "meta")
        if all(p.device.type == "meta" for p in module.parameters()):
            return module.to("meta")
    return load_module(info, None, "cpu").to("meta")


def _recorder() -> Any:
    """A context that writes down every operation with the shape of its result."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recorder(TorchDispatchMode):
        done: list[str]

        def __init__(self) -> None:
            super().__init__()
            self.done = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.done.append(f"{func}{tuple(getattr(out, 'shape', ()))}")
            return out

    return Recorder()
