"""Panels: judged, corrected over their family, tied, and ordered."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from ..results import Row, RunInfo
from ..statistics import benjamini_hochberg, holm
from .attempts import attempt
from .cases import Cases, Key
from .efficiency import FRACTION
from .judge import Judged, Rules, judge
from .model import OTHERS, PRIMARY, Comparison, Estimate, Lint, Panel
from .secondary import secondary_metrics
from .ties import open_ranks, tie_letters
from .views import encoder_view


def build_panels(
    info: RunInfo, cases: Mapping[Key, Cases], rules: Rules, problems: list[Lint]
) -> tuple[Panel, ...]:
    """Every panel of the run, in the order of the suite's tasks and protocols, corrected and with views.

    A panel that cannot be analysed stays, without estimates; `problems` gains a line about it.
    """
    ordered = _in_order(info, cases)
    families = _families(ordered)
    panels = [_judged_panel(info, found, families[found.key], rules, problems) for found in ordered]
    corrected = correct([c for p in panels for c in p.comparisons], rules.alpha)
    by_panel: dict[str, list[Comparison]] = {}
    for comparison in corrected:
        by_panel.setdefault(comparison.panel, []).append(comparison)
    by_id = {panel_id(found.key): found for found in ordered}
    return _with_secondary(
        [_finished(p, tuple(by_panel.get(p.id, ())), rules) for p in panels], by_id, rules, problems
    )


def _with_secondary(
    panels: Iterable[Panel], by_id: Mapping[str, Cases], rules: Rules, problems: list[Lint]
) -> tuple[Panel, ...]:
    """Primary panels with their secondary metrics, which are corrected as a family of their own."""
    done = []
    for panel in panels:
        if panel.family == PRIMARY:
            work = partial(secondary_metrics, panel, by_id[panel.id], rules)
            found = attempt(problems, f"{panel.title} · secondary metrics", work, ())
            panel = dataclasses.replace(panel, secondary=found)
        done.append(panel)
    flat = [c for p in done for s in p.secondary for c in s.comparisons]
    corrected = iter(correct(flat, rules.alpha))
    return tuple(
        dataclasses.replace(
            p,
            secondary=tuple(
                dataclasses.replace(s, comparisons=tuple(next(corrected) for _ in s.comparisons))
                for s in p.secondary
            ),
        )
        for p in done
    )


def _in_order(info: RunInfo, cases: Mapping[Key, Cases]) -> list[Cases]:
    tasks = [f"{d.name}/{t.name}" for d in info.datasets for t in d.tasks]
    protocols = [p.name for p in info.protocols]
    rank = {name: i for i, name in enumerate(tasks)}
    order = {name: i for i, name in enumerate(protocols)}

    def position(key: Key) -> tuple[int, int, int, int, tuple[tuple[str, str], ...]]:
        task, source, protocol, axes = key
        return (
            len(axes),
            order.get(protocol, len(order)),
            rank.get(task, len(rank)),
            -1 if source == task else rank.get(source, len(rank)),
            axes,
        )

    return [cases[key] for key in sorted(cases, key=position)]


def _families(ordered: Iterable[Cases]) -> dict[Key, str]:
    """Family of each panel.

    A panel is primary when it had all training data, once: a share of the labels is a family of its own, and so is
    a panel whose predictions repeat an earlier one (transfer protocols judge in-domain too, as the probe does).
    """
    families: dict[Key, str] = {}
    seen: dict[str, Key] = {}
    whole = {(key[0], key[1]) for key in (c.key for c in ordered) if not key[3]}
    for cases in ordered:
        task, source, _, axes = cases.key
        names = dict(axes)
        full = float(names.get(FRACTION, 1.0)) == 1.0 and (
            (task, source) not in whole or FRACTION not in names
        )
        earlier = seen.setdefault(_digest(cases), cases.key)
        if not full:
            families[cases.key] = f"by {', '.join(names)}"
        elif earlier != cases.key:
            families[cases.key] = f"same predictions as {earlier[2]}"
        else:
            families[cases.key] = PRIMARY
    return families


def _digest(cases: Cases) -> str:
    """Fingerprint of a panel's target and predictions."""
    found = hashlib.sha256(cases.key[0].encode())
    for encoder, by_seed in sorted(cases.scores.items()):
        for scores in by_seed.values():
            found.update(encoder.encode())
            found.update(np.ascontiguousarray(scores).tobytes())
    return found.hexdigest()


def panel_id(key: Key) -> str:
    """A short name of a panel, safe in file names and anchors, unique by a digest of the key."""
    task, source, protocol, axes = key
    words = [task, *([f"from {source}"] if source != task else []), protocol, *(f"{k} {v}" for k, v in axes)]
    slug = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")[:60]
    return f"{slug}-{hashlib.sha256(repr(key).encode()).hexdigest()[:6]}"


