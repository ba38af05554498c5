"""What a careful reader would ask about: findings of the audit, and oddities in the numbers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..results import AuditFinding, RunInfo
from ..statistics import FEW_CASES, lint_binary
from .cases import Cases, Key
from .model import PRIMARY, Lint, Panel
from .panels import panel_id

_ORDER = {"leak": 0, "warning": 1, "note": 2}


def find_lints(info: RunInfo, panels: Sequence[Panel], cases: Mapping[Key, Cases]) -> tuple[Lint, ...]:
    """Everything found, gravest first, each once."""
    by_id = {panel_id(key): found for key, found in cases.items()}
    found = [_from_audit(f) for f in info.audit]
    for panel in panels:
        if panel.family != PRIMARY:
            continue
        found += _support(panel)
        found += _numbers(panel, by_id[panel.id])
    found += _contaminated(panels, found)
    return tuple(sorted(dict.fromkeys(found), key=lambda lint: _ORDER.get(lint.severity, 3)))


def _from_audit(f: AuditFinding) -> Lint:
    message = f.message
    if f.images:
        shown = ", ".join(f.images[:8])
        message += f" Images: {shown}" + (f" and {len(f.images) - 8} more." if len(f.images) > 8 else ".")
    return Lint(f.severity, f.code, message, " · ".join(x for x in (f.dataset, f.encoder) if x))


def _support(panel: Panel) -> list[Lint]:
    few = [f"{name} ({k})" for name, k in panel.counts if k < FEW_CASES]
    if not few:
        return []
    if panel.kind == "binary":
        consequence = "An AUROC of so few cases carries no interval, and no DeLong test was made."
    else:
        consequence = "No AUROC against the rest is shown for them and no DeLong test made."
    text = f"Fewer than {FEW_CASES} test cases: {', '.join(few)}. {consequence}"
    return [Lint("warning", "low_support", text, panel.title)]


def _numbers(panel: Panel, cases: Cases) -> list[Lint]:
    found = []
    for encoder, by_seed in cases.scores.items():
        for seed, scores in by_seed.items():
            where = f"{panel.title} · {encoder}"
            if panel.kind == "binary" and len(np.unique(cases.labels)) == 2:
                for lint in lint_binary(cases.labels, scores[:, 0]):
                    if lint.name != "few cases":
                        found.append(Lint("warning", lint.name, lint.message, where))
            if len(scores) and np.ptp(scores, axis=0).max() == 0:
                text = f"Every image has the same score (seed {seed}): training has failed."
                found.append(Lint("warning", "constant_scores", text, where))
    return found


def _contaminated(panels: Sequence[Panel], found: Sequence[Lint]) -> list[Lint]:
    """Stamped cells that the audit did not name, so that no stamp stays without a line here."""
    named = {lint.where for lint in found if lint.code == "contamination"}
    missing = []
    for p in panels:
        for e in p.estimates:
            dataset = p.task.rpartition("/")[0]
            where = f"{dataset} · {e.encoder}"
            if "CONTAMINATED" in e.stamps and where not in named:
                text = "The encoder saw this data set in pre-training; its scores here are not comparable."
                missing.append(Lint("warning", "contamination", text, where))
    return missing
