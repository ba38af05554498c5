"""From a run's rows and predictions to what they show: estimates, comparisons, families, verdicts.

`analyse` is pure: it reads nothing but the run it is given, and never loads torch or a plugin.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from ..results import Row, Run
from .across import across_datasets
from .as_reported import with_reported_medians
from .attempts import attempt
from .cases import load_cases
from .efficiency import efficiency_curves
from .interaction import interactions
from .judge import Rules
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
from .panels import build_panels
from .published import published_values
from .rules import green_winners, published_rules
from .sentences import metric_name, overall_sentences, panel_sentence
from .together import separate_or_together
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

    Returns:
        The analysis. A part that cannot be computed is left out, and named among the lints; the rest stands.
    """
    rules = declared_rules(run)
    cases = load_cases(run)
    problems: list[Lint] = []
    panels = build_panels(run.info, cases, rules, problems)
    encoders = tuple(dict.fromkeys([e.name for e in run.info.encoders] + [r.encoder for r in run.rows]))
    titles = unique_titles({e.name: e.title for e in run.info.encoders})
    primary = [p for p in panels if p.family == PRIMARY]
    rules_quoted = attempt(problems, "Rules of papers", lambda: published_rules(primary, cases), ())
    wins = count_wins(primary, encoders, green_winners(rules_quoted), rules.alpha)
    failures = tuple(_failure(r) for r in run.rows if r.status != "done")
    panels = attempt(
        problems,
        "Medians as published",
        lambda: with_reported_medians(run.info, panels, cases, titles),
        panels,
    )
    many = len({p.protocol for p in primary}) > 1
    panels = tuple(dataclasses.replace(p, sentence=panel_sentence(p, titles, many)) for p in panels)
    verdict = overall_sentences(wins, primary, titles, len(failures), rules.reference)
    transfer = attempt(problems, "Transfer", lambda: transfer_matrices(panels, cases, rules.alpha), ())
    together = attempt(
        problems, "Separate or together", lambda: separate_or_together(panels, cases, rules.alpha), ()
    )
    changes = attempt(problems, "Protocols", lambda: interactions(panels, cases, rules.alpha), ())
    published = attempt(problems, "Published values", lambda: published_values(panels, cases, encoders), ())
    ranks = attempt(problems, "Across data sets", lambda: across_datasets(panels, rules.alpha), ())
    lints = attempt(problems, "Audit", lambda: find_lints(run.info, panels, cases), ())
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
        transfer=transfer,
        together=together,
        interactions=changes,
        efficiency=attempt(problems, "Label efficiency", lambda: efficiency_curves(panels), ()),
        published=published,
        rules=rules_quoted,
        across=ranks,
        lints=(*problems, *lints),
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


def _failure(row: Row) -> Failure:
    return Failure(row.encoder, row.task, row.protocol, row.seed, row.status, row.reason)
