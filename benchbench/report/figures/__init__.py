"""All figures of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...analysis import PRIMARY, Analysis, Panel
from ..faults import Faults, attempt
from ..tables import headline_tables
from ..text import distinct
from . import across
from .base import MAX_SERIES, Drawing, house_style
from .curves import PANEL_FIGURES
from .ranks import critical_difference

if TYPE_CHECKING:
    from ...cost import CostRow

__all__ = ["Drawing", "draw_all"]

MANY_PANELS, FEW_SERIES = 40, 4
"""With more panels than this each draws fewer encoders: the page is one file, and stays under 6 MB."""
PARETO = (
    ("flops", "operations per image"),
    ("latency_p50", "latency at batch 1, seconds"),
    ("parameters", "parameters"),
)
"""Quantities of cost.csv that the metric is drawn against."""


def draw_all(
    analysis: Analysis, cost: Sequence[CostRow] = (), faults: Faults | None = None
) -> dict[str, Drawing]:
    """Every figure of the report by name; one that cannot be drawn is named in `faults`, and the others are drawn."""
    faults = {} if faults is None else faults
    positions = {e: i for i, e in enumerate(analysis.encoders)}
    labels = distinct(analysis.titles)
    drawn: dict[str, Drawing] = {}
    with house_style():
        for name, draw in [
            *_of_panels(analysis, labels, positions),
            *_across(analysis, _always_stamped(analysis, labels), positions, cost),
        ]:
            drawing = attempt(f"figures/{name}", faults, draw, None)
            if drawing is not None:
                drawn[name] = drawing
    return drawn


Draw = tuple[str, Callable[[], Drawing | None]]
"""Name of a figure, and what draws it; None where there is nothing to draw."""


def _of_panels(analysis: Analysis, labels: Mapping[str, str], positions: Mapping[str, int]) -> Iterator[Draw]:
    panels = [p for p in analysis.panels if p.family == PRIMARY and p.in_domain and not p.counted]
    most = MAX_SERIES if len(panels) <= MANY_PANELS else FEW_SERIES
    for panel in panels:
        named = _stamped(panel, labels)
        for kind, draw in PANEL_FIGURES.items():
            name = f"{kind}-{panel.id}"
            yield name, partial(draw, name, panel, named, positions, most)


def _across(
    analysis: Analysis, titles: Mapping[str, str], positions: Mapping[str, int], cost: Sequence[CostRow]
) -> Iterator[Draw]:
    for i, table in enumerate(headline_tables(analysis), 1):
        yield f"overview-{i}", partial(across.overview, f"overview-{i}", table, titles, positions)
    pairs = dict.fromkeys((x.first, x.second) for x in analysis.interactions)
    for i, pair in enumerate(pairs, 1):
        members = [x for x in analysis.interactions if (x.first, x.second) == pair]
        name = f"protocols-{i}"
        yield name, partial(across.protocol_slopes, name, members, titles, positions)
    for i, protocol in enumerate(dict.fromkeys(c.protocol for c in analysis.efficiency), 1):
        curves = [c for c in analysis.efficiency if c.protocol == protocol]
        name = f"efficiency-{i}"
        yield name, partial(across.efficiency, name, curves, titles, positions)
    blocks = dict.fromkeys((m.protocol, m.metric, m.targets) for m in analysis.transfer)
    for i, block in enumerate(blocks, 1):
        matrices = [m for m in analysis.transfer if (m.protocol, m.metric, m.targets) == block]
        yield f"transfer-{i}", partial(across.transfer_maps, f"transfer-{i}", matrices, titles)
    shared = [s for s in analysis.stamps if all(s in p.shared_stamps for p in analysis.headline)]
    for i, found in enumerate(analysis.across, 1):
        if found.ranked:
            name = f"ranks-{i}"
            yield name, partial(critical_difference, name, found, titles, positions, shared)
    if cost:
        yield "pareto", partial(_pareto, analysis, titles, positions, cost)


def _pareto(
    analysis: Analysis, titles: Mapping[str, str], positions: Mapping[str, int], cost: Sequence[CostRow]
) -> Drawing | None:
    metric, values = across.mean_metric(analysis)
    costs = [(title, _costs(cost, quantity)) for quantity, title in PARETO]
    return across.pareto("pareto", values, costs, metric, titles, positions)


def _costs(rows: Sequence[CostRow], quantity: str) -> dict[str, float]:
    return {r.encoder: r.value for r in rows if r.quantity == quantity and r.provenance != "unmeasured"}


def _stamped(panel: Panel, labels: Mapping[str, str]) -> dict[str, str]:
    """Names with the stamps of this panel, so that no figure shows a number without them."""
    return {e.encoder: _label(labels, e.encoder, panel.own_stamps(e.encoder)) for e in panel.estimates}


def _always_stamped(analysis: Analysis, labels: Mapping[str, str]) -> dict[str, str]:
    own = {e: dict.fromkeys(s for p in analysis.panels for s in p.own_stamps(e)) for e in analysis.encoders}
    return {e: _label(labels, e, list(stamps)) for e, stamps in own.items()}


def _label(labels: Mapping[str, str], encoder: str, stamps: Sequence[str]) -> str:
    return " ".join([labels.get(encoder, encoder), *(f"[{s}]" for s in stamps)])
