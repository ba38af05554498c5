"""Cross-dataset transfer: matrices of trained-on against tested-on, and the loss against training in-domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..statistics import compare_seeds
from .cases import Cases, Key
from .efficiency import FRACTION
from .judge import comparison_record, shaped
from .model import OTHERS, PRIMARY, Comparison, Drop, Panel, TransferMatrix
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
            (values, lows, highs), (found.value, found.ci_low, found.ci_high), strict=True
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
        comparison = _paired(encoder, panel, by_id[home.id], by_id[panel.id])
    return Drop(
        panel.source_title,
        panel.title,
        encoder,
        panel.protocol,
        home.protocol,
        None if here is None else here.value,
        None if there is None else there.value,
        comparison,
    )


def _paired(encoder: str, panel: Panel, home: Cases, away: Cases) -> Comparison | None:
    seeds = [s for s in home.scores.get(encoder, {}) if s in away.scores.get(encoder, {})]
    position = {image: i for i, image in enumerate(away.image_ids)}
    if not seeds or any(image not in position for image in home.image_ids):
        return None
    order = np.array([position[image] for image in home.image_ids], dtype=np.intp)
    if not np.array_equal(away.labels[order], home.labels, equal_nan=True):
        return None
    if home.paired_eyes and not home.identified:
        return None
    metric = panel.metric
    scores = np.stack(
        [
            [shaped(home.scores[encoder][s], metric) for s in seeds],
            [shaped(away.scores[encoder][s][order], metric) for s in seeds],
        ]
    )
    name = "multilabel_macro_auroc" if metric == "macro_auroc" and home.labels.ndim == 2 else metric
    pair = compare_seeds(name, home.labels, scores, home.groups).pairs[0]
    labels = ("in-domain", f"trained on {panel.source_title}")
    return comparison_record(pair, labels, panel.id, FAMILY)


def _corrected(matrices: Sequence[TransferMatrix], alpha: float) -> tuple[TransferMatrix, ...]:
    drops = [d for m in matrices for d in m.drops]
    corrected = iter(correct([d.comparison for d in drops if d.comparison is not None], alpha))
    done = []
    for m in matrices:
        replaced = tuple(
            d if d.comparison is None else dataclasses.replace(d, comparison=next(corrected)) for d in m.drops
        )
        done.append(dataclasses.replace(m, drops=replaced))
    return tuple(done)
