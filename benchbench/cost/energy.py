"""Energy of a piece of work: from a meter where there is one, from a named estimate otherwise.

Meters: NVIDIA's energy counter (package nvidia-ml-py) for a GPU, RAPL through Linux's powercap files for a processor.
Estimate, for a processor without a meter: codecarbon's offline tracker, which guesses its power from a table. A meter
that fails says so and harms nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Energy:
    """Joules of one piece of work by one meter; `joules` is None where the meter could not tell."""

    meter: str
    joules: float | None
    measured: bool
    """False: estimated."""
    reason: str = ""


def measure_energy(
    work: Callable[[], object],
    device: str,
    powercap: Path = POWERCAP,
    *,
    estimate: bool = True,
    unmetered: bool = True,
) -> tuple[Energy, ...]:
    """Run `work` once with the meter that fits the device; the work's own errors pass through.

    Args:
        work: What is metered. The meters count the whole device: whatever else runs on it counts too.
        device: "cpu": the processor packages; "cuda": the GPU alone, whose host may draw as much again.
        powercap: Folder of Linux's energy counters.
        estimate: Fall back on codecarbon where a processor has no meter.
        unmetered: Do the work also where no meter runs.
    """
    cuda = device.startswith("cuda")
    meters: list[Any] = [_Nvml(device) if cuda else _Rapl(powercap)]
    meters[0].start()
    if meters[0].reason and estimate and not cuda:
        meters.append(_CodeCarbon())
        meters[-1].start()
    try:
        if unmetered or any(not meter.reason for meter in meters):
            work()
    finally:
        found = tuple(meter.stop() for meter in meters)
    return found


class _Meter:
    name = ""
    measured = True

    def __init__(self) -> None:
        self.reason = ""

    def start(self) -> None:
        try:
            self._start()
        except ImportError:
            self.reason = f"{self.name}: not installed; pip install 'benchbench-retina[energy]'"
        except Exception as error:  # a meter must never fail the run
            self.reason = self._why(error)

    def stop(self) -> Energy:
        if not self.reason:
            try:
                joules = self._stop()
                if joules > 0:
                    return Energy(self.name, joules, self.measured)
                self.reason = f"{self.name}: the counter did not move"
            except Exception as error:
                self.reason = self._why(error)
        return Energy(self.name, None, self.measured, self.reason)

    def _why(self, error: Exception) -> str:
        return f"{self.name}: {str(error) or type(error).__name__}"

    def _start(self) -> None:
        raise NotImplementedError

    def _stop(self) -> float:
        raise NotImplementedError


class _Nvml(_Meter):
    name = "NVML energy counter"

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def _start(self) -> None:
        import pynvml
        import torch

        pynvml.nvmlInit()
        index = torch.device(self.device).index or 0
        uuid = str(torch.cuda.get_device_properties(index).uuid)  # NVML numbers GPUs in another order
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())
        self._before = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)

    def _stop(self) -> float:
        import pynvml

        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) - self._before) / 1000


class _Rapl(_Meter):
    name = "RAPL"

    def __init__(self, powercap: Path) -> None:
        super().__init__()
        self.powercap = powercap

    def _start(self) -> None:
        # A zone below a package is part of it, and the zone psys (the whole board) contains the packages.
        zones = sorted(self.powercap.glob("intel-rapl:[0-9]*"))
        self._zones = [z for z in zones if (z / "name").read_text().startswith("package")]
        if not self._zones:
            raise OSError(f"no energy counter of a processor package in {self.powercap}")
        self._before = self._read()

    def _stop(self) -> float:
        total = 0
        for zone, before, after in zip(self._zones, self._before, self._read(), strict=True):
            wrap = int((zone / "max_energy_range_uj").read_text())
            total += (after - before) % wrap if after < before else after - before
        return total / 1e6

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]


class _CodeCarbon(_Meter):
    name = "codecarbon estimate"
    measured = False

    def _start(self) -> None:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it talks before it reads its own setting
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="GBR", measure_power_secs=1, save_to_file=False, log_level="critical"
        )
        self._tracker.start()

    def _stop(self) -> float:
        self._tracker.stop()
        return float(self._tracker.final_emissions_data.energy_consumed) * 3.6e6
