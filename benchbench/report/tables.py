"""The tables of the page: the headline, and the comparison matrix of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis import Analysis, Comparison, Estimate, Failure, Panel

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
    cells = tuple(tuple(None if a == b else panel.comparison(a, b) for b in shown) for a in shown)
    return Matrix(tuple(shown), cells, len(encoders) - len(shown))


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
