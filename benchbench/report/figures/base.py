"""Drawing with matplotlib, and turning the drawing into an SVG that follows the page's theme.

Figures are drawn in a fixed set of colours. In the page each of them becomes a CSS variable, so that one drawing
serves light, dark and print; the files beside the page keep the plain colours. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1f2328", "#5f6670", "#dfe1e4", "#fdfdfc"
SERIES = ("#0b6a74", "#b3541e", "#5b4a9e", "#2f6f35", "#a8324a", "#7a5c00", "#35608f", "#6b6b6b")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
MAX_SERIES = 8
"""More lines than this cannot be told apart; the best are drawn, and the caption says so."""

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--rule",
    PAPER: "--paper",
    **{colour: f"--series-{i + 1}" for i, colour in enumerate(SERIES)},
}
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.02,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


Box = tuple[float, float, float, float]
"""left, bottom, width, height as shares of the figure."""


@dataclass(frozen=True)
class Series:
    """What the tooltip of one line or set of points says."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    labels: Sequence[str] = ()
    """One text per point; curves have none."""


@dataclass(frozen=True)
class Plot:
    """Where one set of axes lies in the drawing, in its own units, and what is in it."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom."""
    x: tuple[float, float]
    y: tuple[float, float]
    x_name: str
    y_name: str
    series: Sequence[Series]
    curves: bool
    log_x: bool = False


@dataclass(frozen=True)
class Drawing:
    """A finished figure: as a file, as a part of the page, in words, and for the tooltips."""

    name: str
    svg: str
    """Stand-alone SVG file."""
    pdf: bytes
    """The same as a PDF file, for papers."""
    inline: str
    """The same for the page: no ids that could clash, colours as CSS variables."""
    alt: str
    caption: str
    plots: Sequence[Plot] = field(default=())


def house_style() -> Any:
    """Context in which figures are drawn; leaves the user's own matplotlib settings alone."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def canvas(width: float, height: float) -> Figure:
    """An empty figure in inches; to be used inside `house_style`."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    return figure


@cache
def _blank(width: float, height: float, boxes: tuple[Box, ...]) -> tuple[Figure, list[Axes]]:
    figure = canvas(width, height)
    unit: dict[str, Any] = {
        "xlim": (-0.02, 1.02),
        "ylim": (-0.02, 1.02),
        "xticks": (0, 0.5, 1),
        "yticks": (0, 0.5, 1),
    }
    return figure, [figure.add_axes(box, **unit) for box in boxes]


def unit_axes(width: float, height: float, boxes: Sequence[Box]) -> tuple[Figure, list[Axes]]:
    """Axes over the unit square, empty. Those of the last drawing with this layout are emptied and used again:
    making axes and ticks is most of what a small figure costs.
    """
    figure, axes = _blank(width, height, tuple(boxes))
    old = [*figure.legends, *figure.texts, *(x for a in axes for x in [*a.lines, *a.collections])]
    for artist in old:
        artist.remove()
    return figure, axes


def finished(
    figure: Figure,
    name: str,
    alt: str,
    caption: str,
    plots: Sequence[tuple[Axes, str, str, Sequence[Series], bool]],
    stamps: Sequence[str] = (),
) -> Drawing:
    """Render a figure. `plots` are (axes, x name, y name, series, whether they are curves).

    Stamps are written into the drawing itself, since the file may travel without its page.
    """
    import logging
    import warnings

    import matplotlib

    if stamps:
        figure.text(0.995, 0.01, " · ".join(stamps), ha="right", va="bottom", fontsize=7, color=MUTED)
    buffer, paper = io.BytesIO(), io.BytesIO()
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        # The reader's own fonts draw the text; a glyph that is missing here does not matter.
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": name}):
            warnings.simplefilter("ignore")
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "benchbench"})
            figure.savefig(paper, format="pdf", metadata={"CreationDate": None, "Creator": "benchbench"})
    finally:
        fonts.setLevel(level)
    svg = _tidied(buffer.getvalue().decode(), name)
    placed = [_placed(figure, *plot) for plot in plots]
    return Drawing(name, svg, paper.getvalue(), _inline(svg), alt, caption, placed)


def _tidied(svg: str, name: str) -> str:
    """Without comments (they repeat text) and without ids that nothing refers to; the others made unique."""
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)[\"')]", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"url\(#([\w.-]+)\)", lambda m: f"url(#{name}-{m[1]})", svg)
    svg = re.sub(r'xlink:href="#([\w.-]+)"', lambda m: f'xlink:href="#{name}-{m[1]}"', svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)


def _inline(svg: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", body, count=1)
    body = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", body, count=1)
    body = body.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    body = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", body)
    body = re.sub(r' d="([^"]*)"', lambda m: f' d="{_short(m[1])}"', body)
    body = re.sub(r' style="([^"]*)"', lambda m: f' style="{_terse(m[1])}"', body)
    body = re.sub(r">\s+<", "><", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return body


def _terse(style: str) -> str:
    """A style without spaces that mean nothing, and without the font, which the page sets for all."""
    return re.sub(r"([:;]) ", r"\1", re.sub(r"font-family: [^;]*; ?", "", style))


def _short(path: str) -> str:
    """A path to a tenth of a point, which is below what a screen shows; paths are most of a page's bytes."""
    tenths = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), path)
    return re.sub(r"\s*([MLCQzZ])\s*", r"\1", tenths).strip()


def _placed(
    figure: Figure, axes: Axes, x_name: str, y_name: str, series: Sequence[Series], curves: bool
) -> Plot:
    width, height = (72 * side for side in figure.get_size_inches())
    place = axes.get_position()
    box = (place.x0 * width, (1 - place.y1) * height, place.x1 * width, (1 - place.y0) * height)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    return Plot(
        tuple(round(float(v), 1) for v in box),  # type: ignore[arg-type]
        (float(left), float(right)),
        (float(bottom), float(top)),
        x_name,
        y_name,
        series,
        curves,
        axes.get_xscale() == "log",
    )


def legend_lines(labels: Sequence[str], width: float) -> int:
    """Lines that a legend of these labels needs in `width` inches."""
    return -(-len(labels) // _legend_columns(labels, width))


def _legend_columns(labels: Sequence[str], width: float) -> int:
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(len(labels), int(width / (0.55 + 0.068 * longest))))


def legend(figure: Figure, labelled: Mapping[str, Any], left: float, bottom: float) -> None:
    """A legend whose lower left corner is at (left, bottom) in inches, as wide as the figure allows."""
    width, height = figure.get_size_inches()
    figure.legend(
        list(labelled.values()),
        list(labelled),
        loc="lower left",
        bbox_to_anchor=(left / width, bottom / height),
        borderaxespad=0.0,
        ncols=_legend_columns(list(labelled), width - left),
        fontsize=8.5,
    )


LEGEND_LINE = 0.19
"""Height of a legend's line in inches."""


def look(i: int) -> dict[str, Any]:
    """Colour and dash of the i-th encoder of the run: the same in every figure."""
    return {"color": SERIES[i % len(SERIES)], "linestyle": DASHES[(i // len(SERIES)) % len(DASHES)]}


def rounded(values: Any, digits: int = 4) -> list[float]:
    """Values short enough to be written into the page."""
    return [round(float(v), digits) for v in np.asarray(values)]
