"""All figures of a report."""

from __future__ import annotations

from ...analysis import PRIMARY, Analysis
from .base import Drawing
from .curves import panel_curves

__all__ = ["Drawing", "draw_all"]


def draw_all(analysis: Analysis) -> dict[str, Drawing]:
    """Every figure of the report by name."""
    positions = {e: i for i, e in enumerate(analysis.encoders)}
    drawn = [panel_curves(p, analysis.titles, positions) for p in analysis.panels if p.family == PRIMARY]
    return {d.name: d for d in drawn if d is not None}
