"""From a run's rows and predictions to what they show: estimates, comparisons, families, verdicts.

`analyse` is pure: it reads nothing but the run it is given, and never loads torch or a plugin.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from ..results import Row, Run
from .cases import Cases, Key, load_cases
from .efficiency import efficiency_curves
from .interaction import interactions
from .judge import Rules, published_winner
from .lints import find_lints
from .model import (
    PRIMARY,
    Analysis,
    Comparison,
    Curve,
    EncoderView,
    Estimate,
    Failure,
    Lint,
    Panel,
    Reliability,
    WinCount,
    Wins,
)
from .panels import build_panels, panel_id
from .published import published_values
from .sentences import metric_name, overall_sentences, panel_sentence
from .transfer import transfer_matrices
from .wins import count_wins

__all__ = [
    "PRIMARY",
    "Analysis",
    "Comparison",
    "Curve",
    "EncoderView",
    "Estimate",
    "Failure",
    "Lint",
    "Panel",
    "Reliability",
    "WinCount",
    "Wins",
    "analyse",
    "metric_name",
]


def analyse(run: Run) -> Analysis:
    """Everything that can be said about a run.

    Args:
        run: Its files, from `results.read_run`.

    Raises:
        StatisticsError: Predictions that no statistic can use, such as labels outside the task's classes.
    """
    rules = declared_rules(run)
    cases = load_cases(run)
    panels = build_panels(run.info, cases, rules)
    encoders = tuple(dict.fromkeys([e.name for e in run.info.encoders] + [r.encoder for r in run.rows]))
    titles = unique_titles({e.name: e.title for e in run.info.encoders})
    primary = [p for p in panels if p.family == PRIMARY]
    wins = count_wins(primary, encoders, _published(primary, cases), rules.alpha)
    failures = tuple(_failure(r) for r in run.rows if r.status != "done")
    many = len({p.protocol for p in primary}) > 1
    panels = tuple(dataclasses.replace(p, sentence=panel_sentence(p, titles, many)) for p in panels)
    verdict = overall_sentences(wins, primary, titles, len(failures), rules.reference)
    return Analysis(
        suite=run.info.suite,
        title=run.info.title,
        question=run.info.question,
        alpha=rules.alpha,
        margin=rules.margin,
        reference=rules.reference,
        encoders=encoders,
        titles=titles,
        panels=panels,
        wins=wins,
        transfer=transfer_matrices(panels, cases, rules.alpha),
        interactions=interactions(panels, cases, rules.alpha),
        efficiency=efficiency_curves(panels),
        published=published_values(panels, cases, encoders),
        lints=find_lints(run.info, panels, cases),
        failures=failures,
        verdict=tuple(verdict),
        stamps=tuple(dict.fromkeys(s for p in panels for s in p.stamps)),
    )


def unique_titles(titles: Mapping[str, str]) -> dict[str, str]:
    """Titles by name; where several encoders share one, each carries its name as well."""
    shared = {t for t, times in Counter(titles.values()).items() if times > 1}
    return {name: f"{title} ({name})" if title in shared else title for name, title in titles.items()}


def declared_rules(run: Run) -> Rules:
    """What the suite declared, before the run, about its comparisons."""
    declared = run.info.statistics
    comparisons = declared.get("comparisons", "all")
    reference = comparisons.get("reference") if isinstance(comparisons, dict) else None
    margin = declared.get("margin")
    return Rules(reference, float(declared.get("alpha", 0.05)), None if margin is None else float(margin))


def _published(panels: list[Panel], cases: dict[Key, Cases]) -> dict[str, str]:
    by_id = {panel_id(key): found for key, found in cases.items()}
    winners = {}
    for panel in panels:
        if panel.metric == "auroc":
            winner = published_winner(by_id[panel.id], {e.encoder: e for e in panel.estimates})
            if winner:
                winners[panel.id] = winner
    return winners


def _failure(row: Row) -> Failure:
    return Failure(row.encoder, row.task, row.protocol, row.seed, row.status, row.reason)
