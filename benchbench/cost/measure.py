"""Measure encoders on this machine: size, speed, latency, memory, energy, from files and of the model alone.

Speed and size need no trained weights, so every encoder is built with random ones. What was measured is kept in
the store by architecture, machine and settings; encoders that differ in their weights only are measured once.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..machine import usable_cores
from ..store import Store
from .bench import EncoderBench, full_name
from .config import CostConfig
from .declared import declared_rows
from .rows import CostRow, Unmeasured, row_of
from .setup import Setup, machine_rows

if TYPE_CHECKING:
    from ..inference import EmbedRequest

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]


def measure_encoders(
    encoders: Sequence[EncoderInfo | EmbedRequest],
    config: CostConfig,
    *,
    store: Store | None = None,
    device: str = "cpu",
    threads: int | None = None,
    fresh: bool = False,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[CostRow, ...]:
    """Every cost of every encoder on this machine, as rows of cost.csv.

    Args:
        encoders: Cards, or requests where precision or backend differ from fp32 in torch. Weights are not used.
        config: How long to measure, batch sizes, and the constants for declared cost.
        store: Remembers what was measured; None measures anew.
        device: "cpu" or "cuda".
        threads: CPU threads; None: all cores.
        fresh: Measure again what the store remembers.
        labels: Names for the rows, one per encoder; default: name and variant.
        progress: Called as progress(done, total, note).

    An encoder that cannot be built or run gets rows that say so; the others go on.
    """
    setup = Setup(config, device, threads or usable_cores(), store, fresh)
    report = progress or (lambda done, total, note: None)
    rows: list[CostRow] = list(setup.cached({"what": "machine"}, lambda: machine_rows(setup), "the machine"))
    for i, encoder in enumerate(encoders):
        request = as_request(encoder)
        name = labels[i] if labels else full_name(request.encoder)
        report(i, len(encoders), f"measuring {name}")
        try:
            rows.extend(_encoder_rows(request, name, setup))
        except Exception as error:  # an encoder may raise anything
            log.warning("the cost of %s cannot be measured: %s", name, error)
            reason = f"the encoder does not run here: {str(error).splitlines()[0] if str(error) else error!r}"
            rows.append(row_of(name, "throughput", Unmeasured(reason, "images/s")))
    report(len(encoders), len(encoders), "")
    return tuple(rows)


def as_request(encoder: EncoderInfo | EmbedRequest) -> EmbedRequest:
    """An encoder as it is measured: random weights; fp32 in torch unless a request says otherwise."""
    from ..inference import EmbedRequest

    if isinstance(encoder, EmbedRequest):
        return dataclasses.replace(encoder, weights=None, weights_sha256="")
    return EmbedRequest(encoder, None, "")


def _encoder_rows(request: EmbedRequest, name: str, setup: Setup) -> list[CostRow]:
    from .architecture import inspect_encoder

    info = request.encoder
    architecture = inspect_encoder(info)
    rows = [_computed(name, q, v, u, n) for q, v, u, n in _sizes(architecture, info.embed_dim)]
    rows.extend(declared_rows(info, name, setup.config))
    how = {"precision": request.precision, "backend": request.backend, "architecture": architecture.key}
    bench = EncoderBench(request, setup)
    model = setup.cached({"what": "model", **how}, bench.model_rows, f"{name}: the model alone")
    pixels = {"what": "files", **how, "pixels": info.preprocess.pixels_key()}
    files = setup.cached(pixels, bench.file_rows, f"{name}: from files")
    probe = setup.cached(
        {"what": "probe", "embed_dim": info.embed_dim}, bench.probe_rows, f"{name}: linear probe"
    )
    bench.close()
    measured = [dataclasses.replace(row, encoder=name) for row in (*model, *files, *probe)]
    return [*rows, *measured]


def _computed(name: str, quantity: str, value: float, unit: str, note: str) -> CostRow:
    return CostRow(name, quantity, float(value), unit, "computed", note=note)


def _sizes(architecture: Any, dim: int) -> tuple[tuple[str, float, str, str], ...]:
    million = 1_000_000
    return (
        ("parameters", architecture.parameters, "parameters", ""),
        ("flops", architecture.flops, "FLOP/image", "a multiply-add counts as two"),
        ("encoder_bytes", architecture.state_bytes, "B", "fp32 state without decoder and optimiser"),
        ("embedding_bytes_fp32", dim * 4 * million, "B/million", f"{dim} x 4 bytes x 1,000,000"),
        ("embedding_bytes_fp16", dim * 2 * million, "B/million", f"{dim} x 2 bytes x 1,000,000"),
    )
