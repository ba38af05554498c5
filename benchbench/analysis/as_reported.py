"""What a paper would have printed about the same predictions, as a note that says so beside our own estimate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..results import RunInfo
from ..statistics import retfound_green_rule
from .cases import Cases, Key
from .model import Panel
from .panels import panel_id

PRESET = "retfound_green_paper"
"""The paper behind this preset reports the median AUROC of 100 bootstrap samples."""


def with_reported_medians(
    info: RunInfo, panels: Sequence[Panel], cases: Mapping[Key, Cases], titles: Mapping[str, str]
) -> tuple[Panel, ...]:
    """The panels, with the paper's number noted on binary ones that ran under its preset."""
    used = info.suite_resolved.get("protocols", ())
    labels = {u.get("name") or f"{u['protocol']} ({PRESET})" for u in used if u.get("preset") == PRESET}
    by_id = {panel_id(key): found for key, found in cases.items()}
    return tuple(
        dataclasses.replace(p, notes=(*p.notes, _note(p, by_id[p.id], titles)))
        if p.protocol in labels and p.kind == "binary" and any(e.scored for e in p.estimates)
        else p
        for p in panels
    )


def _note(panel: Panel, cases: Cases, titles: Mapping[str, str]) -> str:
    shown = []
    for e in panel.estimates:
        scores = cases.scores[e.encoder][e.shown_seed][:, 0]
        median = retfound_green_rule(cases.labels, np.column_stack([scores, scores])).values[0]
        shown.append(f"{titles.get(e.encoder, e.encoder)} {median:.3f}")
    return (
        "As the RETFound-Green paper reports it, the median AUROC of 100 bootstrap samples (no estimate of ours): "
        f"{', '.join(shown)}."
    )
