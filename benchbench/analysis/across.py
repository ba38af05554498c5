"""Encoders across data sets: ranks with a critical difference, and differences pooled over data sets.

The data set is the unit. Tasks of one data set share images, so that they are one block: an encoder's place on a
data set is its mean rank over the data set's tasks, whatever their metrics.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics import Verdict, friedman_nemenyi, pooled_difference
from ..statistics.datasets import MINIMUM_DATASETS
from .model import PRIMARY, Panel, dataset_of
from .rules import complete_table

FEWEST_POOLED = 3
"""Fewer data sets cannot show how much a difference varies between them."""


@dataclass(frozen=True)
class RankedEncoder:
    """An encoder's mean rank over the data sets; 1 is best."""

    encoder: str
    mean_rank: float


@dataclass(frozen=True)
class PooledPair:
    """First minus second on one metric, pooled over data sets (random effects), one task of each.

    Attributes:
        difference, ci_low, ci_high: Of the mean over data sets such as these.
        tau: Standard deviation of the true differences between data sets.
        datasets: How many were pooled.
    """

    first: str
    second: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    tau: float
    datasets: int


@dataclass(frozen=True)
class AcrossDatasets:
    """One protocol across data sets.

    Attributes:
        datasets: Names of the blocks.
        ranked: Encoders that ran everywhere, best first; empty where `note` says why ranks are not shown.
        p_value: Friedman's test that all rank alike.
        critical_difference: Mean ranks further apart than this differ (Nemenyi).
        groups: Encoders joined by a bar: none of their mean ranks are further apart.
        note: Why ranks are not shown; empty where they are.
        pooled: Differences pooled over data sets, for exploration.
    """

    protocol: str
    datasets: tuple[str, ...]
    ranked: tuple[RankedEncoder, ...]
    p_value: float | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...]
    note: str
    pooled: tuple[PooledPair, ...]


def across_datasets(panels: Sequence[Panel], alpha: float) -> tuple[AcrossDatasets, ...]:
    """One record per protocol that was run on two or more data sets with two or more encoders."""
    headline = [p for p in panels if p.family == PRIMARY and p.in_domain and not p.counted]
    found = []
    for protocol in dict.fromkeys(p.protocol for p in headline):
        members = [p for p in headline if p.protocol == protocol]
        names, table = complete_table(members)
        datasets = tuple(dict.fromkeys(dataset_of(p.task) for p in members))
        if len(datasets) > 1 and len(names) > 1:
            found.append(_ranked(protocol, members, names, table, datasets, alpha))
    return tuple(found)


def _ranked(
    protocol: str,
    panels: Sequence[Panel],
    names: Sequence[str],
    table: np.ndarray,
    datasets: tuple[str, ...],
    alpha: float,
) -> AcrossDatasets:
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(-column) for column in table.T])
    home = np.array([dataset_of(p.task) for p in panels])
    blocks = np.stack([ranks[home == d].mean(axis=0) for d in datasets])
    result = friedman_nemenyi(-blocks, alpha)
    pooled = _pooled(panels, names)
    if result.verdict is not Verdict.OK or result.mean_ranks is None:
        note = (
            f"Ranks over data sets with a critical difference are not shown: this needs {MINIMUM_DATASETS} "
            f"independent data sets, and there are {len(datasets)}. Tasks of one data set count as one."
        )
        return AcrossDatasets(protocol, datasets, (), None, None, (), note, pooled)
    order = np.argsort(result.mean_ranks, kind="stable")
    return AcrossDatasets(
        protocol,
        datasets,
        tuple(RankedEncoder(names[i], float(result.mean_ranks[i])) for i in order),
        result.p_value,
        result.critical_difference,
        tuple(tuple(names[i] for i in group) for group in result.groups),
        "",
        pooled,
    )


def _pooled(panels: Sequence[Panel], names: Sequence[str]) -> tuple[PooledPair, ...]:
    """Every pair of encoders, by metric, over the first task of each data set."""
    found = []
    for metric in dict.fromkeys(p.metric for p in panels):
        first_tasks: dict[str, Panel] = {}
        for p in panels:
            if p.metric == metric:
                first_tasks.setdefault(dataset_of(p.task), p)
        for a, b in itertools.combinations(names, 2):
            pairs = [c for p in first_tasks.values() if (c := p.comparison(a, b)) is not None]
            usable = [(c.difference, c.se) for c in pairs if c.difference is not None and c.se]
            if len(usable) >= FEWEST_POOLED:
                r = pooled_difference([d for d, _ in usable], [se for _, se in usable])
                found.append(PooledPair(a, b, metric, r.difference, r.ci_low, r.ci_high, r.tau, r.n_datasets))
    return tuple(found)
