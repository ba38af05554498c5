"""Figures over several panels: overview of scores, transfer, protocols, label efficiency, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...analysis import Analysis, Panel
from ...analysis.model import EfficiencyCurve, Interaction, TransferMatrix
from ..tables import HeadlineTable
from ..text import heading, metric_name, number, shortened, words
from .base import (
    GRID,
    INK,
    LEGEND_LINE,
    MARKERS,
    MAX_SERIES,
    MUTED,
    SERIES,
    Drawing,
    Series,
    canvas,
    finished,
    legend,
    legend_lines,
    look,
)

MOST_TASKS = 40
MOST_PLOTS = 8
"""Small plots in one figure."""


def overview(
    name: str, table: HeadlineTable, titles: Mapping[str, str], positions: Mapping[str, int]
) -> Drawing:
    """Every value of a headline table as a dot with its interval, one band per task."""
    panels = table.panels[:MOST_TASKS]
    shown = table.encoders[:MAX_SERIES]
    metrics = list(dict.fromkeys(metric_name(p.metric) for p in panels))
    labels = {e: titles.get(e, e) for e in shown}
    top = 0.12 + LEGEND_LINE * legend_lines(list(labels.values()), 7.3)
    height = 0.42 + top + len(panels) * max(0.34, 0.115 * len(shown) + 0.08)
    figure = canvas(10.0, height)
    axes = figure.add_axes((0.27, 0.42 / height, 0.71, 1 - (0.42 + top) / height))
    series = []
    labelled: dict[str, Any] = {}
    for k, encoder in enumerate(shown):
        style = look(positions[encoder])
        shift = 0.0 if len(shown) == 1 else 0.32 - 0.64 * k / (len(shown) - 1)
        found = [(i, p.estimate(encoder)) for i, p in enumerate(panels)]
        dots = [
            (len(panels) - 1 - i + shift, e, e.shown)
            for i, e in found
            if e is not None and e.shown is not None
        ]
        at = [y for y, _, _ in dots]
        values = [value for _, _, value in dots]
        bars = [
            (y, e.ci_low, e.ci_high) for y, e, _ in dots if e.ci_low is not None and e.ci_high is not None
        ]
        axes.hlines(
            [y for y, _, _ in bars],
            [low for _, low, _ in bars],
            [high for _, _, high in bars],
            color=style["color"],
            linewidth=1.1,
        )
        marker = MARKERS[positions[encoder] % len(MARKERS)]
        label = labels[encoder]
        (labelled[label],) = axes.plot(
            values, at, linestyle="", marker=marker, markersize=4, color=style["color"]
        )
        texts = [f"{number(e.value)} [{number(e.ci_low)}, {number(e.ci_high)}]" for _, e, _ in dots]
        series.append(Series(label, [float(v) for v in values], at, texts))
    for i in range(len(panels) - 1):
        axes.axhline(i + 0.5, color=GRID, linewidth=0.6)
    axes.set_yticks(
        range(len(panels)),
        [
            shortened(p.title, 38) + ("" if len(metrics) == 1 else f"\n{metric_name(p.metric)}")
            for p in reversed(panels)
        ],
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set(ylim=(-0.55, len(panels) - 0.45), xlabel=" or ".join(metrics))
    legend(figure, labelled, 2.7, height - top + 0.06)
    alt = f"Scores of {len(shown)} encoders on {len(panels)} tasks with intervals; the table above has the numbers."
    caption = f"{words(table.protocol).capitalize()}: value and 95 % interval of every encoder on every task."
    if len(shown) < len(table.encoders):
        caption += f" The best {len(shown)} of {len(table.encoders)} encoders by mean are drawn."
    caption += left_out(len(panels), len(table.panels), "tasks")
    stamps = [s for s in panels[0].shared_stamps if all(s in p.shared_stamps for p in panels)]
    return finished(figure, name, alt, caption, [(axes, "value", "line", series, False)], stamps)


def left_out(drawn: int, all_of_them: int, what: str) -> str:
    """A sentence for the caption where a figure does not show everything; else nothing."""
    return "" if drawn == all_of_them else f" {drawn} of {all_of_them} {what} are drawn; the table holds all."


def _grid(count: int, each: float = 2.2, top: float = 0.35, bottom: float = 0.75) -> tuple[Any, list[Any]]:
    """A figure with `count` small axes in lines of at most four, and room for a legend below."""
    columns = min(count, 4)
    lines = -(-count // columns)
    height = lines * (each + top) + bottom
    figure = canvas(10.0, height)
    axes = []
    for i in range(count):
        row, column = divmod(i, columns)
        left = 0.055 + column * (0.945 / columns)
        low = bottom + (lines - 1 - row) * (each + top)
        axes.append(figure.add_axes((left, low / height, 0.945 / columns - 0.055, (each - 0.25) / height)))
    return figure, axes


def protocol_slopes(
    name: str, found: Sequence[Interaction], titles: Mapping[str, str], positions: Mapping[str, int]
) -> Drawing:
    """For every task, each encoder's value under two protocols, joined by a line."""
    everything, found = found, found[:MOST_PLOTS]
    figure, all_axes = _grid(len(found))
    labelled: dict[str, Any] = {}
    plots = []
    for item, axes in zip(found, all_axes, strict=True):
        drawn = []
        for encoder, first, second in item.values[:MAX_SERIES]:
            if first is None or second is None:
                continue
            label = titles.get(encoder, encoder)
            (line,) = axes.plot(
                [0, 1], [first, second], marker="o", markersize=3.5, **look(positions[encoder])
            )
            labelled.setdefault(label, line)
            drawn.append(Series(label, [0.0, 1.0], [first, second], [words(item.first), words(item.second)]))
        axes.set_xticks([0, 1], [shortened(words(item.first), 16), shortened(words(item.second), 16)])
        axes.set(xlim=(-0.25, 1.25), title=shortened(item.title, 30), ylabel=metric_name(item.metric))
        axes.grid(False, axis="x")
        plots.append((axes, "protocol", metric_name(item.metric), drawn, False))
    legend(figure, labelled, 0.4, 0.02)
    alt = "Values under two protocols, joined per encoder. " + "; ".join(
        f"{i.title}: rank correlation {number(i.kendall, 2)}" for i in found
    )
    encoders = max(len(i.values) for i in found)
    caption = "Lines that cross mean that the protocols order the encoders differently."
    caption += left_out(len(found), len(everything), "tasks")
    caption += left_out(min(encoders, MAX_SERIES), encoders, "encoders, the best under the first protocol,")
    return finished(figure, name, alt, caption, plots)


