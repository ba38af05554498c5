"""Declared cost of pre-training: what the authors state, turned into money and carbon with stated constants."""

from __future__ import annotations

import math

from ..api import EncoderInfo
from .config import CostConfig
from .rows import CostRow


def declared_rows(info: EncoderInfo, name: str, config: CostConfig) -> tuple[CostRow, ...]:
    """Pre-training images, GPU-days, money, energy, carbon, and size of the published checkpoint."""
    return (*_data(info, name), *_compute(info, name, config), *_checkpoint(info, name))


def _data(info: EncoderInfo, name: str) -> tuple[CostRow, ...]:
    counts = [s.images for s in info.pretraining]
    if not counts:
        return (_missing(name, "pretraining_images", "images", "the card states no pre-training data"),)
    if None in counts:
        unknown = ", ".join(s.name for s in info.pretraining if s.images is None)
        return (_missing(name, "pretraining_images", "images", f"the size of {unknown} is not stated"),)
    total = float(sum(c for c in counts if c is not None))
    sources = "; ".join(dict.fromkeys(s.source for s in info.pretraining))
    sets = " + ".join(s.name for s in info.pretraining)
    return (CostRow(name, "pretraining_images", total, "images", "declared", reason=sources, note=sets),)


def _compute(info: EncoderInfo, name: str, config: CostConfig) -> tuple[CostRow, ...]:
    compute = info.compute
    quantities = (
        ("pretraining_gpu_days", "GPU-days"),
        ("pretraining_price", config.currency),
        ("pretraining_energy", "kWh"),
        ("pretraining_carbon", "kg CO2"),
        ("pretraining_coal", "kg coal"),
    )
    if compute is None or compute.gpu_days is None:
        return tuple(_missing(name, q, u, "the authors do not state their compute") for q, u in quantities)
    kwh = compute.gpu_days * 24 * config.gpu_watts / 1000 * config.pue
    carbon = kwh * config.grid_kg_co2_per_kwh
    values = (
        compute.gpu_days,
        compute.gpu_days * 24 * config.price_per_gpu_hour,
        kwh,
        carbon,
        carbon / config.kg_co2_per_kg_coal,
    )
    notes = (
        compute.hardware,
        "GPU-days x 24 x price",
        "GPU-days x 24 x watts x PUE",
        "energy x grid intensity",
        "carbon / carbon from a kg of coal",
    )
    return tuple(
        CostRow(name, q, v, u, "declared", reason=compute.source, note=n)
        for (q, u), v, n in zip(quantities, values, notes, strict=True)
    )


def _checkpoint(info: EncoderInfo, name: str) -> tuple[CostRow, ...]:
    weights = info.weights
    if weights is None or weights.size_bytes is None:
        return (_missing(name, "checkpoint_bytes", "B", "the card does not state the size of a checkpoint"),)
    return (
        CostRow(name, "checkpoint_bytes", float(weights.size_bytes), "B", "declared", reason=weights.source),
    )


def _missing(name: str, quantity: str, unit: str, reason: str) -> CostRow:
    return CostRow(name, quantity, math.nan, unit, "unmeasured", reason=reason)
