"""Peak memory of a piece of work, on the host and on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc/self")


@dataclass(frozen=True)
class Peak:
    """Bytes, or None with the reason."""

    host: int | None
    device: int | None
    host_reason: str = ""
    device_reason: str = ""


def measure_peak(work: Callable[[], object], device: str, proc: Path = PROC) -> Peak:
    """Run `work` once and tell the largest resident memory of this process, and the most the device allocated."""
    host_reason = _reset_host_peak(proc)
    if cuda := device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    work()
    host = None if host_reason else _host_peak(proc)
    if cuda:
        return Peak(host, int(torch.cuda.max_memory_allocated(device)), host_reason)
    return Peak(host, None, host_reason, "the encoder ran on the CPU: its memory is the host's")


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
