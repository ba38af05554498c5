"""What a suite will cost on one GPU, before anything runs: images x passes x FLOPs / rate.

Embedding protocols pass every image of a data set through an encoder once, whatever the number of protocols. A training
passes each training image forward and backward (three times the arithmetic of a pass) and each validation image
once per epoch. Reading files, fitting probes and the statistics are not counted.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ..api import CellSpec, DatasetInfo, EncoderInfo, Task

if TYPE_CHECKING:
    from ..plan import ProtocolPlan
    from ..plugins import Registry
    from ..suite import EncoderUse, SuiteFile

TRAINING_PASSES = 3.0
HELD_OUT = 0.2
"""Share of the training images that a fine-tune judges its epochs on."""
TRAINED, TESTED = 0.7, 0.3
"""Shares of a data set whose card does not state its official parts."""
DECLARED_RATE = 0.6 * 954 * 123.11e9
"""FLOP/s assumed where nothing was measured."""
DECLARED_FROM = (
    "60 % of an RTX 4090's rate in timm's published inference results (ViT-L/16 at 224 pixels, amp: 954 images/s of "
    "123.11 GFLOP)"
)


@dataclass(frozen=True)
class Share:
    """What one encoder costs under one protocol.

    Attributes:
        passes: Forward passes of single images, or their equivalent; None where the number of images is not known.
        hours: Of one GPU; None where passes or FLOPs are not known.
        rate_from: How the rate was had.
    """

    protocol: str
    encoder: str
    passes: float | None
    hours: float | None
    rate_from: str


def expected_cost(
    file: SuiteFile,
    registry: Registry,
    datasets: Mapping[str, DatasetInfo],
    images: Mapping[str, int] | None = None,
    speeds: Mapping[tuple[str, str], tuple[float, str]] | None = None,
    demo: bool = False,
) -> tuple[Share, ...]:
    """One share per protocol and encoder of a suite, in its order.

    Args:
        datasets: Cards of the suite's data sets.
        images: Number of images of the data sets that are at hand; others count as their cards expect.
        speeds: (encoder, precision) -> (images per second of a forward pass, where that was measured).
    """
    from ..plan import resolve_protocols

    tasks = tuple((use.task, _task(datasets, use.task)) for use in file.suite.tasks)
    sizes = {name: _images(file, info, images or {}) for name, info in datasets.items()}
    shares = []
    embedded: set[tuple[str, str]] = set()
    for protocol in resolve_protocols(file, registry.protocol, demo):
        chosen = tuple(t for t in tasks if protocol.use.tasks is None or t[0] in protocol.use.tasks)
        specs = protocol.info.cells(chosen, protocol.config)
        for use in file.suite.encoders:
            if protocol.use.encoders is None or use.label in protocol.use.encoders:
                passes = _passes(protocol, specs, sizes, datasets, use.label, embedded)
                info = registry.encoder(use.name)
                speed = _speed(use.name, info, _precision(protocol, use), speeds or {})
                hours, source = _hours(passes, info, speed)
                shares.append(Share(protocol.label, use.label, passes, hours, source))
    return tuple(shares)


def forward_flops(info: EncoderInfo) -> float | None:
    """FLOP of one image's forward pass (a multiply-add counts as two), or None for an encoder not in the table."""
    return _table().get((info.name, info.preprocess.size))


@cache
def _table() -> dict[tuple[str, int], float]:
    text = (files("benchbench.cost") / "forward_flops.csv").read_text(encoding="utf-8")
    return {
        (row["encoder"], int(row["pixels"])): float(row["gflop"]) * 1e9
        for row in csv.DictReader(text.splitlines())
    }


def _task(datasets: Mapping[str, DatasetInfo], name: str) -> Task:
    return datasets[name.rpartition("/")[0]].task(name.rpartition("/")[2])


def _images(file: SuiteFile, info: DatasetInfo, known: Mapping[str, int]) -> int | None:
    use = file.suite.datasets.get(info.name)
    if use is not None and use.simulated is not None:
        return use.simulated.images
    return known.get(info.name, _stated(info, "total"))