def efficiency(
    name: str, curves: Sequence[EfficiencyCurve], titles: Mapping[str, str], positions: Mapping[str, int]
) -> Drawing:
    """Metric against the share of training labels under one protocol, one small plot per task."""
    everything = list(dict.fromkeys(c.task for c in curves))
    tasks = everything[:MOST_PLOTS]
    encoders = list(dict.fromkeys(c.encoder for c in curves))
    shown = sorted(encoders, key=lambda e: -np.mean([c.points[-1].value for c in curves if c.encoder == e]))
    shown = shown[:MAX_SERIES]
    figure, all_axes = _grid(len(tasks))
    labelled: dict[str, Any] = {}
    plots = []
    for task, axes in zip(tasks, all_axes, strict=True):
        members = [c for c in curves if c.task == task and c.encoder in shown]
        drawn = []
        for curve in members:
            label = titles.get(curve.encoder, curve.encoder)
            line, series = _learning_curve(axes, curve, label, look(positions[curve.encoder]))
            labelled.setdefault(label, line)
            drawn.append(series)
        fractions = sorted({p.fraction for c in members for p in c.points})
        axes.set_xscale("log")
        axes.set_xticks(fractions, [f"{100 * f:g} %" for f in fractions])
        axes.minorticks_off()
        metric = metric_name(next(c.metric for c in curves if c.task == task))
        axes.set(title=shortened(next(c.title for c in curves if c.task == task), 30), ylabel=metric)
        plots.append((axes, "share of labels", metric, drawn, False))
    legend(figure, labelled, 0.4, 0.02)
    alt = "Metric against the share of training labels. " + "; ".join(
        f"{titles.get(c.encoder, c.encoder)}, {c.title}: "
        + ", ".join(f"{100 * p.fraction:g} %: {number(p.value)}" for p in c.points)
        for c in curves
        if c.encoder in shown and c.task in tasks
    )
    caption = f"{heading(curves[0].protocol)}: mean over repeats against the share of training labels; bars are the "
    caption += "95 % interval of the repeat in the middle (test patients)."
    caption += left_out(len(tasks), len(everything), "tasks")
    caption += left_out(len(shown), len(encoders), "encoders, the best with all labels,")
    return finished(figure, name, alt, caption, plots)


