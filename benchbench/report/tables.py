"""The tables of the page: the headline, and the comparison matrix of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis import Analysis, Comparison, EncoderView, Estimate, Failure, Panel
from ..analysis.model import turned

WIDE = 6
"""With more tasks than this the headline table has a line per task instead of a column per task."""
MATRIX_LIMIT = 12
"""A comparison matrix shows at most this many encoders, the best; the file holds all."""


@dataclass(frozen=True)
class HeadlineTable:
    """Encoders x panels of one protocol; `cells[i][j]` is encoder i on panel j, None where it did not run."""

    protocol: str
    panels: tuple[Panel, ...]
    encoders: tuple[str, ...]
    cells: tuple[tuple[Estimate | None, ...], ...]
    means: tuple[float | None, ...]
    """Mean over the panels that are scored, for ordering only; None with one missing."""
    by_task: bool
    """Whether lines are tasks and columns encoders."""
    tested: bool


def headline_tables(analysis: Analysis) -> tuple[HeadlineTable, ...]:
    """One table per protocol, encoders ordered by their mean over the panels."""
    tables = []
    for protocol in dict.fromkeys(p.protocol for p in analysis.headline):
        panels = tuple(p for p in analysis.headline if p.protocol == protocol)
        present = [e for e in analysis.encoders if any(p.estimate(e) for p in panels)]
        means = {e: _mean([p.estimate(e) for p in panels if not p.counted]) for e in present}
        ordered = sorted(present, key=lambda e: -1.0 if means[e] is None else means[e] or 0.0, reverse=True)
        tables.append(
            HeadlineTable(
                protocol,
                panels,
                tuple(ordered),
                tuple(tuple(p.estimate(e) for p in panels) for e in ordered),
                tuple(means[e] for e in ordered),
                len(panels) > WIDE,
                any(e.letters for p in panels for e in p.estimates),
            )
        )
    return tuple(tables)


def _mean(estimates: Sequence[Estimate | None]) -> float | None:
    values = [e.shown for e in estimates if e is not None and e.shown is not None]
    return sum(values) / len(values) if values and len(values) == len(estimates) else None


@dataclass(frozen=True)
class Matrix:
    """Differences above the diagonal, p-values below it; encoders best first."""

    encoders: tuple[str, ...]
    cells: tuple[tuple[Comparison | None, ...], ...]
    """`cells[i][j]`: encoder i minus encoder j."""
    hidden: int


def comparison_matrix(panel: Panel) -> Matrix | None:
    """The matrix of a panel, or None when fewer than two encoders were compared."""
    compared = {e for c in panel.comparisons for e in (c.first, c.second)}
    encoders = [e.encoder for e in panel.estimates if e.encoder in compared]
    if len(encoders) < 2:
        return None
    shown = encoders[:MATRIX_LIMIT]
    found = {(c.first, c.second): c for c in panel.comparisons if c.first in shown and c.second in shown}
    found |= {(b, a): turned(c) for (a, b), c in found.items()}
    cells = tuple(tuple(found.get((a, b)) for b in shown) for a in shown)
    return Matrix(tuple(shown), cells, len(encoders) - len(shown))


LISTED, LISTED_SECONDARY = 1000, 1500
"""Comparisons listed on the whole page; each panel has an equal share of them, and the file holds all."""
SHOWN = 12
"""Small tables (confusion matrices, operating points, classes) of at most this many encoders, the best."""


def listed_comparisons(panel: Panel, panels: int) -> tuple[Comparison, ...]:
    """The comparisons that one of `panels` panels lists: all, or where they are too many those of the best encoders."""
    return _of_the_best(panel.comparisons, panel, max(LISTED // max(panels, 1), 10))


def listed_secondary(panel: Panel, panels: int) -> tuple[tuple[str, Comparison], ...]:
    """The same of its secondary metrics, which share the lines evenly: (metric, comparison)."""
    share = max(LISTED_SECONDARY // max(panels * len(panel.secondary), 1), 3)
    return tuple((s.metric, c) for s in panel.secondary for c in _of_the_best(s.comparisons, panel, share))


def _of_the_best(comparisons: Sequence[Comparison], panel: Panel, most: int) -> tuple[Comparison, ...]:
    if len(comparisons) <= most:
        return tuple(comparisons)
    rank = {e.encoder: i for i, e in enumerate(panel.estimates)}
    last = len(rank)
    places = [sorted((rank.get(c.first, last), rank.get(c.second, last)), reverse=True) for c in comparisons]
    return tuple(comparisons[i] for i in sorted(range(len(places)), key=places.__getitem__)[:most])


def best_views(panel: Panel, most: int = SHOWN) -> tuple[EncoderView, ...]:
    """What is shown of the best encoders, the best first."""
    by_name = {v.encoder: v for v in panel.views}
    return tuple(by_name[e.encoder] for e in panel.estimates if e.encoder in by_name)[:most]


@dataclass(frozen=True)
class FailureGroup:
    """Cells of one encoder that failed for the same reason."""

    encoder: str
    status: str
    reason: str
    tasks: tuple[str, ...]
    protocols: tuple[str, ...]
    cells: int


def failure_groups(analysis: Analysis) -> tuple[FailureGroup, ...]:
    """Failed and missing cells, one line per encoder and reason."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for f in analysis.failures:
        groups.setdefault((f.encoder, f.status, f.reason), []).append(f)
    return tuple(
        FailureGroup(
            *key,
            tuple(dict.fromkeys(f.task for f in members)),
            tuple(dict.fromkeys(f.protocol for f in members)),
            len(members),
        )
        for key, members in groups.items()
    )
