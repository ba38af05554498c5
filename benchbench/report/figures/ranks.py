"""The critical-difference diagram: mean ranks over data sets, and bars over what cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...analysis.across import AcrossDatasets
from ..text import number, shortened, words
from .base import INK, MUTED, SERIES, Drawing, Series, canvas, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.26
"""Height of a name's line in inches."""


def critical_difference(
    name: str,
    found: AcrossDatasets,
    titles: Mapping[str, str],
    positions: Mapping[str, int],
    stamps: Sequence[str],
) -> Drawing:
    """Mean ranks on a line, the best on the left; a bar joins encoders within the critical difference."""
    k = len(found.ranked)
    half = -(-k // 2)
    bars = [group for group in found.groups if len(group) > 1]
    rank = {r.encoder: r.mean_rank for r in found.ranked}
    below = 0.16 * len(bars) + LINE * half + 0.3
    height = 0.95 + below
    figure = canvas(10.0, height)
    axes = figure.add_axes((0.3, 0.1 / height, 0.4, 1 - 0.55 / height))
    axes.set(xlim=(1, max(k, 2)), ylim=(-below, 0.4))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set(visible=True, position=("data", 0))
    axes.tick_params(
        axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, direction="in", pad=2
    )
    axes.xaxis.set_ticks_position("top")
    axes.set_xticks(range(1, max(k, 2) + 1))
    axes.set_yticks([])
    axes.grid(False)
    for level, group in enumerate(bars):
        low, high = min(rank[e] for e in group), max(rank[e] for e in group)
        axes.hlines(-0.12 - 0.16 * level, low - 0.03, high + 0.03, color=INK, linewidth=3)
    drawn = _names(axes, found, titles, positions, depth=0.16 * len(bars))
    _ruler(axes, found.critical_difference or 0.0, max(k, 2))
    caption = (
        f"{words(found.protocol).capitalize()}: mean rank over {len(found.datasets)} data sets, 1 is best. A bar "
        "joins encoders whose ranks differ by less than the critical difference (Nemenyi)."
    )
    listed = ", ".join(f"{titles.get(r.encoder, r.encoder)} {number(r.mean_rank, 2)}" for r in found.ranked)
    alt = f"{caption} {listed}. Critical difference {number(found.critical_difference, 2)}."
    return finished(figure, name, alt, caption, [(axes, "mean rank", "line", drawn, False)], stamps)


def _names(
    axes: Axes, found: AcrossDatasets, titles: Mapping[str, str], positions: Mapping[str, int], depth: float
) -> list[Series]:
    """Each encoder's name at the side, the better half on the left, with a line to its mean rank."""
    k = len(found.ranked)
    half = -(-k // 2)
    drawn = []
    for i, ranked in enumerate(found.ranked):
        left = i < half
        line = -(depth + LINE * ((i if left else k - 1 - i) + 1))
        edge = 1 if left else max(k, 2)
        colour = SERIES[positions[ranked.encoder] % len(SERIES)]
        axes.plot(
            [ranked.mean_rank, ranked.mean_rank, edge],
            [0, line, line],
            color=colour,
            linewidth=1,
            clip_on=False,
        )
        label = titles.get(ranked.encoder, ranked.encoder)
        text = f"{shortened(label, 30)}  {number(ranked.mean_rank, 2)}"
        axes.annotate(
            text,
            (edge, line),
            xytext=(-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            annotation_clip=False,
        )
        drawn.append(Series(label, [ranked.mean_rank], [0.0], [f"mean rank {number(ranked.mean_rank, 2)}"]))
    return drawn


def _ruler(axes: Axes, critical: float, most: int) -> None:
    """The critical difference as a length above the line."""
    axes.hlines(0.32, 1, min(1 + critical, most), color=MUTED, linewidth=1.5, clip_on=False)
    axes.annotate(
        f"critical difference {number(critical, 2)}",
        (min(1 + critical, most), 0.32),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=MUTED,
        annotation_clip=False,
    )
