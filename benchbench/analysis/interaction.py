"""Does the order of the encoders depend on the protocol?

For every task that was judged under two protocols: the rank correlation of the two orders, the pairs that each
protocol decides the other way round, and for each pair of encoders the change of their difference, with a test.
The variance of that change comes from the test patients (joint influences of all four systems) plus, where there
are several seeds, the spread between seeds divided by their number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..statistics import Verdict, measure
from ..statistics.intervals import normal_p_value, smallest_detectable_difference, wald_interval
from ..statistics.systems import DRAWN_METRICS
from .cases import Cases, Key
from .judge import common_seeds, shaped
from .model import PRIMARY, Comparison, Interaction, Panel
from .panels import correct, panel_id

FAMILY = "protocol interaction"


def interactions(
    panels: Sequence[Panel], cases: Mapping[Key, Cases], alpha: float
) -> tuple[Interaction, ...]:
    """One record per task and pair of protocols."""
    by_id = {panel_id(key): found for key, found in cases.items()}
    found = []
    for task in dict.fromkeys(p.task for p in panels):
        home = [p for p in panels if p.task == task and p.in_domain and p.family == PRIMARY]
        for first, second in itertools.combinations(home, 2):
            if first.metric == second.metric and len(_shared(first, second)) > 1:
                found.append((first, second, _contrasts(first, second, by_id)))
    flat = iter(correct([c for *_, contrasts in found for c in contrasts], alpha))
    return tuple(_interaction(a, b, tuple(next(flat) for _ in contrasts)) for a, b, contrasts in found)


def _interaction(first: Panel, second: Panel, contrasts: tuple[Comparison, ...]) -> Interaction:
    names = _shared(first, second)
    values = tuple((n, _value(first, n), _value(second, n)) for n in names)
    both = [(a, b) for _, a, b in values if a is not None and b is not None]
    kendall = None
    if len(both) > 2:
        from scipy.stats import kendalltau

        tau = float(kendalltau(*zip(*both, strict=True)).statistic)
        kendall = None if math.isnan(tau) else tau
    reversals = []
    for a, b in itertools.combinations(names, 2):
        one, other = first.comparison(a, b), second.comparison(a, b)
        if one and other and one.winner and other.winner and one.winner != other.winner:
            reversals.append((one.winner, other.winner))
    return Interaction(
        first.task,
        first.title,
        first.metric,
        first.protocol,
        second.protocol,
        values,
        kendall,
        tuple(reversals),
        contrasts,
    )


def _shared(first: Panel, second: Panel) -> list[str]:
    """Encoders that both panels have."""
    return [e.encoder for e in first.estimates if second.estimate(e.encoder)]


def _value(panel: Panel, encoder: str) -> float | None:
    found = panel.estimate(encoder)
    return None if found is None else found.value


def _contrasts(first: Panel, second: Panel, by_id: Mapping[str, Cases]) -> list[Comparison]:
    """(A - B under `first`) - (A - B under `second`) for all pairs, but those with an encoder that failed.

    Empty where the test images differ, for metrics that have no influence formula, and where a class is too rare for
    a test without permutations.
    """
    if first.metric in DRAWN_METRICS:
        return []
    one, other = by_id[first.id], by_id[second.id]
    names = [e.encoder for e in first.estimates if second.estimate(e.encoder)]
    if not np.array_equal(one.image_ids, other.image_ids) or not one.testable:
        return []
    seeds = {id(c): common_seeds(c) for c in (one, other)}  # those that the panels' values are means of
    if not all(seeds.values()):
        return []
    systems = [(c, n, s) for c in (one, other) for n in names for s in seeds[id(c)]]
    metric = first.metric
    name = "multilabel_macro_auroc" if metric == "macro_auroc" and one.labels.ndim == 2 else metric
    scores = np.stack([shaped(c.scores[n][s], metric) for c, n, s in systems])
    measured = measure(name, one.labels, scores, one.groups)
    if not measured.verdict.has_p_value:
        return []
    means = np.array(
        [
            [(c is k and n == m) / len(seeds[id(c)]) for c, n, _ in systems]
            for k in (one, other)
            for m in names
        ]
    )
    influence = measured.influence.contrast(means)
    spread = _seed_variances(measured.influence.estimate, systems, one, other, names)
    failed = {n for (_, n, _), unfit in zip(systems, measured.unfit, strict=True) if unfit}
    k = len(names)
    found = []
    for i, j in itertools.combinations(range(k), 2):
        if names[i] in failed or names[j] in failed:
            continue
        between = np.zeros((2, 2 * k))
        between[[0, 0, 1, 1], [i, j, k + i, k + j]] = [1, -1, 1, -1]
        # Within each protocol first: what is the same under both then cancels exactly.
        contrast = influence.contrast(between).contrast([[1, -1]])
        variance = float(contrast.covariance[0, 0]) + float(spread[[i, j, k + i, k + j]].sum())
        value = float(contrast.estimate[0])
        found.append(_record(first, names[i], names[j], value, variance, measured.verdict))
    return found


def _seed_variances(
    estimates: np.ndarray,
    systems: Sequence[tuple[Cases, str, int]],
    one: Cases,
    other: Cases,
    names: Sequence[str],
) -> np.ndarray:
    """Variance of each mean over seeds that comes from the seeds."""
    found = []
    for cases in (one, other):
        for name in names:
            values = [v for v, (c, n, _) in zip(estimates, systems, strict=True) if c is cases and n == name]
            found.append(np.var(values, ddof=1) / len(values) if len(values) > 1 else 0.0)
    return np.array(found)


def _record(panel: Panel, a: str, b: str, value: float, variance: float, verdict: Verdict) -> Comparison:
    se = math.sqrt(variance) if variance > 0 else None
    interval = wald_interval(value, se) if se else None
    if se is None:
        verdict = Verdict.DEGENERATE_VARIANCE
    return Comparison(
        panel=panel.id,
        family=FAMILY,
        first=a,
        second=b,
        value_first=None,
        value_second=None,
        difference=value,
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        se=se,
        p_value=normal_p_value(value / se) if se else None,
        p_permutation=None,
        detectable=smallest_detectable_difference(se) if se else None,
        verdict=str(verdict),
        note="" if verdict is Verdict.OK else verdict.explanation,
        method="contrast of four systems on the same images",
    )