def _stated(info: DatasetInfo, part: str) -> int | None:
    """The card's number of images; of several releases the first."""
    count = info.expected.get(part)
    return count[0] if isinstance(count, tuple) else count


def _passes(
    protocol: ProtocolPlan,
    specs: tuple[CellSpec, ...],
    sizes: Mapping[str, int | None],
    datasets: Mapping[str, DatasetInfo],
    encoder: str,
    embedded: set[tuple[str, str]],
) -> float | None:
    """Passes of one encoder under one protocol; what it has embedded before (`embedded`, added to) costs nothing."""
    used = {name.rpartition("/")[0] for spec in specs for name in spec.tasks}
    if any(sizes[name] is None for name in used):
        return None
    if protocol.info.needs == "embeddings":
        fresh = {name for name in used if (encoder, name) not in embedded}
        embedded |= {(encoder, name) for name in fresh}
        return float(sum(sizes[name] or 0 for name in fresh))
    return sum(_training(protocol, spec, sizes, datasets) for spec in specs) * len(protocol.seeds)


def _training(
    protocol: ProtocolPlan,
    spec: CellSpec,
    sizes: Mapping[str, int | None],
    datasets: Mapping[str, DatasetInfo],
) -> float:
    settings = protocol.settings
    train = sum(_part("train", TRAINED, name, sizes, datasets) for name in spec.sources)
    kept = train * (1 - HELD_OUT) * float(dict(spec.axes).get("fraction", 1.0))
    limited = min(kept, settings.get("limit_images") or kept)
    per_image = 1.0 if settings.get("train") == "head" else TRAINING_PASSES
    epoch = per_image * limited + HELD_OUT * train
    whole = settings.get("target") == "whole"
    judged = {t.rpartition("/")[0]: t for t in spec.targets}
    tested = sum(
        float(sizes[name] or 0)
        if whole and t not in spec.sources
        else _part("test", TESTED, t, sizes, datasets)
        for name, t in judged.items()
    )
    return float(settings.get("epochs", 1)) * epoch + tested


def _part(
    part: str, share: float, task: str, sizes: Mapping[str, int | None], datasets: Mapping[str, DatasetInfo]
) -> float:
    """Images of a part: in the proportion of the card's official parts, else by the usual share."""
    name = task.rpartition("/")[0]
    size = float(sizes[name] or 0)
    stated, total = _stated(datasets[name], part), _stated(datasets[name], "total")
    return size * (share if stated is None or not total else stated / total)


def _precision(protocol: ProtocolPlan, use: EncoderUse) -> str:
    """What one encoder computes in on a GPU: a recipe may overrule the suite, as `training.recipe` says."""
    wanted = None if protocol.info.needs == "embeddings" else protocol.settings.get("precision")
    if wanted == "auto":
        return "bf16" if use.precision == "fp32" else use.precision
    return str(wanted or use.precision)


def _speed(
    name: str, info: EncoderInfo, precision: str, speeds: Mapping[tuple[str, str], tuple[float, str]]
) -> tuple[float, str] | None:
    """The encoder's own speed, else that of one with as many FLOPs on as many pixels.

    Encoders that differ in their weights only are measured once, and the store has that under one of their names.
    """
    if own := speeds.get((name, precision)):
        return own
    flops, size = forward_flops(info), info.preprocess.size
    alike = (n for (n, pixels), other in _table().items() if (pixels, other) == (size, flops))
    found = ((n, speeds[n, precision]) for n in alike if (n, precision) in speeds)
    return next(((rate, f"{said}; of {n}, which has as many FLOPs") for n, (rate, said) in found), None)


def _hours(
    passes: float | None, info: EncoderInfo, speed: tuple[float, str] | None
) -> tuple[float | None, str]:
    if speed is not None:
        return None if passes is None else passes / speed[0] / 3600, f"measured: {speed[1]}"
    flops = forward_flops(info)
    if passes is None or flops is None:
        return None, "" if flops is not None else "its FLOPs are not in the table"
    return passes * flops / DECLARED_RATE / 3600, DECLARED_FROM
