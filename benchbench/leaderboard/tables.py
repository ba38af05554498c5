"""A board as tidy tables: what the JSON and CSV files, the pages and the releases are made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .rescore import Board, BoardPanel, Entry

DECIMALS = 6
"""Digits kept in files, so that the last bits of different processors do not show."""


@dataclass(frozen=True)
class ResultLine:
    """One entry on one panel. Numbers are None where they do not exist, and where nothing was re-scored."""

    spec: str
    panel: str
    task: str
    task_title: str
    source_task: str
    protocol: str
    metric: str
    n: int
    entry: str
    encoder: str
    submitter: str
    submitted: str
    tier: str
    marks: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    tie_group: str
    rank_best: int | None
    rank_worst: int | None
    seeds: int
    seed_sd: float | None
    note: str


@dataclass(frozen=True)
class ComparisonLine:
    """Two entries on one panel; the difference is first minus second."""

    spec: str
    panel: str
    first: str
    second: str
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    p_holm: float | None
    outcome: str
    verdict: str
    method: str


def marks_of(entry: Entry, panel: BoardPanel | None = None) -> tuple[str, ...]:
    """What a reader must know before believing an entry: its stamps, on one panel or on any."""
    submission = entry.bundle.submission
    chosen = [r for r in submission.results if panel is None or r.panel == panel.panel.id]
    found = {stamp for r in chosen for stamp in r.stamps.split()}
    seen = {c.dataset for c in submission.contamination if c.status == "seen"}
    if seen if panel is None else panel.panel.dataset in seen:
        found.add("CONTAMINATED")
    if submission.encoder.weights_status == "untrained":
        found.add("UNTRAINED")
    return tuple(sorted(found))


def result_lines(board: Board) -> tuple[ResultLine, ...]:
    """Every current entry on every panel, best first where scores exist."""
    lines = []
    for panel in board.panels:
        scored = [e.encoder for e in panel.estimates]
        rest = [e.id for e in board.current if e.id not in scored]
        lines += [_result_line(board, panel, board.entry(id)) for id in (*scored, *rest)]
    return tuple(lines)


def _result_line(board: Board, panel: BoardPanel, entry: Entry) -> ResultLine:
    submission = entry.bundle.submission
    estimate, rank = panel.estimate(entry.id), panel.ranks.get(entry.id)
    note = "" if panel.rescored else "not re-scored here: the labels may not be published"
    return ResultLine(
        spec=board.spec.name,
        panel=panel.panel.id,
        task=panel.task.name,
        task_title=panel.task.title,
        source_task=panel.panel.source_task,
        protocol=panel.panel.protocol,
        metric=panel.task.metric,
        n=panel.n,
        entry=entry.id,
        encoder=submission.encoder.name,
        submitter=submission.submitter.name,
        submitted=submission.submitted,
        tier=entry.tier,
        marks=" ".join(marks_of(entry, panel)),
        value=_rounded(estimate.value if estimate else None),
        ci_low=_rounded(estimate.ci_low if estimate else None),
        ci_high=_rounded(estimate.ci_high if estimate else None),
        tie_group=estimate.letters if estimate else "",
        rank_best=rank[0] if rank else None,
        rank_worst=rank[1] if rank else None,
        seeds=len(panel.panel.seeds),
        seed_sd=_rounded(estimate.seed_sd if estimate else None),
        note=(estimate.note if estimate else "") or note,
    )


def comparison_lines(board: Board) -> tuple[ComparisonLine, ...]:
    """Every comparison of the board."""
    return tuple(
        ComparisonLine(
            spec=board.spec.name,
            panel=c.panel,
            first=c.first,
            second=c.second,
            difference=_rounded(c.difference),
            ci_low=_rounded(c.ci_low),
            ci_high=_rounded(c.ci_high),
            p_value=_significant(c.p_value),
            p_holm=_significant(c.p_holm),
            outcome=c.outcome,
            verdict=c.verdict,
            method=c.method,
        )
        for panel in board.panels
        for c in panel.comparisons
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS) + 0.0


def _significant(value: float | None) -> float | None:
    """A p-value with so many significant digits: rounded to decimals, one of 1e-9 would read as 0."""
    return None if value is None else float(f"{value:.{DECIMALS}g}")


def as_json(value: Any) -> bytes:
    """Plain values or dataclasses as JSON with a stable layout."""
    return (
        json.dumps(value, indent=1, ensure_ascii=False, default=dataclasses.asdict, allow_nan=False) + "\n"
    ).encode()


def board_record(board: Board) -> dict[str, Any]:
    """results.json of a spec."""
    return {
        "spec": board.spec.name,
        "spec_sha256": board.spec.sha256,
        "title": board.spec.title,
        "demonstration": board.spec.demonstration,
        "alpha": board.spec.alpha,
        "comparisons_in_family": family_size(board),
        "submissions": [submission_record(entry) for entry in board.entries],
        "results": [dict(vars(line)) for line in result_lines(board)],
        "comparisons": [dict(vars(line)) for line in comparison_lines(board)],
    }


def family_size(board: Board) -> int:
    """Tests that Holm's correction spans."""
    return sum(c.p_value is not None for p in board.panels for c in p.comparisons)


def submission_record(entry: Entry) -> dict[str, Any]:
    """What files say of a submission, besides its scores."""
    submission = entry.bundle.submission
    return {
        "entry": entry.id,
        "digest": entry.bundle.digest,
        "submitted": submission.submitted,
        "submitter": submission.submitter.name,
        "encoder": submission.encoder.name,
        "title": submission.encoder.title,
        "weights_sha256": submission.encoder.weights_sha256,
        "plugin": f"{submission.plugin.distribution} {submission.plugin.version}",
        "tier": entry.tier,
        "marks": list(marks_of(entry)),
        "superseded_by": entry.superseded_by,
        "same_predictions_as": list(entry.twins),
    }


def ordered_entries(board: Board) -> tuple[Entry, ...]:
    """Current entries: first those that most seldom have a better one above them, then by title."""

    def key(entry: Entry) -> tuple[int, int, str, str]:
        worst = sum(p.ranks[entry.id][0] for p in board.panels if entry.id in p.ranks)
        return -board.leads(entry.id), worst, entry.bundle.submission.encoder.title.lower(), entry.id

    return tuple(sorted(board.current, key=key))


def unique_names(entries: Iterable[Entry]) -> dict[str, str]:
    """A short name per entry: the encoder's title, with the submitter where titles repeat."""
    chosen = list(entries)
    titles = [e.bundle.submission.encoder.title for e in chosen]
    names = {}
    for entry, title in zip(chosen, titles, strict=True):
        submission = entry.bundle.submission
        if titles.count(title) > 1:
            digest = submission.encoder.weights_sha256 or "random weights"
            title = f"{title} ({submission.submitter.name}, {digest[:6]})"
        names[entry.id] = title
    return names
