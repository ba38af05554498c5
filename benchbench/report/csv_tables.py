"""Every table of the report as CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..analysis import Analysis, Comparison, Panel, WinCount
from ..analysis.model import EncoderView, OperatingPoint
from ..analysis.together import Decided
from ..spreadsheet import csv_text, records_text
from .figures.base import MAX_SERIES
from .tables import best_views


def _axes(panel: Panel) -> str:
    return " ".join(f"{k}={v}" for k, v in panel.axes)


def csv_tables(analysis: Analysis) -> dict[str, str]:
    """Every table as CSV, by file name."""
    optional = (
        ("tables/together.csv", analysis.together, _together),
        ("tables/transfer.csv", analysis.transfer, _transfer),
        ("tables/transfer-loss.csv", analysis.transfer, _losses),
        ("tables/protocols.csv", analysis.interactions, _interactions),
        ("tables/efficiency.csv", analysis.efficiency, _efficiency),
        ("tables/labels-to-match.csv", [m for c in analysis.efficiency for m in c.matches], _matches),
        ("tables/operating-points.csv", _decided(analysis), _operating_points),
        ("tables/published.csv", analysis.published, _published),
        ("tables/failures.csv", analysis.failures, _failures),
        ("tables/secondary.csv", [p for p in analysis.panels if p.secondary], _secondary),
        ("tables/published-rules.csv", analysis.rules, _rules),
        ("tables/ranks.csv", [x for x in analysis.across if x.ranked], _ranks),
        ("tables/pooled.csv", [x for x in analysis.across if x.pooled], _pooled),
    )
    return {
        "scores.csv": _scores(analysis),
        "comparisons.csv": _comparisons(analysis),
        "tables/wins.csv": _wins(analysis),
        "tables/classes.csv": _classes(analysis),
        "tables/confusion.csv": _confusion(analysis),
        "tables/calibration.csv": _calibration(analysis),
        "tables/curves.csv": _curves(analysis),
        "tables/seeds.csv": _seeds(analysis),
        "tables/audit.csv": _records(analysis.lints, ("severity", "code", "where", "message")),
        **{name: make(analysis) for name, found, make in optional if found},
    }


_PLACE = ("task", "source_task", "protocol", "axes", "metric")


def _place(panel: Panel) -> tuple[str, ...]:
    return panel.task, panel.source_task, panel.protocol, _axes(panel), panel.metric


def _scores(analysis: Analysis) -> str:
    header = [*_PLACE, "encoder", "value", "ci_low", "ci_high", "interval", "seeds", "seed_sd", "tie_group"]
    header += ["rank_best", "rank_worst", "verdict", "stamps", "n", "n_patients"]
    lines = [
        [
            *_place(p),
            *(e.encoder, e.value, e.ci_low, e.ci_high, e.method, len(e.seeds), e.seed_sd, e.letters),
            *(e.ranks or (None, None)),
            *(e.verdict, " ".join(e.stamps), p.n, p.n_patients),
        ]
        for p in analysis.panels
        for e in p.estimates
    ]
    return csv_text(header, lines)


def _comparisons(analysis: Analysis) -> str:
    names: tuple[str, ...] = (
        "first",
        "second",
        "value_first",
        "value_second",
        "difference",
        "ci_low",
        "ci_high",
        "se",
        "p_value",
    )
    names += (
        "p_holm",
        "p_bh",
        "p_permutation",
        "detectable",
        "verdict",
        "outcome",
        "margin_verdict",
        "equivalent",
    )
    names += ("method", "family")
    lines = [
        [*_place(p), *(getattr(c, n) for n in names), _stamps_of(p, c.first, c.second)]
        for p in analysis.panels
        for c in p.comparisons
    ]
    return csv_text([*_PLACE, *names, "stamps"], lines)


def _stamps_of(panel: Panel, *encoders: str) -> str:
    found = [e.stamps for e in panel.estimates if e.encoder in encoders]
    return " ".join(dict.fromkeys(s for stamps in found for s in stamps))


def _wins(analysis: Analysis) -> str:
    return records_text(WinCount, analysis.wins.counts)


def _classes(analysis: Analysis) -> str:
    names = (
        "support",
        "auroc",
        "ci_low",
        "ci_high",
        "average_precision",
        "recall",
        "precision",
        "f1",
        "note",
    )
    lines = [
        [*_place(p), v.encoder, c.name, *(getattr(c, n) for n in names)]
        for p in analysis.panels
        for v in p.views
        for c in v.classes
    ]
    return csv_text([*_PLACE, "encoder", "class", *names], lines)


def _confusion(analysis: Analysis) -> str:
    lines = [
        [*_place(p), v.encoder, p.classes[i], p.classes[j], int(v.confusion[i, j])]
        for p in analysis.panels
        for v in p.views
        if v.confusion is not None
        for i in range(len(p.classes))
        for j in range(len(p.classes))
    ]
    return csv_text([*_PLACE, "encoder", "true", "predicted", "count"], lines)


def _calibration(analysis: Analysis) -> str:
    summary = ("ece", "brier", "temperature", "ece_after", "brier_after")
    lines = [
        [*_place(p), v.encoder, *map(float, values), *(getattr(v.reliability, name) for name in summary)]
        for p in analysis.panels
        for v in p.views
        if v.reliability is not None
        for values in zip(
            v.reliability.predicted,
            v.reliability.observed,
            v.reliability.low,
            v.reliability.high,
            v.reliability.counts,
            strict=True,
        )
    ]
    header = [*_PLACE, "encoder", "predicted", "observed", "ci_low", "ci_high", "count", *summary]
    return csv_text(header, lines)


def _curves(analysis: Analysis) -> str:
    """Points of every drawn curve; many lines, so the repeated cells are written once per curve."""
    parts = [",".join([*_PLACE, "encoder", "curve", "class", "x", "y"]) + "\n"]
    for p in analysis.panels:
        shown = [p.classes[-1]] if p.kind == "binary" else list(p.classes)
        for v in best_views(p, MAX_SERIES):
            for kind, curves in (("roc", v.roc), ("precision_recall", v.precision_recall)):
                for name, curve in zip(shown, curves, strict=True):
                    start = csv_text([*_place(p), v.encoder, kind, name], []).rstrip("\n")
                    points = zip(curve.x.tolist(), curve.y.tolist(), strict=True)
                    parts += [f"{start},{x:.5f},{y:.5f}\n" for x, y in points]
    return "".join(parts)


def _transfer(analysis: Analysis) -> str:
    header = ["protocol", "encoder", "metric", "trained_on", "tested_on", "value", "ci_low", "ci_high"]
    lines = [
        [
            m.protocol,
            m.encoder,
            m.metric,
            source,
            target,
            *(float(g[i, j]) for g in (m.values, m.low, m.high)),
        ]
        for m in analysis.transfer
        for i, source in enumerate(m.sources)
        for j, target in enumerate(m.targets)
    ]
    return csv_text(header, lines)


def _losses(analysis: Analysis) -> str:
    header = [
        "protocol",
        "in_domain_protocol",
        "encoder",
        "trained_on",
        "tested_on",
        "in_domain",
        "transferred",
    ]
    header += ["loss", "ci_low", "ci_high", "p_value", "p_holm"]
    lines = []
    for d in (d for m in analysis.transfer for d in m.drops):
        c = d.comparison
        tested = [None] * 5 if c is None else _numbers(c)
        place = [d.protocol, d.home_protocol, d.encoder, d.source, d.target, d.in_domain, d.transferred]
        lines.append([*place, *tested])
    return csv_text(header, lines)


def _together(analysis: Analysis) -> str:
    measured: tuple[str, ...] = ("auroc", "ci_low", "ci_high", "threshold", "threshold_from")
    measured += ("accuracy", "sensitivity", "specificity", "kappa", "tn", "fp", "fn", "tp")
    header = ["task", "label", "encoder", "separate_protocol", "together_protocol", "positive", "negative"]
    header += [f"{way}_{name}" for way in ("separate", "together") for name in measured]
    header += ["difference", "difference_low", "difference_high", "p_value", "p_holm", "verdict"]
    lines = []
    for block in analysis.together:
        ways = (block.separate, block.together)
        for x in block.labels:
            place = [x.task, x.title, x.encoder, *ways, x.positive, x.negative]
            tested = [None] * 5 if x.comparison is None else _numbers(x.comparison)
            both = [*_one_way(x.separate), *_one_way(x.together)]
            lines.append([*place, *both, *tested, x.separate.estimate.verdict])
        for m in block.macro:
            blank = [None] * (len(measured) - 1)
            values = [m.comparison.value_first, *blank, m.comparison.value_second, *blank]
            place = [block.task, "macro average", m.encoder, *ways, None, None]
            lines.append([*place, *values, *_numbers(m.comparison), m.comparison.verdict])
    return csv_text(header, lines)


def _one_way(d: Decided) -> list[Any]:
    e, p = d.estimate, d.point
    shown = [e.value, e.ci_low, e.ci_high, p.threshold, p.source]
    return [*shown, p.accuracy, p.sensitivity, p.specificity, p.kappa, *d.confusion.ravel().tolist()]


def _numbers(c: Comparison) -> list[float | None]:
    return [c.difference, c.ci_low, c.ci_high, c.p_value, c.p_holm]


def _interactions(analysis: Analysis) -> str:
    header = [
        "task",
        "metric",
        "first_protocol",
        "second_protocol",
        "kendall",
        "first_encoder",
        "second_encoder",
    ]
    header += ["change", "ci_low", "ci_high", "p_value", "p_holm"]
    lines = [
        [*(i.task, i.metric, i.first, i.second, i.kendall, c.first, c.second), *_numbers(c)]
        for i in analysis.interactions
        for c in i.contrasts
    ]
    return csv_text(header, lines)


def _efficiency(analysis: Analysis) -> str:
    header = [
        "task",
        "protocol",
        "metric",
        "encoder",
        "fraction",
        "n_train",
        "value",
        "ci_low",
        "ci_high",
        "repeats",
    ]
    lines = [
        [
            c.task,
            c.protocol,
            c.metric,
            c.encoder,
            *dataclasses.astuple(p)[:2],
            p.value,
            p.ci_low,
            p.ci_high,
            p.repeats,
        ]
        for c in analysis.efficiency
        for p in c.points
    ]
    return csv_text(header, lines)


def _matches(analysis: Analysis) -> str:
    """Share of its own labels at which an encoder reaches what another one has with all labels."""
    header = ["task", "protocol", "metric", "encoder", "other", "fraction"]
    lines = [
        [c.task, c.protocol, c.metric, c.encoder, other, fraction]
        for c in analysis.efficiency
        for other, fraction in c.matches
    ]
    return csv_text(header, lines)


def _seeds(analysis: Analysis) -> str:
    lines = [
        [*_place(p), e.encoder, seed, value, " ".join(e.stamps)]
        for p in analysis.panels
        for e in p.estimates
        for seed, value in zip(
            e.seeds, e.seed_values, strict=False
        )  # a metric that is undefined has no values
    ]
    return csv_text([*_PLACE, "encoder", "seed", "value", "stamps"], lines)


def _decided(analysis: Analysis) -> list[tuple[Panel, EncoderView]]:
    """The views that hold a binary decision."""
    return [(p, v) for p in analysis.panels for v in p.views if v.operating_point is not None]


def _operating_points(analysis: Analysis) -> str:
    names = [f.name for f in dataclasses.fields(OperatingPoint)]
    lines = [
        [*_place(p), v.encoder, *(getattr(v.operating_point, n) for n in names)]
        for p, v in _decided(analysis)
    ]
    return csv_text([*_PLACE, "encoder", *names], lines)


def _published(analysis: Analysis) -> str:
    header = [
        "encoder",
        "published_as",
        "task",
        "source_task",
        "protocol",
        "metric",
        "published",
        "published_ci",
    ]
    header += ["measured", "measured_ci_low", "measured_ci_high", "stamps", "paper", "source", "caveat"]
    lines = []
    for v in analysis.published:
        m = v.measured
        ours = [None] * 4 if m is None else [m.value, m.ci_low, m.ci_high, " ".join(m.stamps)]
        place = [v.encoder, v.published_as, v.task, v.source_task, v.protocol, v.metric, v.value, v.ci]
        lines.append([*place, *ours, v.paper, v.source, v.caveat])
    return csv_text(header, lines)


def _failures(analysis: Analysis) -> str:
    return _records(analysis.failures, ("encoder", "task", "protocol", "seed", "status", "reason"))


def _secondary(analysis: Analysis) -> str:
    """Values (second encoder empty) and differences of the secondary metrics."""
    header = [*_PLACE[:-1], "secondary_metric", "first", "second", "value_or_difference", "ci_low", "ci_high"]
    header += ["p_value", "p_bh", "verdict", "method", "stamps"]
    lines: list[list[Any]] = []
    for p in analysis.panels:
        for s in p.secondary:
            place = [*_place(p)[:-1], s.metric]
            for e in s.estimates:
                alone = (e.encoder, "", e.value, e.ci_low, e.ci_high, None, None, e.verdict, e.method)
                lines.append([*place, *alone, " ".join(e.stamps)])
            for c in s.comparisons:
                pair = (c.first, c.second, c.difference, c.ci_low, c.ci_high, c.p_value, c.p_bh)
                lines.append([*place, *pair, c.verdict, c.method, _stamps_of(p, c.first, c.second)])
    return csv_text(header, lines)


def _rules(analysis: Analysis) -> str:
    fields = ("mode", "label", "rule", "source", "place", "winner", "runner_up", "p_value", "ours")
    return _records(analysis.rules, (*fields, "why_not_valid"))


def _ranks(analysis: Analysis) -> str:
    lines = [
        [x.protocol, len(x.datasets), r.encoder, r.mean_rank, x.critical_difference, x.p_value]
        for x in analysis.across
        for r in x.ranked
    ]
    header = ["protocol", "datasets", "encoder", "mean_rank", "critical_difference", "friedman_p"]
    return csv_text(header, lines)


def _pooled(analysis: Analysis) -> str:
    fields = ("metric", "first", "second", "difference", "ci_low", "ci_high", "tau", "datasets")
    lines = [[x.protocol, *(getattr(d, f) for f in fields)] for x in analysis.across for d in x.pooled]
    return csv_text(["protocol", *fields], lines)


def _records(records: Sequence[Any], fields: Sequence[str]) -> str:
    return csv_text(fields, [[getattr(r, f) for f in fields] for r in records])
