"""What machine and which versions a run used."""

from __future__ import annotations

import gc
import itertools
import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "benchbench-retina",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "pillow",
    "pluggy",
    "openvino",
)
OPTIONAL = ("openvino",)
SPEED = ("python", "torch", "timm", "numpy")
"""Versions that every timing depends on."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware(device: str = "cpu") -> dict[str, str]:
    """Processor, cores, memory, system and, for a CUDA device, the GPU."""
    found = {
        "processor": _processor(),
        "cores": str(usable_cores()),
        "memory_gib": f"{_memory_bytes() / 2**30:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "device": device,
    }
    if device.startswith("cuda"):
        import torch

        properties = torch.cuda.get_device_properties(torch.device(device))
        found["gpu"] = properties.name
        found["gpu_memory_gib"] = f"{properties.total_memory / 2**30:.1f}"
        found["cuda"] = str(torch.version.cuda)
    return found


@cache
def machine_line(device: str = "cpu") -> str:
    """What a timing was had on: processor or GPU, cores, and versions, in one line."""
    from .processor import remedy_state

    here, found = hardware(device), versions()
    parts = [f"{here.get('gpu') or here['processor']}, {here['cores']} cores"]
    parts += [f"{name} {found[name]}" for name in SPEED]
    if (state := remedy_state()) != "not an AMD processor":
        parts.append(f"MKL on AMD {state}")
    return "; ".join(parts)


def usable_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def visible_gpus(devices: Path = Path("/dev")) -> int:
    """NVIDIA GPUs that this process may use, without asking torch, whose import takes a second (Linux)."""
    there = len([p for p in devices.glob("nvidia[0-9]*") if p.name.removeprefix("nvidia").isdigit()])
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return there
    names = [c.strip() for c in chosen.split(",")]
    # CUDA reads the list up to the first name that is none: "-1" hides all GPUs
    return min(
        there, sum(1 for _ in itertools.takewhile(lambda name: name and not name.startswith("-"), names))
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib / 1024 if sys.platform != "darwin" else kib / 2**20, 1)


def free_memory(device: str) -> None:
    """Give back what nobody holds any more, so that the next network finds room."""
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def git_commit(folder: Path) -> str:
    """Commit of the checkout that holds `folder`, with "+changes" if it was edited; empty outside git."""

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if commit and git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _gpu_driver() -> bool:
    """Whether an NVIDIA driver may be there; False only where it surely is not."""
    if not sys.platform.startswith("linux"):
        return True
    return any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"))


def choose_device(wanted: str) -> str:
    """``auto`` becomes cuda where there is a GPU, else cpu; ``cpu``, ``cuda`` and ``cuda:N`` are checked.

    Raises:
        BenchError: there is no such kind of device, or it is not here.
    """
    from .errors import BenchError, did_you_mean

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        hint = did_you_mean(wanted, ("auto", "cpu", "cuda"))
        raise BenchError(
            f"There is no device {wanted!r}{'; ' + hint if hint else '.'}",
            where=f"--device {wanted}",
            fix="use auto, cpu, cuda or cuda:N",
        )
    if wanted == "cpu" or (wanted == "auto" and not _gpu_driver()):
        return "cpu"  # without importing torch: a run that finds everything in the store never needs it
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.device_count():  # counted, not touched: that would start CUDA in a process that forks
        raise BenchError(
            "There is no CUDA device here.",
            where=f"--device {wanted}",
            fix="use --device cpu, or see what is wrong with: bench doctor",
        )
    number = int(wanted.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        raise BenchError(
            f"There is no CUDA device number {number} here; the last one is {torch.cuda.device_count() - 1}.",
            where=f"--device {wanted}",
            fix="use --device cuda:0",
        )
    return wanted