def _learning_curve(
    axes: Any, curve: EfficiencyCurve, label: str, style: Mapping[str, Any]
) -> tuple[Any, Series]:
    x, y = [p.fraction for p in curve.points], [p.value for p in curve.points]
    (line,) = axes.plot(x, y, marker="o", markersize=3, **style)
    bars = [p for p in curve.points if p.ci_low is not None]
    axes.vlines(
        [p.fraction for p in bars],
        [p.ci_low for p in bars],
        [p.ci_high for p in bars],
        color=style["color"],
        linewidth=0.7,
        alpha=0.6,
    )
    texts = [f"[{number(p.ci_low)}, {number(p.ci_high)}], {p.n_train} images" for p in curve.points]
    return line, Series(label, x, y, texts)


def transfer_maps(name: str, matrices: Sequence[TransferMatrix], titles: Mapping[str, str]) -> Drawing:
    """Heat maps of trained-on against tested-on, one per encoder; for papers (the page shows them as tables)."""
    everything, matrices = matrices, matrices[:MAX_SERIES]
    figure, all_axes = _grid(len(matrices), each=2.5, top=0.75, bottom=1.1)
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    colours = LinearSegmentedColormap.from_list("accent", [to_rgba(SERIES[0], 0.06), to_rgba(SERIES[0], 0.7)])
    values = np.concatenate([m.values.ravel() for m in matrices])
    values = values[~np.isnan(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    for m, axes in zip(matrices, all_axes, strict=True):
        axes.pcolormesh(m.values, cmap=colours, vmin=low, vmax=max(high, low + 1e-9), edgecolor="none")
        for i, j in np.ndindex(m.values.shape):
            if not np.isnan(m.values[i, j]):
                axes.text(
                    j + 0.5, i + 0.5, number(float(m.values[i, j]), 2), ha="center", va="center", fontsize=8
                )
        axes.set_xticks(
            np.arange(len(m.targets)) + 0.5, [shortened(t, 16) for t in m.targets], rotation=30, ha="right"
        )
        axes.set_yticks(np.arange(len(m.sources)) + 0.5, [shortened(s, 16) for s in m.sources])
        axes.tick_params(length=0, labelsize=7)
        axes.invert_yaxis()
        axes.grid(False)
        axes.set(title=titles.get(m.encoder, m.encoder))
    alt = "Transfer matrices; the tables hold the numbers."
    caption = f"{metric_name(matrices[0].metric)}: trained on the line, tested on the column."
    caption += left_out(len(matrices), len(everything), "encoders")
    return finished(figure, name, alt, caption, [])


def pareto(
    name: str,
    values: Mapping[str, float],
    costs: Sequence[tuple[str, Mapping[str, float]]],
    metric: str,
    titles: Mapping[str, str],
    positions: Mapping[str, int],
) -> Drawing | None:
    """Metric against each cost; the line joins encoders that no cheaper one equals."""
    usable = [(title, {e: v for e, v in found.items() if e in values and v > 0}) for title, found in costs]
    usable = [(title, found) for title, found in usable if len(found) > 1][:4]
    if not usable:
        return None
    figure, all_axes = _grid(len(usable), each=2.9)
    labelled: dict[str, Any] = {}
    plots = []
    fronts = []
    for (title, found), axes in zip(usable, all_axes, strict=True):
        front = frontier({e: (cost, values[e]) for e, cost in found.items()})
        axes.plot([found[e] for e in front], [values[e] for e in front], color=MUTED, linewidth=0.8, zorder=1)
        drawn = []
        for encoder, cost in found.items():
            place = positions[encoder]
            label = titles.get(encoder, encoder)
            (dot,) = axes.plot(
                [cost],
                [values[encoder]],
                linestyle="",
                marker=MARKERS[place % len(MARKERS)],
                markersize=6,
                color=SERIES[place % len(SERIES)],
                markeredgecolor=INK,
                markeredgewidth=0.4,
            )
            labelled.setdefault(label, dot)
            drawn.append(
                Series(label, [cost], [values[encoder]], ["on the frontier" if encoder in front else ""])
            )
        axes.set_xscale("log")
        ticks = _log_ticks(min(found.values()), max(found.values()))
        axes.set_xticks(ticks, [si_text(t) for t in ticks])
        axes.minorticks_off()
        axes.set(title=title)
        plots.append((axes, title, metric, drawn, False))
        fronts.append(f"{title}: {', '.join(titles.get(e, e) for e in front)}")
    legend(figure, labelled, 0.4, 0.02)
    caption = (
        f"{metric[:1].upper()}{metric[1:]} against cost (logarithmic; cheaper is further left). The line joins the "
        "encoders that no cheaper encoder equals."
    )
    return finished(figure, name, f"{caption} On the line: {'; '.join(fronts)}.", caption, plots)


def _log_ticks(low: float, high: float) -> list[float]:
    """Two to five round values across a logarithmic axis."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [s * 10.0**d for d in decades for s in steps if low * 0.8 <= s * 10.0**d <= high * 1.25]
        if len(ticks) >= 3:
            return ticks[:: -(-len(ticks) // 5)]
    return ticks or [low, high]


def si_text(value: float) -> str:
    """A number with an SI prefix: ``22 M``, ``70 m``."""
    prefixes = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ"}
    power = min(max(3 * int(np.floor(np.log10(value) / 3)), -6), 12)
    return f"{value / 10.0**power:.3g} {prefixes[power]}".strip()


def frontier(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points (cost, value) that no point with equal or lower cost reaches in value, cheapest first."""
    best = -np.inf
    front = []
    for name, (_, value) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if value > best:
            front.append(name)
            best = value
    return front


def mean_metric(analysis: Analysis) -> tuple[str, dict[str, float]]:
    """What the Pareto plots show: the mean of the commonest metric over its tasks, for encoders that ran on all."""
    by_metric: dict[tuple[str, str], list[Panel]] = {}
    for p in analysis.headline:
        if p.counted:
            continue
        by_metric.setdefault((p.protocol, p.metric), []).append(p)
    if not by_metric:
        return "", {}
    (protocol, metric), panels = max(by_metric.items(), key=lambda item: len(item[1]))
    values = {}
    for encoder in analysis.encoders:
        found = [e.shown for p in panels if (e := p.estimate(encoder)) is not None and e.shown is not None]
        if found and len(found) == len(panels):
            values[encoder] = float(np.mean(found))
    what = f"{metric_name(metric)}, {words(protocol)}"
    return (f"mean {what}, {len(panels)} tasks" if len(panels) > 1 else what), values
