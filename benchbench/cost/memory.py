"""Peak memory of a network in a process of its own, on the host and on the device.

In a process that has measured other things before, the largest resident size is theirs as well.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BenchError

if TYPE_CHECKING:
    from ..inference import EmbedRequest

PROC = Path("/proc/self")
BATCH = 8
"""Images at once for every encoder: peaks at different batch sizes cannot be compared."""
TIME_LIMIT_S = 300


@dataclass(frozen=True)
class Peak:
    """Bytes, or None with the reason."""

    host: int | None
    """Largest resident memory of the process while it works."""
    rise: int | None
    """The same above what the process took before the network was loaded: weights and activations."""
    device: int | None
    host_reason: str = ""
    device_reason: str = ""


def measure_peak(
    load: Callable[[], Callable[[], object]],
    device: str,
    proc: Path = PROC,
    before: Callable[[], object] = lambda: None,
) -> Peak:
    """Peak memory of this process while it works.

    Args:
        load: Brings the network into memory and returns the work, which is done once.
        device: "cpu" or "cuda".
        proc: Where Linux tells of this process.
        before: Done first, so that what it loads belongs to the baseline.
    """
    before()
    host_reason = _reset_host_peak(proc)
    baseline = None if host_reason else _host_peak(proc)
    work = load()
    if not host_reason:
        _reset_host_peak(proc)
    if cuda := device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    work()
    host = None if host_reason else _host_peak(proc)
    rise = None if host is None or baseline is None else host - baseline
    if cuda:
        return Peak(host, rise, int(torch.cuda.max_memory_allocated(device)), host_reason)
    return Peak(host, rise, None, host_reason, "the encoder ran on the CPU: its memory is the host's")


def measure_alone(request: EmbedRequest, device: str, threads: int) -> Peak:
    """Peak memory of one encoder with random weights on `BATCH` images, in a fresh process.

    Whatever goes wrong in that process is raised here.

    Raises:
        BenchError: the process was not done within `TIME_LIMIT_S`; it is killed.
    """
    from joblib.externals.loky import (
        ProcessPoolExecutor,  # a fresh interpreter, and cards with lambdas travel
    )

    pool = ProcessPoolExecutor(max_workers=1)
    try:
        future = pool.submit(_embed_once, request, device, threads)
        if not wait([future], TIME_LIMIT_S).done:
            raise BenchError(
                f"Loading the network and embedding {BATCH} images took longer than the limit of {TIME_LIMIT_S} s.",
                where=f"peak memory of {request.encoder.name}",
                fix="measure again when nothing else runs on this machine, or on a faster device",
            )
        peak: Peak = future.result()
    finally:
        pool.shutdown(kill_workers=True)  # loky's own word: no waiting for a process that is stuck
    return peak


def _embed_once(request: EmbedRequest, device: str, threads: int) -> Peak:
    import numpy as np

    from ..inference import Runner, cpu_threads
    from ..processor import keep_freed_memory

    def libraries() -> None:
        import timm
        import torch

        torch.zeros(8, 8, device=device) @ torch.zeros(8, 8, device=device)
        assert timm

    def load() -> Callable[[], object]:
        runner = Runner(request, device, threads)
        size = request.encoder.preprocess.size
        pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
        return lambda: runner(pixels).cpu()

    keep_freed_memory()  # as `bench` has it
    with cpu_threads(threads):
        return measure_peak(load, device, before=libraries)


def _reset_host_peak(proc: Path) -> str:
    try:
        (proc / "clear_refs").write_text("5")  # resets the kernel's record of the largest resident size
        return "" if _host_peak(proc) else "this system does not tell the peak memory of a process"
    except OSError as error:
        return f"the record of peak memory cannot be reset: {error.strerror or error}"


def _host_peak(proc: Path) -> int | None:
    for line in (proc / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
