"""One model per label against one model for all labels: per label, and in the macro average.

A panel of a binary task whose training task is a multi-label one was learned together with the other labels; the
panel that was trained on the binary task itself was learned separately. Both scored the same images, so that they
pair case by case for every encoder and seed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cases import Cases, Key
from .decisions import confusion, decide, frozen, operating_point
from .model import Comparison, Estimate, OperatingPoint, Panel
from .pairing import paired_test
from .panels import correct, panel_id

FAMILY = "separate or together"
METRIC = "auroc"


@dataclass(frozen=True)
class Decided:
    """One encoder on one label: its estimate, and its decisions at the threshold frozen on validation."""

    estimate: Estimate
    point: OperatingPoint
    confusion: NDArray[np.int64]
    """(2, 2) counts: row the true class, column the decision; of the seed in the middle."""


@dataclass(frozen=True)
class LabelPair:
    """One label, one encoder, learned in both ways; the difference is separate minus together."""

    task: str
    title: str
    encoder: str
    positive: int
    negative: int
    separate: Decided
    together: Decided
    comparison: Comparison | None

    @property
    def scored(self) -> bool:
        """False: too few cases of a side, which are counted and not scored."""
        return self.separate.estimate.scored and self.together.estimate.scored


@dataclass(frozen=True)
class MacroPair:
    """One encoder's mean over the labels that have enough cases; `left_out` names the others."""

    encoder: str
    labels: tuple[str, ...]
    left_out: tuple[str, ...]
    comparison: Comparison


@dataclass(frozen=True)
class SeparateOrTogether:
    """The comparison for one multi-label task and one way of learning (probe, fine-tune)."""

    task: str
    title: str
    separate: str
    """Protocol of the models for one label."""
    together: str
    """Protocol of the model for all labels."""
    labels: tuple[LabelPair, ...]
    """Label by label, encoder by encoder."""
    macro: tuple[MacroPair, ...]


def separate_or_together(
    panels: Sequence[Panel], cases: Mapping[Key, Cases], alpha: float
) -> tuple[SeparateOrTogether, ...]:
    """Every multi-label task that some of the run's separate models can be set against, Holm over all of them."""
    by_id = {panel_id(key): found for key, found in cases.items()}
    found = []
    for whole in panels:
        if whole.kind != "multilabel" or whole.task != whole.source_task:
            continue
        together = [p for p in panels if _learned_with(p, whole)]
        separate = _counterpart(whole, together, panels, by_id)
        if separate:
            found.append(_block(whole, together, separate, by_id))
    return _corrected(found, alpha)


def _learned_with(panel: Panel, whole: Panel) -> bool:
    same = (panel.source_task, panel.protocol, panel.axes) == (whole.task, whole.protocol, whole.axes)
    return same and panel.kind == "binary" and panel.metric == METRIC


def _counterpart(
    whole: Panel, together: Sequence[Panel], panels: Sequence[Panel], by_id: Mapping[str, Cases]
) -> dict[str, Panel]:
    """task -> panel of its separate model: by the protocol whose settings agree most with those of `whole`."""
    wanted = {p.task for p in together}
    by_protocol: dict[str, dict[str, Panel]] = {}
    for p in panels:
        if p.task == p.source_task and p.task in wanted and p.axes == whole.axes and p.metric == METRIC:
            by_protocol.setdefault(p.protocol, {})[p.task] = p
    agreement = {
        name: _agreement(by_id[whole.id], by_id[next(iter(members.values())).id])
        for name, members in by_protocol.items()
    }
    best = max(agreement, key=lambda name: agreement[name], default=None)
    return by_protocol[best] if best is not None and agreement[best] > 0.5 else {}


def _agreement(first: Cases, second: Cases) -> float:
    """Share of all settings of two protocols that are equal; 0 where only one of them depends on its seed."""
    one, two = (next(iter(c.rows.values()))[0] for c in (first, second))
    if one.deterministic != two.deterministic:
        return 0.0
    mine, theirs = json.loads(one.config), json.loads(two.config)
    equal = sum(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())
    return equal / max(1, len(mine.keys() | theirs.keys()))


