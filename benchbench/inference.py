"""The forward pass of an encoder: from prepared uint8 batches to float32 embeddings, on CPU or GPU."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .api import EncoderInfo, module_forward
from .encoder_faults import examine, load_module
from .errors import BenchError, CellError, PluginError
from .images import to_input

if TYPE_CHECKING:
    import torch

CPU_BATCH = 8
"""Larger batches leave the processor's caches and are slower (docs/reference/performance.md)."""
CUDA_BATCH = 256
BACKENDS = ("torch", "compile", "openvino")
"""What runs the forward pass: torch as it is, torch.compile, or OpenVINO (CPU only)."""


@dataclass(frozen=True)
class EmbedRequest:
    """An encoder with everything that decides its numbers."""

    encoder: EncoderInfo
    """Card, with its variant filled in."""
    weights: Path | None
    """Checkpoint; None: random weights."""
    weights_sha256: str
    precision: str = "fp32"
    """"fp32", "bf16" (autocast), or "fp16" (autocast, GPU only)."""
    backend: str = "torch"
    """One of `BACKENDS`."""


def automatic_batch(device: str) -> int:
    """Batch size to begin with; where GPU memory does not suffice it is halved."""
    return CUDA_BATCH if device.startswith("cuda") else CPU_BATCH


class Runner:
    """A loaded encoder that embeds prepared batches and fits its batch size to the GPU's memory."""

    def __init__(self, request: EmbedRequest, device: str = "cpu", threads: int | None = None) -> None:
        _check(request, device)
        self.request, self.device = request, device
        self.limit = 1 << 30
        """Largest batch that the device takes at once."""
        self.halvings = 0
        self.transfer = 0.0
        """Seconds that the host spent on bringing batches to the device and normalising them."""
        self.examined = False
        module = load_module(request.encoder, request.weights, device)
        make = _openvino_forward if request.backend == "openvino" else _torch_forward
        self._forward = make(module, request, device, threads)

    def __call__(self, batch: np.ndarray | torch.Tensor) -> torch.Tensor:
        """(b, D) float32 embeddings of (b, size, size, 3) uint8, on the device; does not wait for a GPU."""
        import torch

        out = torch.cat([self._embed(batch, i) for i in self._chunks(len(batch))])
        self._check_shape(tuple(out.shape), len(batch))
        return out

    def examine(self, batch: np.ndarray | torch.Tensor, embedded: torch.Tensor) -> None:
        """Refuse an encoder whose embeddings of a batch do not come from each image alone; looks once.

        Raises:
            PluginError: see `encoder_faults.examine`.
        """
        if not self.examined:
            examine(self, batch, embedded, self.request.encoder.name, self.request.precision)
        self.examined = True

    def _chunks(self, rows: int) -> Iterator[slice]:
        start = 0
        while start < rows:
            stop = min(rows, start + self.limit)
            yield slice(start, stop)
            start = stop

    def _embed(self, batch: np.ndarray | torch.Tensor, rows: slice) -> torch.Tensor:
        import torch

        part = batch[rows]
        x: torch.Tensor | None = None
        try:
            started = time.perf_counter()
            x = to_input(part, self.request.encoder.preprocess, self.device)
            self.transfer += time.perf_counter() - started
            return self._forward(x)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(part) == 1:
                raise self._too_small(error) from error
        del x
        torch.cuda.empty_cache()
        self.limit = len(part) // 2
        self.halvings += 1
        return torch.cat([self._embed(part, i) for i in self._chunks(len(part))])

    def _too_small(self, error: Exception) -> CellError:
        return CellError(
            f"The device's memory does not hold {self.request.encoder.name} with one image.",
            where=(str(error) or type(error).__name__).splitlines()[0],
            fix="close other programs on the GPU, or use --device cpu"
            if self.device.startswith("cuda")
            else "close other programs, or use a machine with more memory",
        )

    def _check_shape(self, shape: tuple[int, ...], rows: int) -> None:
        wanted = (rows, self.request.encoder.embed_dim)
        if shape != wanted:
            raise PluginError(
                f"Encoder {self.request.encoder.name!r} returned shape {shape} instead of {wanted}.",
                fix=f"correct embed_dim or the loaded module; check with: bench check {self.request.encoder.name}",
            )


def check_finite(rows: np.ndarray, request: EmbedRequest, paths: tuple[Path, ...]) -> None:
    """Refuse embeddings that are not numbers; they would poison every cell downstream."""
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise CellError(
            f"{request.encoder.name} gives values that are not finite for {len(bad)} images.",
            where=str(paths[bad[0]]),
            fix="check the checkpoint" + ("" if request.precision == "fp32" else ", or use precision: fp32"),
        )


