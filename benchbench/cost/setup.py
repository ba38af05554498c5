"""Where and how long to measure, and the memory of what was measured before."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import BenchError
from ..machine import SPEED, hardware, machine_line, versions
from ..store import Artefact, Store, content_key
from .config import CostConfig, batches_of
from .rows import CostRow, Measured, read_cost, row_of, write_cost
from .timing import FULL, NOISY, QUICK, Effort, LoadMeter, noise_note, time_steps

SCHEMA = 3
"""Raise it when the same settings would be measured in another way."""
MATRIX = {"cpu": 2048, "cuda": 8192}
"""Side of the matrices whose product is the yardstick."""
log = logging.getLogger("benchbench")


@dataclass(frozen=True)
class Setup:
    """Where and how long to measure."""

    config: CostConfig
    device: str
    threads: int
    store: Store | None
    fresh: bool = False
    _had: dict[str, list[CostRow]] = field(default_factory=dict, repr=False)
    """What this session measured or read already."""

    @property
    def effort(self) -> Effort:
        """How long one value may take."""
        return FULL if self.config.measure == "full" else QUICK

    @cached_property
    def machine(self) -> dict[str, Any]:
        """Everything of this machine that speed depends on."""
        from ..images import codecs
        from ..processor import freed_memory_is_kept, remedy_state

        return {
            "hardware": hardware(self.device),
            "versions": {k: versions()[k] for k in (*SPEED, "openvino", "scikit-learn", "scipy")},
            "codecs": codecs(),
            "threads": self.threads,
            "mkl_on_amd": remedy_state(),
            "freed_memory_is_kept": freed_memory_is_kept(),
        }

    @property
    def versions(self) -> str:
        """One line for the rows."""
        return machine_line(self.device)

    def synchronise(self) -> None:
        """Wait until the device is done."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def cached(self, what: dict[str, Any], measure: Callable[[], list[CostRow]], name: str) -> list[CostRow]:
        """Rows from the store, or measured now (always, if `fresh`). Noisy rows are not kept in the store."""
        config = self.config.model_dump(mode="json", include={"measure", "photograph"})
        config["batches"] = list(batches_of(self.config, self.device))
        identity = {"schema": SCHEMA, "machine": self.machine, "config": config, **what}
        key = content_key(identity)
        if key in self._had:
            return self._had[key]
        found = self.store.find("cost", key) if self.store else None
        if found and not self.fresh:
            rows = list(read_cost(found.folder / "cost.csv"))
        else:
            log.info("measuring %s", name)
            rows = measure()
            if self.store and not any(NOISY in row.note for row in rows):
                self._keep(key, identity, rows, found)
        self._had[key] = rows
        return rows

    def _keep(self, key: str, identity: dict[str, Any], rows: list[CostRow], old: Artefact | None) -> None:
        """Put rows in the store; where it cannot be written they are measured again next time, that is all."""
        assert self.store is not None
        try:
            if old:
                shutil.rmtree(old.folder)
            self.store.publish("cost", key, identity, lambda folder: write_cost(folder / "cost.csv", rows))
        except (OSError, BenchError) as error:
            log.warning("what was measured is not remembered: %s", error)


def machine_rows(setup: Setup) -> list[CostRow]:
    """The rate of large matrix products here: the yardstick for speed, in the precision of the products."""
    import torch

    from ..inference import cpu_threads

    rows = []
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    size = MATRIX["cuda" if setup.device.startswith("cuda") else "cpu"]
    for precision, kind in kinds.items():
        a = torch.randn(size, size, device=setup.device).to(kind)
        load = LoadMeter()
        effort = setup.effort
        short = dataclasses.replace(effort, seconds=effort.seconds / 5, longest=effort.longest / 5)
        with cpu_threads(setup.threads):
            timing = time_steps(lambda a=a: torch.mm(a, a), short, synchronise=setup.synchronise)  # type: ignore[misc]
        rate = Measured(
            2 * size**3 / min(timing.steps),
            "FLOP/s",
            setup.device,
            precision,
            0,
            setup.threads,
            len(timing.steps),
            timing.spread,
            setup.versions,
            note=f"best of products of {size} x {size} matrices"
            + also(noise_note(math.nan, load.foreign_share())),
        )
        rows.append(row_of("", "matrix_rate", rate))
    return rows


def also(note: str) -> str:
    """A further note, set off from the one before."""
    return f"; {note}" if note else ""