def _block(
    whole: Panel, together: Sequence[Panel], separate: Mapping[str, Panel], by_id: Mapping[str, Cases]
) -> SeparateOrTogether:
    pairs = [(separate[p.task], p) for p in together if p.task in separate]
    labels = [
        _label(e.encoder, alone, joint, by_id)
        for alone, joint in pairs
        for e in whole.estimates
        if alone.estimate(e.encoder) and joint.estimate(e.encoder)
    ]
    macro = [_macro(e.encoder, whole, pairs, labels, by_id) for e in whole.estimates]
    return SeparateOrTogether(
        whole.task,
        whole.title,
        pairs[0][0].protocol,
        whole.protocol,
        tuple(labels),
        tuple(m for m in macro if m is not None),
    )


def _label(encoder: str, alone: Panel, joint: Panel, by_id: Mapping[str, Cases]) -> LabelPair:
    first, second = by_id[alone.id], by_id[joint.id]
    positive = int((first.labels == 1).sum())
    return LabelPair(
        alone.task,
        alone.title,
        encoder,
        positive,
        first.n - positive,
        _decided(encoder, alone, first),
        _decided(encoder, joint, second),
        paired_test(encoder, METRIC, first, second, ("separate", "together"), alone.id, FAMILY),
    )


def _decided(encoder: str, panel: Panel, cases: Cases) -> Decided:
    estimate = panel.estimate(encoder)
    assert estimate is not None, "only encoders with both results are paired"
    settled = frozen(cases, encoder, estimate.shown_seed)
    predicted = decide(cases.scores[encoder][estimate.shown_seed], "binary", settled)
    point = operating_point(cases.labels, predicted, *settled.threshold())
    return Decided(estimate, point, confusion(cases.labels, predicted, 2))


def _macro(
    encoder: str,
    whole: Panel,
    pairs: Sequence[tuple[Panel, Panel]],
    labels: Sequence[LabelPair],
    by_id: Mapping[str, Cases],
) -> MacroPair | None:
    """The mean over labels of both ways, on the multi-label task's own images; NaN where a label is missing."""
    own = [label for label in labels if label.encoder == encoder]
    kept = tuple(label.title for label in own if label.scored)
    if len(kept) < 2 or len(own) < len(pairs):
        return None
    images = by_id[whole.id]
    alone = _stacked(encoder, images, [by_id[first.id] for first, _ in pairs])
    joint = _stacked(encoder, images, [by_id[second.id] for _, second in pairs])
    names = ("separate", "together")
    comparison = paired_test(encoder, "macro_auroc", alone, joint, names, whole.id, FAMILY)
    if comparison is None:
        return None
    return MacroPair(encoder, kept, tuple(label.title for label in own if not label.scored), comparison)


def _stacked(encoder: str, images: Cases, columns: Sequence[Cases]) -> Cases:
    """One encoder's binary panels as one multi-label panel on the images of `images`."""
    seeds = set.intersection(*(set(c.scores[encoder]) for c in columns))
    labels = np.full((images.n, len(columns)), np.nan)
    scores = {s: np.full(labels.shape, 0.5) for s in sorted(seeds)}
    at = {image: i for i, image in enumerate(images.image_ids)}
    for j, column in enumerate(columns):
        rows = [at[image] for image in column.image_ids]
        labels[rows, j] = column.labels
        for s in scores:
            scores[s][rows, j] = column.scores[encoder][s][:, 0]
    return dataclasses.replace(images, labels=labels, scores={encoder: scores})


def _corrected(blocks: Sequence[SeparateOrTogether], alpha: float) -> tuple[SeparateOrTogether, ...]:
    """Holm over every label and macro average of all blocks: one family, apart from that of the encoders."""
    tests: list[Comparison] = []
    for b in blocks:
        tests += [x.comparison for x in b.labels if x.comparison is not None]
        tests += [x.comparison for x in b.macro]
    corrected = iter(correct(tests, alpha))
    done = []
    for b in blocks:
        labels = tuple(
            x if x.comparison is None else dataclasses.replace(x, comparison=next(corrected))
            for x in b.labels
        )
        macro = tuple(dataclasses.replace(x, comparison=next(corrected)) for x in b.macro)
        done.append(dataclasses.replace(b, labels=labels, macro=macro))
    return tuple(done)
