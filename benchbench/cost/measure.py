"""Measure encoders on this machine: size, speed, latency, memory, energy, from files and of the model alone.

Speed and size need no trained weights, so every encoder is built with random ones. What was measured is kept in
the store by architecture, machine and settings; encoders that differ in their weights only are measured once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..errors import PLUGIN_FAULTS, BenchError
from ..machine import usable_cores
from ..origin import plugin_identity
from ..store import Store
from .bench import EncoderBench, full_name
from .config import CostConfig
from .declared import declared_rows
from .rows import CostRow, Unmeasured, row_of
from .setup import Setup, machine_rows

if TYPE_CHECKING:
    from ..inference import EmbedRequest
    from .architecture import Architecture

log = logging.getLogger("benchbench")
Progress = Callable[[int, int, str], None]
MACHINE = {"matrix_rate": "FLOP/s"}
ARCHITECTURE = {"parameters": "parameters", "flops": "FLOP/image", "encoder_bytes": "B"}
MODEL = {
    "throughput_best": "images/s",
    "run_to_run": "share",
    "latency_p50": "ms",
    "latency_p90": "ms",
    "latency_p99": "ms",
}
MEMORY = {"memory_host": "B", "memory_rise": "B", "memory_device": "B"}
ENERGY = {"energy": "J/image"}
METERS = ("codecarbon", "nvidia-ml-py")
FILES = {"end_to_end": "images/s", "end_to_end_single": "images/s", "prepare": "images/s"}
PROBE = {"probe": "s/task"}


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

    What cannot be measured of an encoder says why, quantity by quantity; the rest goes on.
    """
    setup = Setup(config, device, threads or usable_cores(), store, fresh)
    report = progress or (lambda done, total, note: None)
    rows = _block(
        "", MACHINE, lambda: setup.cached({"what": "machine"}, lambda: machine_rows(setup), "the machine")
    )
    for i, encoder in enumerate(encoders):
        request = as_request(encoder)
        name = labels[i] if labels else full_name(request.encoder)
        report(i, len(encoders), f"measuring {name}")
        rows.extend(_encoder_rows(request, name, setup))
    report(len(encoders), len(encoders), "")
    return tuple(rows)


def _block(name: str, units: Mapping[str, str], measure: Callable[[], list[CostRow]]) -> list[CostRow]:
    """Rows of one measurement; where it fails, every quantity says why, and the other measurements go on.

    Any exception, because an encoder is a plugin's code.
    """
    try:
        return [dataclasses.replace(row, encoder=name) for row in measure()]
    except PLUGIN_FAULTS as error:
        log.warning("%s cannot be measured of %s: %s", ", ".join(units), name or "the machine", error)
        text = str(error) or type(error).__name__
        if not isinstance(error, BenchError):
            text = f"{type(error).__name__}: {error}"
        reason = " ".join(text.splitlines()[0].split())
        return [row_of(name, quantity, Unmeasured(reason, unit)) for quantity, unit in units.items()]


def as_request(encoder: EncoderInfo | EmbedRequest) -> EmbedRequest:
    """An encoder as it is measured: random weights; fp32 in torch unless a request says otherwise."""
    from ..inference import EmbedRequest

    if isinstance(encoder, EmbedRequest):
        return dataclasses.replace(encoder, weights=None, weights_sha256="")
    return EmbedRequest(encoder, None, "")


def _encoder_rows(request: EmbedRequest, name: str, setup: Setup) -> list[CostRow]:
    from .architecture import UNCOUNTED, inspect_encoder
    from .footprint import energy_rows, memory_rows

    info, bench = request.encoder, EncoderBench(request, setup)
    how: dict[str, Any] = {
        "precision": request.precision,
        "backend": request.backend,
        "version": info.version,
    }

    def architecture() -> list[CostRow]:
        found = inspect_encoder(info)
        how["architecture"] = found.key
        rows = [_computed(name, q, v, u, n) for q, v, u, n in _sizes(found)]
        uncounted = row_of(name, "flops", Unmeasured(UNCOUNTED, ARCHITECTURE["flops"]))
        return [uncounted if r.quantity == "flops" and not r.value else r for r in rows]

    rows = _block(name, ARCHITECTURE, architecture)
    how.setdefault("architecture", f"{name}: unknown")  # one that cannot be inspected shares nothing
    rows.extend(_computed(name, q, v, "B/million", n) for q, v, n in _embeddings(info.embed_dim))
    rows.extend(declared_rows(info, name, setup.config))
    how["normalise"] = info.preprocess.normalise
    how.update(plugin_identity(info.origin))
    probe = {"what": "probe", "embed_dim": info.embed_dim}
    files = {"what": "files", **how, "pixels": info.preprocess.pixels_key()}
    blocks: tuple[tuple[Mapping[str, str], dict[str, Any], Callable[[], list[CostRow]]], ...] = (
        (MODEL, {"what": "model", **how}, bench.model_rows),
        (MEMORY, {"what": "memory", **how}, lambda: memory_rows(bench)),
        (ENERGY, {"what": "energy", **how, "meters": _meters()}, lambda: energy_rows(bench)),
        (FILES, files, bench.file_rows),
        (PROBE, probe, bench.probe_rows),
    )
    for units, what, measure in blocks:
        said = f"{name}: {what['what']}"
        rows.extend(_block(name, units, lambda w=what, m=measure, s=said: setup.cached(w, m, s)))  # type: ignore[misc]
    bench.close()
    return rows


def _meters() -> dict[str, str]:
    """Versions of the packages that meter energy: one that is installed later measures what was not to be had."""
    found = {}
    for name in METERS:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _computed(name: str, quantity: str, value: float, unit: str, note: str) -> CostRow:
    return CostRow(name, quantity, float(value), unit, "computed", note=note)


def _sizes(architecture: Architecture) -> tuple[tuple[str, float, str, str], ...]:
    return (
        ("parameters", architecture.parameters, "parameters", ""),
        ("flops", architecture.flops, "FLOP/image", "a multiply-add counts as two"),
        ("encoder_bytes", architecture.state_bytes, "B", "fp32 state without decoder and optimiser"),
    )


def _embeddings(dim: int) -> tuple[tuple[str, float, str], ...]:
    million = 1_000_000
    return (
        ("embedding_bytes_fp32", dim * 4 * million, f"{dim} x 4 bytes x 1,000,000"),
        ("embedding_bytes_fp16", dim * 2 * million, f"{dim} x 2 bytes x 1,000,000"),
    )
