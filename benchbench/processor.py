"""How this process uses the processor: settings that have to be made before torch is imported.

Spinning: OpenMP threads that wait burn the cores that the decode threads need. They are told to go to sleep soon
(GOMP_SPINCOUNT, unless the user has set it).

MKL on AMD: Intel's library asks a function of its own whether the processor is Intel's, and takes slower code if it
is not. A library that answers yes, loaded before torch, lets it take the code that the processor can run (the
remedy is described in pull request 1245 of pytorch/builder). Set BENCHBENCH_MKL_REMEDY=1 to use it; reports say
which was used.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

VARIABLE = "BENCHBENCH_MKL_REMEDY"
SPIN_COUNT = "10000"
"""Some ten microseconds; libgomp's own default is some milliseconds."""
_SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"
_MALLOC = {-3: 32 << 20, -1: 1 << 30, -2: 64 << 20}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD of glibc
_state = "off"
_keeps_freed_memory = False


def prepare_process(folder: Path) -> None:
    """Make the settings of this module; `folder` is where the small library of the remedy is kept."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    keep_freed_memory()
    apply_remedy(folder)


def keep_freed_memory() -> bool:
    """Let glibc reuse freed buffers of up to 32 MiB instead of returning them to the system and faulting them in again.

    A network's activations and a photograph's pixels are allocated and freed at every step; without this, sixty times
    as many page faults take a quarter of the time. False where the C library has no such setting.
    """
    global _keeps_freed_memory
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    _keeps_freed_memory = all(mallopt(option, value) for option, value in _MALLOC.items())
    return _keeps_freed_memory


def freed_memory_is_kept() -> bool:
    """Whether `keep_freed_memory` was called here, and worked: speeds depend on it."""
    return _keeps_freed_memory


def apply_remedy(folder: Path) -> str:
    """Load the remedy if BENCHBENCH_MKL_REMEDY=1 asks for it; call it before torch is imported.

    Args:
        folder: Where the small library is kept once it is compiled.

    Returns:
        What `remedy_state` says from now on.
    """
    global _state
    if os.environ.get(VARIABLE) != "1" or not is_amd():
        return remedy_state()
    if "torch" in sys.modules:
        _state = "off (torch was there first)"
    elif library := _library(folder):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        _state = "remedy on"
    else:
        _state = "off (there is no C compiler)"
    if _state != "remedy on":
        logging.getLogger("benchbench").warning("%s=1 has no effect: %s", VARIABLE, _state)
    return _state


def remedy_state() -> str:
    """Whether this process runs MKL with the remedy, for reports."""
    return _state if is_amd() else "not an AMD processor"


@functools.cache
def is_amd() -> bool:
    """True on AMD processors (Linux)."""
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _library(folder: Path) -> Path | None:
    library = folder / "mkl_remedy.so"
    if library.is_file():
        return library
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "mkl_remedy.c"
    source.write_text(_SOURCE)
    fresh = folder / f"mkl_remedy.{os.getpid()}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(fresh), str(source)]
    if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0:
        return None
    os.replace(fresh, library)
    return library
