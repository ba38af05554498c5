"""The rules by which some papers declare a win, applied to this run and set beside the valid test of the same pair.

Kept because readers will want to set a run beside such a table. None is a valid test of which encoder is better,
each says why, and none is ever used for a claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics import PublishedRule, mirage_wilcoxon, retfound_green_rule, retfound_seed_t_test
from .cases import Cases, Key
from .model import Panel
from .panels import panel_id

GREEN = "retfound_green"
SEED_T_TEST = "retfound_seed_t_test"
MIRAGE = "mirage_wilcoxon"
LEVEL = 0.05
"""Level of all three sources."""
FEWEST_TASKS = 3
"""Fewer tasks leave nothing to rank."""


@dataclass(frozen=True)
class QuotedRule:
    """One published rule on one panel, or over several.

    Attributes:
        mode: "retfound_green", "retfound_seed_t_test" or "mirage_wilcoxon".
        rule, source, label, why_not_valid: The rule in words, whose it is, and "as in the source, not a valid test".
        place: The panel's title, or the tasks it spans.
        panel: The panel's id; empty where it spans several.
        winner, runner_up: The two encoders that it compares, chosen by their result.
        p_value: What the rule reports; None where it reports none.
        ours: What the valid test says about the same pair.
    """

    mode: str
    rule: str
    source: str
    label: str
    why_not_valid: str
    place: str
    panel: str
    winner: str
    runner_up: str
    p_value: float | None
    ours: str

    @property
    def declares(self) -> bool:
        """Whether the rule declares the winner."""
        return self.p_value is not None and self.p_value < LEVEL


def published_rules(panels: Sequence[Panel], cases: Mapping[Key, Cases]) -> tuple[QuotedRule, ...]:
    """Every rule on every panel that it applies to; panels whose patients cannot be told apart are left out."""
    by_id = {panel_id(key): found for key, found in cases.items()}
    valid = [p for p in panels if by_id[p.id].testable]
    found = [r for p in valid for r in (_green(p, by_id[p.id]), _seeds(p)) if r is not None]
    return (*found, *_across(valid))


def green_winners(rules: Sequence[QuotedRule]) -> dict[str, str]:
    """Winner of each panel on which the rule of RETFound-Green declares one."""
    return {r.panel: r.winner for r in rules if r.mode == GREEN and r.declares}


def _green(panel: Panel, cases: Cases) -> QuotedRule | None:
    names = [e.encoder for e in panel.estimates]
    if panel.metric != "auroc" or len(names) < 2 or len(np.unique(cases.labels)) < 2:
        return None
    scores = [cases.scores[e.encoder][e.shown_seed][:, 0] for e in panel.estimates]
    rule = retfound_green_rule(cases.labels, np.stack(scores, axis=1))
    return _quoted(GREEN, rule, names, panel.title, [panel])


def _seeds(panel: Panel) -> QuotedRule | None:
    values = {e.encoder: e.seed_values for e in panel.estimates if e.value is not None}
    if len(values) < 2 or min(map(len, values.values())) < 2:
        return None
    rule = retfound_seed_t_test(np.array(list(values.values())))
    return _quoted(SEED_T_TEST, rule, list(values), panel.title, [panel])


def _across(panels: Sequence[Panel]) -> list[QuotedRule]:
    found = []
    for protocol, metric in dict.fromkeys((p.protocol, p.metric) for p in panels):
        members = [p for p in panels if (p.protocol, p.metric) == (protocol, metric) and p.in_domain]
        members = [p for p in members if not p.counted]
        names, table = complete_table(members)
        if len(members) >= FEWEST_TASKS and len(names) > 1:
            place = f"{len(members)} tasks, {protocol.replace('_', ' ')}"
            found.append(_quoted(MIRAGE, mirage_wilcoxon(table), names, place, members))
    return found


def complete_table(panels: Sequence[Panel]) -> tuple[list[str], np.ndarray]:
    """Encoders with a score on every panel, and their scores, shape (encoders, panels); what is counted is no score."""
    values = {
        name: [e.shown for p in panels if (e := p.estimate(name)) is not None and e.scored]
        for name in dict.fromkeys(e.encoder for p in panels for e in p.estimates)
    }
    whole = {name: row for name, row in values.items() if len(row) == len(panels)}
    return list(whole), np.array(list(whole.values()), dtype=np.float64).reshape(len(whole), len(panels))


def _quoted(
    mode: str, rule: PublishedRule, names: Sequence[str], place: str, panels: Sequence[Panel]
) -> QuotedRule:
    winner, runner_up = names[rule.winner], names[rule.runner_up]
    return QuotedRule(
        mode,
        rule.rule,
        rule.source,
        rule.label,
        rule.why_not_valid,
        place,
        panels[0].id if len(panels) == 1 else "",
        winner,
        runner_up,
        rule.p_value,
        _ours(panels, winner, runner_up),
    )


def _ours(panels: Sequence[Panel], winner: str, runner_up: str) -> str:
    compared = [c for p in panels if (c := p.comparison(winner, runner_up)) is not None]
    tested = [c for c in compared if c.outcome != "untested"]
    if not tested:
        return "not tested"
    held = sum(c.winner == winner for c in tested)
    if len(panels) == 1:
        return "holds" if held else "cannot be told apart"
    return f"holds on {held} of {len(tested)} tasks"
