"""What one encoder takes while it works: memory, in a process of its own, and energy."""

from __future__ import annotations

import dataclasses
import math
import time

from .bench import EncoderBench
from .energy import measure_energy
from .memory import BATCH, measure_alone
from .rows import CostRow, Provenance, Unmeasured
from .setup import also
from .timing import LoadMeter, noise_note


def memory_rows(bench: EncoderBench) -> list[CostRow]:
    """Peak memory on host and device, every encoder with the same number of images at once."""
    peak = measure_alone(bench.request, bench.setup.device, bench.setup.threads)
    what = (
        ("memory_host", peak.host, peak.host_reason, "whole process, libraries included"),
        ("memory_rise", peak.rise, peak.host_reason, "above the process before the network was loaded"),
        ("memory_device", peak.device, peak.device_reason, "allocated by torch"),
    )
    rows = []
    for quantity, value, reason, note in what:
        found = Unmeasured(reason, "B") if value is None else bench.measured(value, "B", BATCH, None, note)
        rows.append(bench.row(quantity, found))
    return rows


def energy_rows(bench: EncoderBench) -> list[CostRow]:
    """Energy per image over the time of one effort."""
    from ..inference import automatic_batch, cpu_threads

    setup, runner = bench.setup, bench.runner
    batch = automatic_batch(setup.device)
    data = bench.inputs(batch)
    images = 0
    foreign: float | None = None

    def work() -> None:
        nonlocal images, foreign
        load = LoadMeter()  # not before: what a meter starts up is no foreign work
        end = time.perf_counter() + min(setup.effort.seconds, 10.0)
        while images == 0 or time.perf_counter() < end:
            runner(data[0])
            images += batch
            setup.synchronise()
        foreign = load.foreign_share()

    with cpu_threads(setup.threads):
        runner(data[0])  # warm-up, and the largest batch that memory holds
        setup.synchronise()  # or the GPU would still be at it when the meter starts
        found = measure_energy(work, setup.device, unmetered=False)
    for energy in found:
        if energy.joules is not None:
            note = energy.meter + also(noise_note(math.nan, foreign))
            value = bench.measured(energy.joules / images, "J/image", min(batch, runner.limit), None, note)
            provenance: Provenance = "measured" if energy.measured else "estimated"
            return [bench.row("energy", dataclasses.replace(value, provenance=provenance))]
    return [bench.row("energy", Unmeasured("; ".join(e.reason for e in found), "J/image"))]
