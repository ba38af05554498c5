"""Label efficiency: the metric against the share of training patients, and what it takes to match another encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .model import EfficiencyCurve, EfficiencyPoint, Estimate, Panel

FRACTION = "fraction"


def efficiency_curves(panels: Sequence[Panel]) -> tuple[EfficiencyCurve, ...]:
    """One curve per task, protocol and encoder that was trained on several fractions."""
    curves: list[EfficiencyCurve] = []
    groups: dict[tuple[str, str], list[Panel]] = {}
    for p in panels:
        if FRACTION in dict(p.axes) and p.in_domain:
            groups.setdefault((p.task, p.protocol), []).append(p)
    for (task, protocol), members in groups.items():
        full = [p for p in panels if p.task == task and p.protocol == protocol and p.in_domain and not p.axes]
        drawn = [_curve(e, [*members, *full]) for e in _encoders(members)]
        drawn = [c for c in drawn if len(c.points) > 1]
        curves += [dataclasses.replace(c, matches=_matches(c, drawn)) for c in drawn]
    return tuple(curves)


def _encoders(panels: Sequence[Panel]) -> list[str]:
    return list(dict.fromkeys(e.encoder for p in panels for e in p.estimates))


def _curve(encoder: str, panels: Sequence[Panel]) -> EfficiencyCurve:
    by_fraction: dict[float, list[tuple[Panel, Estimate]]] = {}
    for p in panels:
        found = p.estimate(encoder)
        if found is not None and found.scored:
            by_fraction.setdefault(float(dict(p.axes).get(FRACTION, 1.0)), []).append((p, found))
    points = tuple(_point(f, found) for f, found in sorted(by_fraction.items()))
    first = panels[0]
    return EfficiencyCurve(first.task, first.title, first.metric, first.protocol, encoder, points)


def _point(fraction: float, found: Sequence[tuple[Panel, Estimate]]) -> EfficiencyPoint:
    """Mean over repeats; the interval is that of the repeat in the middle, and is about the test patients."""
    ordered = sorted(found, key=lambda pair: pair[1].value or 0.0)
    middle = ordered[(len(ordered) - 1) // 2][1]
    return EfficiencyPoint(
        fraction,
        round(float(np.mean([p.n_train for p, _ in found]))),
        float(np.mean([e.value for _, e in found if e.value is not None])),
        middle.ci_low,
        middle.ci_high,
        len(found),
    )


def _matches(curve: EfficiencyCurve, others: Sequence[EfficiencyCurve]) -> tuple[tuple[str, float], ...]:
    """For each other encoder: the fraction at which this one reaches the other's value with all labels.

    Where it is there already at its smallest fraction, that one: the true number of labels is at most that.
    """
    x = np.log([p.fraction for p in curve.points])
    y = np.maximum.accumulate([p.value for p in curve.points])
    found = []
    for other in others:
        goal = other.points[-1].value
        if other.encoder == curve.encoder or goal > y[-1]:
            continue
        reached = curve.points[0].fraction if goal <= y[0] else float(np.exp(np.interp(goal, y, x)))
        found.append((other.encoder, reached))
    return tuple(found)