def _judged_panel(info: RunInfo, cases: Cases, family: str, rules: Rules, problems: list[Lint]) -> Panel:
    task, source, protocol, axes = cases.key
    rows = [r for found in cases.rows.values() for r in found]
    record = info.task(task)
    identity = panel_id(cases.key)
    left_out = "left_out" in dict(axes)
    part = f"{task_title(info, task)} · {protocol}"
    judged = attempt(
        problems,
        part,
        lambda: judge(cases, identity, family, rows[0].metric, record.classes, rules),
        Judged((), (), ("Its statistics could not be computed; the audit says why.",)),
    )
    best = max((e.value for e in judged.estimates if e.value is not None), default=None)
    views = [
        attempt(
            problems,
            f"{part} · curves of {e.encoder}",
            partial(
                encoder_view,
                cases,
                e.encoder,
                e.shown_seed,
                record.kind,
                record.classes,
                banded=e.value == best,  # one band is drawn, and each costs two hundred draws of patients
            ),
            None,
        )
        for e in judged.estimates
        if family == PRIMARY
    ]
    return Panel(
        id=identity,
        task=task,
        title=task_title(info, task),
        kind=record.kind,
        classes=record.classes,
        metric=rows[0].metric,
        source_task=OTHERS if left_out else source,
        source_title=OTHERS if left_out else task_title(info, source),
        protocol=protocol,
        axes=axes,
        family=family,
        n=cases.n,
        n_patients=_patients(cases),
        n_train=int(np.median([r.n_train for r in rows])),
        counts=_counts(cases, record.classes),
        estimates=_stamped(judged, cases.rows),
        comparisons=judged.comparisons,
        notes=judged.notes,
        views=tuple(v for v in views if v is not None),
    )


def task_title(info: RunInfo, name: str) -> str:
    """``referable DR (IDRiD)``: the task's title and its data set's."""
    try:
        record, dataset = info.task(name), info.dataset(name.rpartition("/")[0])
    except (KeyError, StopIteration):
        return name
    return f"{record.title} ({dataset.title})"


def _patients(cases: Cases) -> int | None:
    if not cases.identified:
        return None
    return cases.n if cases.groups is None else len(set(cases.groups.tolist()))


def _counts(cases: Cases, classes: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    labels = cases.labels
    if labels.ndim == 2:
        return tuple((name, int((labels[:, c] == 1).sum())) for c, name in enumerate(classes))
    return tuple((name, int((labels == c).sum())) for c, name in enumerate(classes))


def _stamped(judged: Judged, rows: Mapping[str, Iterable[Row]]) -> tuple[Estimate, ...]:
    found = []
    for estimate in judged.estimates:
        stamps = tuple(dict.fromkeys(s for row in rows[estimate.encoder] for s in row.stamps.split()))
        found.append(dataclasses.replace(estimate, stamps=stamps))
    return tuple(sorted(found, key=_rank, reverse=True))


def _rank(estimate: Estimate) -> float:
    return -np.inf if estimate.shown is None else estimate.shown


def correct(comparisons: Iterable[Comparison], alpha: float) -> list[Comparison]:
    """Holm and Benjamini-Hochberg within each family, and the outcome that follows."""
    done: list[Comparison] = []
    families: dict[str, list[Comparison]] = {}
    for c in comparisons:
        families.setdefault(c.family, []).append(c)
    for members in families.values():
        raw = [c.p_value for c in members]
        by_holm, by_bh = holm(raw, alpha), benjamini_hochberg(raw, alpha)
        for c, p_holm, p_bh in zip(members, by_holm.adjusted, by_bh.adjusted, strict=True):
            corrected = dataclasses.replace(
                c,
                p_holm=None if np.isnan(p_holm) else float(p_holm),
                p_bh=None if np.isnan(p_bh) else float(p_bh),
            )
            done.append(dataclasses.replace(corrected, outcome=_outcome(corrected, alpha)))
    return done


def _outcome(c: Comparison, alpha: float) -> str:
    """A win needs a corrected p below alpha and an interval, where there is one, that excludes 0.

    With a rare class there is none; its p-value is never below that of the test that the interval belongs to.
    """
    if c.p_holm is None or c.difference is None:
        return "untested"
    low = c.difference if c.ci_low is None else c.ci_low
    high = c.difference if c.ci_high is None else c.ci_high
    if c.p_holm < alpha and low > 0:
        return "first"
    if c.p_holm < alpha and high < 0:
        return "second"
    return "undecided"


def _finished(panel: Panel, comparisons: tuple[Comparison, ...], rules: Rules) -> Panel:
    estimates = tied(panel.estimates, comparisons, rules)
    return dataclasses.replace(panel, estimates=estimates, comparisons=comparisons)


def tied(
    estimates: tuple[Estimate, ...], comparisons: tuple[Comparison, ...], rules: Rules
) -> tuple[Estimate, ...]:
    """The estimates of a panel, best first, with the letters and ranks that its corrected comparisons leave them."""
    if rules.reference is None and any(c.outcome != "untested" for c in comparisons):
        tested = {e for c in comparisons if c.outcome != "untested" for e in (c.first, c.second)}
        ordered = [e.encoder for e in estimates if e.encoder in tested]
        decided = {frozenset((c.first, c.second)) for c in comparisons if c.winner}
        letters, ranks = tie_letters(ordered, decided), open_ranks(ordered, decided)
        estimates = tuple(
            dataclasses.replace(e, letters=letters.get(e.encoder, ""), ranks=ranks.get(e.encoder))
            for e in estimates
        )
    return estimates


patients, counts = _patients, _counts
"""Patients of a panel's cases, None where none are known; and (class, test images) of each. The leaderboard's too."""
