"""Settings of cost measurement, and the constants that turn declared compute into money and carbon."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _off(value: Any) -> Any:
    return "off" if value is False else value  # a bare `off` is YAML's word for false


_Batch = Annotated[int, Field(ge=1)]
_Side = Annotated[int, Field(ge=64, le=12_000)]
"""Pixels; above 178 million in all Pillow takes a JPEG for an attack."""


class CostConfig(BaseModel):
    """Whether and how compute cost is measured, and the constants that turn it into money and carbon.

    The report prints the constants beside what they gave; docs/explanation/cost.md says where the defaults are
    from and what the published comparison must have assumed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Annotated[Literal["off", "quick", "full"], BeforeValidator(_off)] = Field(
        "off", description="quick: seconds per value; full: a minute per value."
    )
    batches: Annotated[tuple[_Batch, ...], Field(min_length=1)] | None = Field(
        None,
        description="Batch sizes of the throughput sweep; default: 1, 8, 32, and on a GPU 64, 128, 256 as well.",
    )
    subject: str | None = Field(
        None, description="Encoder of the 'versus best' column; default: the first of the suite."
    )
    photograph: tuple[_Side, _Side] = Field(
        (4288, 2848), description="Width and height of the JPEG used for the end-to-end speed, in pixels."
    )
    price_per_gpu_hour: float = Field(3.67, ge=0, description="Money per GPU-hour, in `currency`.")
    currency: str = "USD"
    gpu_watts: float = Field(400.0, gt=0, description="Power of the declared GPU under load.")
    pue: float = Field(1.2, ge=1, description="Power usage effectiveness of the data centre.")
    grid_kg_co2_per_kwh: float = Field(0.4, ge=0, description="Carbon intensity of the grid.")
    kg_co2_per_kg_coal: float = Field(
        2.0, gt=0, description="Carbon dioxide from burning a kilogram of coal."
    )


def batches_of(config: CostConfig, device: str) -> tuple[int, ...]:
    """Batch sizes of the throughput sweep on a device: the suite's, else those that suit it."""
    if config.batches is not None:
        return config.batches
    return (1, 8, 32, 64, 128, 256) if device.startswith("cuda") else (1, 8, 32)


def constants(config: CostConfig) -> tuple[tuple[str, str], ...]:
    """The constants behind money and carbon as (name, value with unit), for printing beside the results."""
    return (
        ("price of a GPU-hour", f"{config.price_per_gpu_hour:g} {config.currency}"),
        ("power of a GPU", f"{config.gpu_watts:g} W"),
        ("power usage effectiveness", f"{config.pue:g}"),
        ("carbon intensity of the grid", f"{config.grid_kg_co2_per_kwh:g} kg CO2 per kWh"),
        ("carbon from coal", f"{config.kg_co2_per_kg_coal:g} kg CO2 per kg"),
    )
