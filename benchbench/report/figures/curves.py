"""The figures of one panel: ROC, precision-recall and calibration of its encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...analysis.model import EncoderView, Panel
from ..text import number, shortened
from .base import GRID, MAX_SERIES, MUTED, Drawing, Series, finished, legend, look, rounded, unit_axes

Axes = Any


def panel_curves(panel: Panel, titles: Mapping[str, str], positions: Mapping[str, int]) -> Drawing | None:
    """ROC, precision-recall and calibration for a binary task; ROC by class for others. None without curves."""
    views = _best(panel)
    if not any(len(c.x) for v in views for c in v.roc):
        return None
    if panel.kind == "binary":
        return _binary(panel, views, titles, positions)
    return _by_class(panel, views, titles, positions)


def _best(panel: Panel) -> list[EncoderView]:
    by_name = {v.encoder: v for v in panel.views}
    return [by_name[e.encoder] for e in panel.estimates if e.encoder in by_name][:MAX_SERIES]


def _caption(panel: Panel, views: Sequence[EncoderView], text: str) -> str:
    seeds = {e.shown_seed for e in panel.estimates if len(e.seeds) > 1}
    if seeds:
        text += " Each curve is the trained model whose seed has the middle value."
    if len(views) < len(panel.views):
        text += f" The best {len(views)} of {len(panel.views)} encoders are drawn."
    return text


def _binary(
    panel: Panel, views: Sequence[EncoderView], titles: Mapping[str, str], positions: Mapping[str, int]
) -> Drawing:
    figure, axes = unit_axes(10.0, 3.75, [(x, 0.235, 0.268, 0.665) for x in (0.045, 0.385, 0.725)])
    roc = _draw_roc(axes[0], views, titles, positions)
    axes[0].set(title="ROC, with 95 % band of the best", xlabel="1 − specificity", ylabel="sensitivity")
    recall = []
    prevalence = dict(panel.counts).get(panel.classes[1], 0) / max(panel.n, 1)
    axes[1].axhline(prevalence, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    for view in views:
        curve = view.precision_recall[0]
        axes[1].plot(curve.x, curve.y, drawstyle="steps-pre", **look(positions[view.encoder]))
        name = f"{_title(view, titles)} (AP {number(curve.summary)})"
        recall.append(Series(name, rounded(curve.x), rounded(curve.y)))
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
        f"Left: ROC curves; the shaded band is a pointwise 95 % bootstrap band over "
        f"{'images' if panel.n_patients is None else 'patients'} for the encoder with the "
        "highest value. Middle: precision against recall; the dotted line is the prevalence. Right: observed share "
        "of positives against predicted probability in ten bins.",
    )
    plots = [
        (axes[0], "1 − specificity", "sensitivity", roc, True),
        (axes[1], "recall", "precision", recall, True),
        (axes[2], "predicted", "observed", bins, False),
    ]
    return finished(figure, f"curves-{panel.id}", alt, caption, plots, panel.shared_stamps)


def _title(view: EncoderView, titles: Mapping[str, str]) -> str:
    return titles.get(view.encoder, view.encoder)


def _handles(axes: Axes) -> dict[str, Any]:
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def _draw_roc(
    axes: Axes,
    views: Sequence[EncoderView],
    titles: Mapping[str, str],
    positions: Mapping[str, int],
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
        name = f"{_title(view, titles)} (area {number(curve.summary)})"
        found.append(Series(name, rounded(curve.x), rounded(curve.y)))
    return found


def _draw_calibration(
    axes: Axes, views: Sequence[EncoderView], titles: Mapping[str, str], positions: Mapping[str, int]
) -> list[Series]:
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    found = []
    for i, view in enumerate(views):
        r = view.reliability
        if r is None:
            continue
        style = look(positions[view.encoder])
        if i == 0:
            axes.vlines(r.predicted, r.low, r.high, color=style["color"], linewidth=0.8, alpha=0.6)
        axes.plot(
            r.predicted, r.observed, marker="o", markersize=2.5, linewidth=1.0, **{**style, "linestyle": "-"}
        )
        labels = [f"n = {int(n)}" for n in r.counts]
        name = f"{_title(view, titles)} (error {number(r.ece)}, Brier {number(r.brier)})"
        found.append(Series(name, rounded(r.predicted), rounded(r.observed), labels))
    return found


def _by_class(
    panel: Panel, views: Sequence[EncoderView], titles: Mapping[str, str], positions: Mapping[str, int]
) -> Drawing:
    """Small ROC plots side by side, one per class that has cases on both sides."""
    shown = [c for c in range(len(panel.classes)) if any(len(v.roc[c].x) for v in views)]
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
        drawn = [v for v in views if len(v.roc[c].x)]
        series = _draw_roc(axes, drawn, titles, positions, c)
        name = panel.classes[c]
        axes.set_title(f"{shortened(name, 20)} (n = {counts.get(name, 0)})")
        plots.append((axes, "1 − specificity", "sensitivity", series, True))
    legend(figure, _handles(all_axes[0]), 0.3, 0.02)
    alt = f"ROC curves of each class against the rest on {panel.title}. " + "; ".join(
        f"{_title(v, titles)}: "
        + ", ".join(f"{panel.classes[c]} {number(v.roc[c].summary)}" for c in shown if len(v.roc[c].x))
        for v in views
    )
    kind = "label" if panel.kind == "multilabel" else "class against the rest"
    caption = _caption(panel, views, f"ROC curves, one plot per {kind}: sensitivity over 1 − specificity.")
    return finished(figure, f"curves-{panel.id}", alt, caption, plots, panel.shared_stamps)
