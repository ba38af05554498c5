"""Published numbers beside measured ones, from the table that the project ships (benchbench/data/published.csv).

A published number is set beside a cell of the same encoder, training task, target and kind of protocol; the cell's
predictions are then scored by the metric of the source, whatever the suite's own metric is.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from ..statistics import estimate
from .cases import Cases, Key
from .judge import shaped
from .model import OTHERS, PRIMARY, Estimate, Panel, PublishedValue
from .panels import panel_id

_KINDS = {
    "linear_probe": ("linear_probe", "label_efficiency", "transfer", "lodo"),
    "fine_tune": ("fine_tune", "label_efficiency_fine_tune", "transfer_fine_tune", "lodo_fine_tune"),
    "one_task": ("fine_tune", "linear_probe"),
    "multitask": ("multitask_fine_tune", "multitask"),
}
"""Protocols that judge as each published kind does; where its source leaves the kind open, the likelier one first."""


@dataclass(frozen=True)
class PublishedNumber:
    """One line of the table, as printed in its source.

    `task` and `source_task` may name the same target in several data sets (the original, and its copy with the
    paper's own split), with spaces between and the closest first.
    """

    encoder: str
    published_as: str
    source_task: str
    task: str
    protocol: str
    metric: str
    value: float
    ci_low: str
    ci_high: str
    paper: str
    source: str
    caveat: str

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """(task, training task) that the number may stand beside, the closest first."""
        if self.source_task == OTHERS:
            return tuple((task, OTHERS) for task in self.task.split())
        return tuple(zip(self.task.split(), self.source_task.split(), strict=True))


@cache
def published_numbers() -> tuple[PublishedNumber, ...]:
    """The shipped table."""
    text = (files("benchbench") / "data" / "published.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedNumber(**{**line, "value": float(line["value"])})  # type: ignore[arg-type]
        for line in csv.DictReader(io.StringIO(text))
    )


def published_values(
    panels: Sequence[Panel], cases: Mapping[Key, Cases], encoders: Sequence[str]
) -> tuple[PublishedValue, ...]:
    """Published numbers about this run's tasks and encoders, with the measured value where there is one."""
    by_id = {panel_id(key): found for key, found in cases.items()}
    plain = [p for p in panels if p.family == PRIMARY]
    names = {e.partition(":")[0] for e in encoders}
    tasks = {p.task: p for p in plain}
    found = []
    for number in published_numbers():
        here = [place for place in number.places if place[0] in tasks]
        if number.encoder not in names or not here:
            continue
        panel, encoder = _counterpart(number, plain, by_id)
        task, source_task = here[0] if panel is None else (panel.task, panel.source_task)
        measured = None if panel is None else _measured(number, panel, encoder, by_id[panel.id])
        found.append(
            PublishedValue(
                encoder=encoder or number.encoder,
                published_as=number.published_as,
                task=task,
                source_task=source_task,
                protocol=number.protocol,
                metric=_metric_in_words(number, tasks[task]),
                value=number.value,
                ci=f"[{number.ci_low}, {number.ci_high}]" if number.ci_low else "",
                paper=number.paper,
                source=number.source,
                caveat=number.caveat,
                measured=measured,
                panel=panel.id if panel and measured else "",
            )
        )
    return tuple(found)


def _counterpart(
    number: PublishedNumber, panels: Sequence[Panel], by_id: Mapping[str, Cases]
) -> tuple[Panel | None, str]:
    for kind, place in itertools.product(_KINDS.get(number.protocol, ()), number.places):
        for panel in (p for p in panels if (p.task, p.source_task) == place):
            for estimated in panel.estimates:
                same = by_id[panel.id].rows[estimated.encoder][0].protocol_kind == kind
                if same and estimated.encoder.partition(":")[0] == number.encoder:
                    return panel, estimated.encoder
    return None, ""


def _measured(number: PublishedNumber, panel: Panel, encoder: str, cases: Cases) -> Estimate | None:
    """The cell's predictions scored by the published metric; one trained model, the seed in the middle."""
    own = panel.estimate(encoder)
    if own is None or not own.scored:
        return None
    scores = cases.scores[encoder][own.shown_seed]
    metric, _, of_class = number.metric.partition(":")
    if of_class:
        found = estimate("auroc", cases.labels == int(of_class), scores[:, int(of_class)], cases.groups)
    else:
        found = estimate(metric, cases.labels, shaped(np.asarray(scores), metric), cases.groups)
    return Estimate(
        encoder,
        found.value,
        found.ci_low if cases.testable else None,
        found.ci_high if cases.testable else None,
        found.method if cases.testable else "",
        str(found.verdict),
        seeds=(own.shown_seed,),
        stamps=own.stamps,
    )


def _metric_in_words(number: PublishedNumber, panel: Panel) -> str:
    from .sentences import metric_name

    metric, _, of_class = number.metric.partition(":")
    if not of_class:
        return metric_name(metric)
    return f"{metric_name(metric)}, {panel.classes[int(of_class)]} against the rest"
