"""All figures of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...analysis import PRIMARY, Analysis, Panel
from ..tables import headline_tables
from ..text import shortened
from . import across
from .base import Drawing, house_style
from .curves import panel_curves
from .ranks import critical_difference

if TYPE_CHECKING:
    from ...cost import CostRow

__all__ = ["Drawing", "draw_all"]

PARETO = (
    ("flops", "operations per image"),
    ("latency_p50", "latency at batch 1, seconds"),
    ("parameters", "parameters"),
)
"""Quantities of cost.csv that the metric is drawn against."""


def draw_all(analysis: Analysis, cost: Sequence[CostRow] = ()) -> dict[str, Drawing]:
    """Every figure of the report by name."""
    positions = {e: i for i, e in enumerate(analysis.encoders)}
    with house_style():
        drawn: list[Drawing | None] = [
            panel_curves(p, _stamped(p, analysis.titles), positions)
            for p in analysis.panels
            if p.family == PRIMARY and p.in_domain and not p.counted
        ]
        drawn += _across(analysis, _always_stamped(analysis), positions, cost)
    return {d.name: d for d in drawn if d is not None}


def _across(
    analysis: Analysis, titles: Mapping[str, str], positions: Mapping[str, int], cost: Sequence[CostRow]
) -> list[Drawing | None]:
    drawn: list[Drawing | None] = [
        across.overview(f"overview-{i + 1}", t, titles, positions)
        for i, t in enumerate(headline_tables(analysis))
    ]
    for i, pair in enumerate(dict.fromkeys((x.first, x.second) for x in analysis.interactions)):
        members = [x for x in analysis.interactions if (x.first, x.second) == pair]
        drawn.append(across.protocol_slopes(f"protocols-{i + 1}", members, titles, positions))
    if analysis.efficiency:
        drawn.append(across.efficiency("efficiency", analysis.efficiency, titles, positions))
    for i, block in enumerate(dict.fromkeys((m.protocol, m.targets) for m in analysis.transfer)):
        matrices = [m for m in analysis.transfer if (m.protocol, m.targets) == block]
        drawn.append(across.transfer_maps(f"transfer-{i + 1}", matrices, titles))
    shared = [s for s in analysis.stamps if all(s in p.shared_stamps for p in analysis.headline)]
    drawn += [
        critical_difference(f"ranks-{i + 1}", found, titles, positions, shared)
        for i, found in enumerate(analysis.across)
        if found.ranked
    ]
    metric, values = across.mean_metric(analysis)
    costs = [(title, _costs(cost, quantity)) for quantity, title in PARETO]
    drawn.append(across.pareto("pareto", values, costs, metric, titles, positions) if cost else None)
    return drawn


def _costs(rows: Sequence[Any], quantity: str) -> dict[str, float]:
    return {r.encoder: r.value for r in rows if r.quantity == quantity and r.provenance != "unmeasured"}


def _stamped(panel: Panel, titles: Mapping[str, str]) -> dict[str, str]:
    """Names with the stamps of this panel, so that no figure shows a number without them."""
    return {e.encoder: _label(titles, e.encoder, panel.own_stamps(e.encoder)) for e in panel.estimates}


def _always_stamped(analysis: Analysis) -> dict[str, str]:
    own = {e: dict.fromkeys(s for p in analysis.panels for s in p.own_stamps(e)) for e in analysis.encoders}
    return {e: _label(analysis.titles, e, list(stamps)) for e, stamps in own.items()}


def _label(titles: Mapping[str, str], encoder: str, stamps: Sequence[str]) -> str:
    return " ".join([shortened(titles.get(encoder, encoder)), *(f"[{s}]" for s in stamps)])
