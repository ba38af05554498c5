"""Cross-dataset transfer: matrices of trained-on against tested-on, and the loss against training in-domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from .cases import Cases, Key
from .efficiency import FRACTION
from .model import OTHERS, PRIMARY, Drop, Panel, TransferMatrix
from .pairing import paired_test
from .panels import correct, panel_id

FAMILY = "loss in transfer"


def transfer_matrices(
    panels: Sequence[Panel], cases: Mapping[Key, Cases], alpha: float
) -> tuple[TransferMatrix, ...]:
    """One matrix per encoder, protocol, metric and set of tasks that were transferred into each other."""
    primary = [p for p in panels if p.family == PRIMARY]
    by_id = {panel_id(key): found for key, found in cases.items()}
    matrices = []
    away = [p for p in primary if not p.in_domain]
    for protocol, metric in dict.fromkeys((p.protocol, p.metric) for p in away):
        moved = [p for p in away if (p.protocol, p.metric) == (protocol, metric)]
        for tasks in _connected(moved):
            block = [p for p in moved if p.task in tasks]
            homes = {t: _home(panels, t, protocol) for t in sorted(tasks)}
            encoders = dict.fromkeys(e.encoder for p in block for e in p.estimates)
            matrices += [_matrix(e, protocol, block, homes, by_id) for e in encoders]
    return _corrected(matrices, alpha)


def _connected(panels: Sequence[Panel]) -> list[set[str]]:
    """Tasks linked by any transfer, so that unrelated tasks get matrices of their own."""
    groups: list[set[str]] = []
    for p in panels:
        linked = [g for g in groups if p.task in g or p.source_task in g]
        merged = {p.task, p.source_task}.union(*linked) if linked else {p.task, p.source_task}
        groups = [*(g for g in groups if g not in linked), merged]
    return groups


def _home(panels: Sequence[Panel], task: str, protocol: str) -> Panel | None:
    """The in-domain panel that a transferred result is measured against: the same protocol where it ran."""
    found = [p for p in panels if p.task == p.source_task == task and FRACTION not in dict(p.axes)]
    return next((p for p in found if p.protocol == protocol), found[0] if found else None)


def _matrix(
    encoder: str,
    protocol: str,
    block: Sequence[Panel],
    homes: Mapping[str, Panel | None],
    by_id: Mapping[str, Cases],
) -> TransferMatrix:
    sources = tuple(dict.fromkeys(p.source_task for p in block))
    targets = tuple(dict.fromkeys([*sources, *(p.task for p in block)]))
    names = tuple(t for t in targets if t != OTHERS)
    values, lows, highs = (np.full((len(sources), len(names)), np.nan) for _ in range(3))
    drops = []
    for panel in [*block, *(h for h in homes.values() if h is not None)]:
        found = panel.estimate(encoder)
        if found is None or panel.source_task not in sources or panel.task not in names:
            continue
        at = sources.index(panel.source_task), names.index(panel.task)
        for grid, value in zip(
            (values, lows, highs), (found.shown, found.ci_low, found.ci_high), strict=True
        ):
            grid[at] = np.nan if value is None else value
        home = homes.get(panel.task)
        if not panel.in_domain and home is not None:
            drops.append(_drop(encoder, panel, home, by_id))
    titles = {p.task: p.title for p in block} | {p.source_task: p.source_title for p in block}
    return TransferMatrix(
        encoder,
        protocol,
        block[0].metric,
        tuple(titles[s] for s in sources),
        tuple(titles[t] for t in names),
        values,
        lows,
        highs,
        tuple(drops),
    )


def _drop(encoder: str, panel: Panel, home: Panel, by_id: Mapping[str, Cases]) -> Drop:
    """In-domain minus transferred, paired on the in-domain test images where both scored them."""
    there, here = panel.estimate(encoder), home.estimate(encoder)
    comparison = None
    if here is not None and there is not None and home.metric == panel.metric:
        names = ("in-domain", f"trained on {panel.source_title}")
        comparison = paired_test(
            encoder, panel.metric, by_id[home.id], by_id[panel.id], names, panel.id, FAMILY
        )
    if comparison is not None:  # both on the target's test images, whatever else the transfer was judged on
        in_domain, transferred = comparison.value_first, comparison.value_second
    else:
        in_domain = None if here is None else here.value
        transferred = None if there is None else there.value
    return Drop(
        panel.source_title,
        panel.title,
        encoder,
        panel.protocol,
        home.protocol,
        in_domain,
        transferred,
        comparison,
    )


def _corrected(matrices: Sequence[TransferMatrix], alpha: float) -> tuple[TransferMatrix, ...]:
    """Holm over the different tests: a protocol that repeats another one's test on the same images adds none."""
    tests = {_test(d): d.comparison for m in matrices for d in m.drops if d.comparison is not None}
    corrected = dict(zip(tests, correct([c for c in tests.values() if c is not None], alpha), strict=True))
    return tuple(
        dataclasses.replace(
            m,
            drops=tuple(dataclasses.replace(d, comparison=corrected.get(_test(d))) for d in m.drops),
        )
        for m in matrices
    )


def _test(drop: Drop) -> tuple[object, ...]:
    """What makes two losses the same test: encoder, data sets, and the numbers up to rounding of the scores."""
    c = drop.comparison
    numbers = () if c is None else (c.value_first, c.value_second, c.se)
    rounded = tuple(None if v is None else round(v, 9) for v in numbers)
    return (drop.encoder, drop.source, drop.target, *rounded)
