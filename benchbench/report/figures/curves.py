"""The figures of one panel: ROC, precision-recall and calibration of its encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...analysis.model import Curve, EncoderView, Panel
from ..tables import best_views
from ..text import number, shortened
from .base import GRID, MAX_SERIES, MUTED, Drawing, Series, finished, legend, look, rounded, unit_axes

Axes = Any
MOST_CLASSES = 20


Titles = Mapping[str, str]
Positions = Mapping[str, int]


def curves(
    name: str, panel: Panel, titles: Titles, positions: Positions, most: int = MAX_SERIES
) -> Drawing | None:
    """ROC, precision-recall and calibration for a binary task; ROC by class for others. None without curves."""
    views = best_views(panel, most)
    if not any(len(c.x) for v in views for c in v.roc):
        return None
    if panel.kind == "binary":
        return _binary(name, panel, views, titles, positions)
    return _by_class(name, panel, views, titles, positions, _ROC)


def recall(
    name: str, panel: Panel, titles: Titles, positions: Positions, most: int = MAX_SERIES
) -> Drawing | None:
    """Precision against recall, class by class; None for a binary task, whose `curves` hold it."""
    views = best_views(panel, most)
    if panel.kind == "binary" or not any(len(c.x) for v in views for c in v.precision_recall):
        return None
    return _by_class(name, panel, views, titles, positions, _PRECISION)


def calibration(
    name: str, panel: Panel, titles: Titles, positions: Positions, most: int = MAX_SERIES
) -> Drawing | None:
    """Calibration of the most probable class; None for a binary task, and where scores are no probabilities."""
    views = [v for v in best_views(panel, most) if v.reliability is not None]
    if panel.kind == "binary" or not views:
        return None
    figure, (axes,) = unit_axes(10.0, 3.75, [(0.045, 0.235, 0.268, 0.665)])
    bins = _draw_calibration(axes, views, titles, positions)
    axes.set(
        title="Calibration", xlabel="probability of the predicted class", ylabel="share predicted rightly"
    )
    legend(figure, _handles(axes), 0.3, 0.02)
    errors = [(v, v.reliability.ece) for v in views if v.reliability]
    alt = f"Calibration of the predicted class on {panel.title}. " + "; ".join(
        f"{_title(v, titles)}: calibration error {number(error)}" for v, error in errors
    )
    text = (
        "Share of images whose most probable class is right, against its probability, in ten bins."
        + _bars(views)
    )
    plots = [(axes, "probability", "share right", bins, False)]
    return finished(figure, name, alt, _caption(panel, views, text), plots, panel.shared_stamps)


PANEL_FIGURES = {"curves": curves, "recall": recall, "calibration": calibration}
"""Figures of one panel, of at most so many encoders, by the first word of their names."""


def _caption(panel: Panel, views: Sequence[EncoderView], text: str) -> str:
    seeds = {e.shown_seed for e in panel.estimates if len(e.seeds) > 1}
    if seeds:
        text += " Each curve is the trained model whose seed has the middle value."
    if len(views) < len(panel.views):
        text += f" The best {len(views)} of {len(panel.views)} encoders are drawn."
    return text


def _binary(
    name: str, panel: Panel, views: Sequence[EncoderView], titles: Titles, positions: Positions
) -> Drawing:
    figure, axes = unit_axes(10.0, 3.75, [(x, 0.235, 0.268, 0.665) for x in (0.045, 0.385, 0.725)])
    roc = _draw_roc(axes[0], views, titles, positions)
    axes[0].set(title="ROC, with 95 % band of the best", xlabel="1 − specificity", ylabel="sensitivity")
    prevalence = dict(panel.counts).get(panel.classes[1], 0) / max(panel.n, 1)
    axes[1].axhline(prevalence, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    recalled = _draw_precision(axes[1], views, titles, positions)
    axes[1].set(title="Precision and recall", xlabel="recall", ylabel="precision")
    bins = _draw_calibration(axes[2], views, titles, positions)
    axes[2].set(title="Calibration", xlabel="predicted probability", ylabel="observed share")
    legend(figure, _handles(axes[0]), 0.3, 0.02)
    alt = f"ROC, precision-recall and calibration curves on {panel.title}. " + "; ".join(
        f"{_title(v, titles)}: area {number(v.roc[0].summary)}, average precision "
        f"{number(v.precision_recall[0].summary)}"
        + (f", calibration error {number(v.reliability.ece)}" if v.reliability else "")
        for v in views
    )
    caption = _caption(
        panel,
        views,
        "Left: ROC curves; the shaded band is a pointwise 95 % bootstrap band over "
        f"{'images' if panel.n_patients is None else 'patients'} for the encoder with the highest value. "
        "Middle: precision against recall; the dotted line is the prevalence. Right: observed share of positives "
        "against predicted probability in ten bins." + _bars(views),
    )
    plots = [
        (axes[0], "1 − specificity", "sensitivity", roc, True),
        (axes[1], "recall", "precision", recalled, True),
        (axes[2], "predicted", "observed", bins, False),
    ]
    return finished(figure, name, alt, caption, plots, panel.shared_stamps)


def _bars(views: Sequence[EncoderView]) -> str:
    """What the bars of a calibration plot are, where the first encoder has any."""
    first = views[0].reliability
    if first is None or np.isnan(first.low).any():
        return ""
    return (
        " Bars: 95 % Wilson intervals of the first encoder, which take images for independent of each other."
    )


def _title(view: EncoderView, titles: Titles) -> str:
    return titles.get(view.encoder, view.encoder)


def _handles(axes: Axes) -> dict[str, Any]:
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


READ_OFF = 32
"""Points of a curve that the tooltip interpolates between."""


def _read_off(curve: Curve) -> tuple[list[float], list[float]]:
    kept = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), READ_OFF)).astype(int))
    return rounded(curve.x[kept]), rounded(curve.y[kept])


def _draw_roc(
    axes: Axes,
    views: Sequence[EncoderView],
    titles: Titles,
    positions: Positions,
    c: int = 0,
) -> list[Series]:
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    found = []
    for i, view in enumerate(views):
        curve = view.roc[c]
        style = look(positions[view.encoder])
        if i == 0 and curve.band is not None:
            axes.fill_between(
                curve.band.x, curve.band.low, curve.band.high, color=style["color"], alpha=0.15, linewidth=0
            )
        axes.plot(curve.x, curve.y, label=_title(view, titles), zorder=4 - i / 10, **style)
        area = "" if curve.summary is None else f" (area {number(curve.summary)})"
        name = f"{_title(view, titles)}{area}"
        found.append(Series(name, *_read_off(curve)))
    return found


def _draw_precision(
    axes: Axes, views: Sequence[EncoderView], titles: Titles, positions: Positions, c: int = 0
) -> list[Series]:
    found = []
    for view in views:
        curve = view.precision_recall[c]
        style = look(positions[view.encoder])
        axes.plot(curve.x, curve.y, drawstyle="steps-pre", label=_title(view, titles), **style)
        name = f"{_title(view, titles)} (AP {number(curve.summary)})"
        found.append(Series(name, *_read_off(curve)))
    return found


def _draw_calibration(
    axes: Axes, views: Sequence[EncoderView], titles: Titles, positions: Positions
) -> list[Series]:
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    found = []
    for i, view in enumerate(views):
        r = view.reliability
        if r is None:
            continue
        style = look(positions[view.encoder])
        if i == 0 and not np.isnan(r.low).any():
            axes.vlines(r.predicted, r.low, r.high, color=style["color"], linewidth=0.8, alpha=0.6)
        line = {**style, "linestyle": "-", "linewidth": 1.0, "marker": "o", "markersize": 2.5}
        axes.plot(r.predicted, r.observed, label=_title(view, titles), **line)
        labels = [f"n = {int(n)}" for n in r.counts]
        name = f"{_title(view, titles)} (error {number(r.ece)}, Brier {number(r.brier)})"
        found.append(Series(name, rounded(r.predicted), rounded(r.observed), labels))
    return found


@dataclass(frozen=True)
class _Kind:
    """A curve that is drawn class by class."""

    of: Callable[[EncoderView], tuple[Curve, ...]]
    draw: Callable[..., list[Series]]
    title: str
    x: str
    y: str
    summary: str


def _by_class(
    name: str,
    panel: Panel,
    views: Sequence[EncoderView],
    titles: Titles,
    positions: Positions,
    kind: _Kind,
) -> Drawing:
    """Small plots side by side, one per class that has cases on both sides."""
    possible = [c for c in range(len(panel.classes)) if any(len(kind.of(v)[c].x) for v in views)]
    shown = possible[:MOST_CLASSES]
    columns = min(len(shown), 5)
    lines = -(-len(shown) // columns)
    height = 0.55 + 2.25 * lines
    boxes = []
    for at in range(len(shown)):
        row, column = divmod(at, columns)
        bottom = (0.55 + 2.25 * (lines - 1 - row) + 0.3) / height
        boxes.append((0.045 + column * (0.96 / columns), bottom, 0.96 / columns - 0.035, 1.6 / height))
    figure, all_axes = unit_axes(10.0, height, boxes)
    plots = []
    counts = dict(panel.counts)
    for c, axes in zip(shown, all_axes, strict=True):
        drawn = [v for v in views if len(kind.of(v)[c].x)]
        series = kind.draw(axes, drawn, titles, positions, c)
        axes.set_title(f"{shortened(panel.classes[c], 20)} (n = {counts.get(panel.classes[c], 0)})")
        plots.append((axes, kind.x, kind.y, series, True))
    legend(figure, _handles(all_axes[0]), 0.3, 0.02)
    alt = f"{kind.title} of each class against the rest on {panel.title}; {kind.summary}. " + "; ".join(
        f"{_title(v, titles)}: "
        + ", ".join(
            f"{panel.classes[c]} {number(kind.of(v)[c].summary)}" for c in shown if len(kind.of(v)[c].x)
        )
        for v in views
    )
    each = "label" if panel.kind == "multilabel" else "class against the rest"
    text = f"{kind.title}, one plot per {each}: {kind.y} over {kind.x}."
    if len(shown) < len(possible):
        text += f" The first {len(shown)} of {len(possible)} classes are drawn; classes.csv holds all."
    return finished(figure, name, alt, _caption(panel, views, text), plots, panel.shared_stamps)


_ROC = _Kind(lambda v: v.roc, _draw_roc, "ROC curves", "1 − specificity", "sensitivity", "areas")
_PRECISION = _Kind(
    lambda v: v.precision_recall,
    _draw_precision,
    "Precision-recall curves",
    "recall",
    "precision",
    "average precisions",
)
