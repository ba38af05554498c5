"""Win counts under three rules: Holm, uncorrected, and the rule of RETFound-Green, which is never used for a claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .model import Comparison, Panel, WinCount, Wins


def count_wins(
    panels: Sequence[Panel], encoders: Iterable[str], published: dict[str, str], alpha: float
) -> Wins:
    """Wins over the panels of one family; `published` maps a panel's id to its winner by the published rule."""
    counts = []
    tests = [c for p in panels for c in p.comparisons if c.p_value is not None]
    uncorrected = [_uncorrected_winner(c.p_value, c.difference, c.first, c.second, alpha) for c in tests]
    by_name: dict[str, list[tuple[Comparison, str | None]]] = {}
    for c, winner in zip(tests, uncorrected, strict=True):
        for name in (c.first, c.second):
            by_name.setdefault(name, []).append((c, winner))
    for name in encoders:
        involved = [c for c, _ in by_name.get(name, ())]
        without_holm = [winner for _, winner in by_name.get(name, ())]
        tested = {c.panel for c in involved}
        beaten = {c.panel for c in involved if c.winner not in (None, name)}
        counts.append(
            WinCount(
                encoder=name,
                holm=sum(c.winner == name for c in involved),
                holm_losses=sum(c.winner not in (None, name) for c in involved),
                uncorrected=sum(w == name for w in without_holm),
                uncorrected_losses=sum(w not in (None, name) for w in without_holm),
                published=sum(published.get(p.id) == name for p in panels),
                never_beaten=len(tested - beaten),
                panels=len(tested),
            )
        )
    counts.sort(key=lambda w: (-(w.holm - w.holm_losses), -(w.uncorrected - w.uncorrected_losses)))
    return Wins(
        tuple(counts),
        tests=len(tests),
        alpha=alpha,
        holm=sum(c.winner is not None for c in tests),
        uncorrected=sum(w is not None for w in uncorrected),
        published=sum(p.id in published for p in panels),
        panels=len(panels),
        tested=len({c.panel for c in tests}),
    )


def _uncorrected_winner(
    p: float | None, difference: float | None, first: str, second: str, alpha: float
) -> str | None:
    if p is None or difference is None or p >= alpha or difference == 0:
        return None
    return first if difference > 0 else second