_NO_MEMORY = (
    *("out of memory", "can't allocate memory", "not enough memory"),
    *("STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
)
"""What a full memory is called by torch's allocators on the host and the GPU, and by cuBLAS and cuDNN."""


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory, of the host or of a GPU, is full."""
    if isinstance(error, MemoryError):
        return True
    return any(text in str(error) for text in _NO_MEMORY)


@contextlib.contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """Let torch use `threads` CPU threads inside; None leaves its choice."""
    import torch

    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads:
            torch.set_num_threads(before)


def _check(request: EmbedRequest, device: str) -> None:
    cpu = not device.startswith("cuda")
    if request.precision not in ("fp32", "bf16", "fp16"):
        raise BenchError(f"There is no precision {request.precision!r}.", fix="use fp32, bf16 or fp16")
    if request.backend not in BACKENDS:
        raise BenchError(
            f"There is no backend {request.backend!r}.", fix=f"use one of: {', '.join(BACKENDS)}"
        )
    if cpu and request.precision == "fp16":
        raise BenchError(
            "Half precision (fp16) is hundreds of times slower than fp32 on a CPU.",
            where=request.encoder.name,
            fix="use precision: bf16 on a CPU",
        )
    if not cpu and request.backend == "openvino":
        raise BenchError(
            "OpenVINO computes on the CPU.",
            where=request.encoder.name,
            fix="use backend: torch or backend: compile on a GPU",
        )


def _torch_forward(
    module: Any, request: EmbedRequest, device: str, threads: int | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    if is_convolutional(module):
        module = module.to(memory_format=torch.channels_last)
    if request.backend == "compile":
        # In this process: the compiler's own pool would outlive a worker that is killed.
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        _lift_the_compilers_limits()
        # One graph for every batch length: which one computes a batch must not depend on what came before it.
        module.compile(dynamic=False)
    kind = "cuda" if device.startswith("cuda") else "cpu"
    lower = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(request.precision)

    def forward(x: torch.Tensor) -> torch.Tensor:
        with (
            torch.inference_mode(),
            full_fp32(kind),
            torch.autocast(kind, dtype=lower, enabled=lower is not None),
        ):
            return module_forward(module, x).float()

    return _telling_of_compilers(forward, request) if request.backend == "compile" else forward


def _lift_the_compilers_limits() -> None:
    """Networks of one class share a limit of graphs, past which torch would run them uncompiled and not say so."""
    import torch

    config: Any = torch._dynamo.config
    for name, old in (
        ("recompile_limit", "cache_size_limit"),
        ("accumulated_recompile_limit", "accumulated_cache_size_limit"),
    ):
        setattr(config, name if hasattr(config, name) else old, 100_000)


def _telling_of_compilers(
    forward: Callable[[torch.Tensor], torch.Tensor], request: EmbedRequest
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same, with an error for the reader where torch.compile cannot do its work."""

    def told(x: torch.Tensor) -> torch.Tensor:
        try:
            return forward(x)
        except Exception as error:  # the classes are torch's own affair, and have moved before
            compiler = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
            if not compiler or out_of_memory(error):
                raise
            raise CellError(
                f"torch.compile cannot compile {request.encoder.name} here.",
                where=(str(error).strip() or type(error).__name__).splitlines()[0],
                fix="use backend: torch (on a CPU, torch.compile needs a C++ compiler such as gcc)",
            ) from error

    return told


@contextlib.contextmanager
def full_fp32(device: str) -> Iterator[None]:
    """fp32 means fp32: no TF32 in convolutions and products, which torch allows by default in the former."""
    if not device.startswith("cuda"):
        yield
        return
    switches, off = _tf32_switches()
    for place, name, _ in switches:
        setattr(place, name, off)
    try:
        yield
    finally:
        for place, name, before in switches:
            setattr(place, name, before)


def _tf32_switches() -> tuple[list[tuple[Any, str, Any]], Any]:
    """Torch's switches as (place, name, present value), and the value that turns TF32 off.

    Torch 2.9 has new names for them, and lets nobody read the old ones once somebody has written the new ones.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    try:
        return [(place, "allow_tf32", place.allow_tf32) for place in (cudnn, products)], False
    except RuntimeError:
        places = (cudnn.conv, cudnn.rnn, products)
        return [(place, "fp32_precision", place.fp32_precision) for place in places], "ieee"


def _openvino_forward(
    module: Any, request: EmbedRequest, device: str, threads: int | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    try:
        import openvino
    except ImportError as error:
        raise BenchError(
            "The backend openvino is not installed.",
            where=request.encoder.name,
            fix="pip install 'benchbench-retina[openvino]', or use backend: torch",
        ) from error
    size = request.encoder.preprocess.size
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's tracer, which OpenVINO still uses
        converted = openvino.convert_model(
            module, example_input=torch.zeros(2, 3, size, size), input=[-1, 3, size, size]
        )
    if len(converted.outputs) != 1:
        raise PluginError(
            f"The forward of encoder {request.encoder.name!r} returns {len(converted.outputs)} tensors.",
            fix="return one tensor (B, embed_dim)",
        )
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(request.precision, "bf16")}
    settings["INFERENCE_NUM_THREADS"] = threads or torch.get_num_threads()
    compiled = openvino.compile_model(converted, "CPU", settings)

    def forward(x: torch.Tensor) -> torch.Tensor:
        out = compiled(x.contiguous().numpy())[0]
        return torch.from_numpy(np.array(out, dtype=np.float32))

    return forward


def is_convolutional(module: Any) -> bool:
    """True for convolutional networks, which run faster with channels last; a ViT has one convolution."""
    import torch

    return sum(isinstance(m, torch.nn.Conv2d) for m in module.modules()) > 4
