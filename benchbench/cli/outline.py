"""What a suite asks, tests and is expected to cost, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..api import DatasetInfo
    from ..cost.expected import Share
    from ..plan import Plan
    from ..plugins import Registry
    from ..store import Store
    from ..suite import SuiteFile


def suite_lines(file: SuiteFile, registry: Registry) -> list[tuple[str, str]]:
    """(label, text) of a suite: title, question, primary metrics, families, expected cost on one GPU."""
    suite = file.suite
    lines = [("title", suite.title), ("question", suite.question)]
    if not suite.tasks:
        return lines
    by_metric: dict[str, list[str]] = {}
    datasets = _cards(file, registry)
    for use in suite.tasks:
        task = datasets[use.task.rpartition("/")[0]].task(use.task.rpartition("/")[2])
        by_metric.setdefault(use.metric or task.metric, []).append(use.task)
    lines += [("primary metric", f"{metric}: {', '.join(tasks)}") for metric, tasks in by_metric.items()]
    compared = suite.statistics.comparisons
    pairs = "every pair of encoders" if compared == "all" else f"every encoder against {compared.reference}"
    lines.append(
        (
            "families",
            f"primary: {pairs} on every task and protocol with all training data, Holm at {suite.statistics.alpha:g}; "
            "each on its own: shares of the labels, losses in transfer, separate or together, protocols against each "
            "other",
        )
    )
    return [*lines, *(("expected cost", line) for line in cost_lines(_shares(file, registry)))]


def total_hours(file: SuiteFile, registry: Registry) -> str:
    """GPU-hours of a suite for a list: ``12``, ``0.03``, ``> 12`` where a part is unknown."""
    shares = _shares(file, registry)
    known = [s.hours for s in shares if s.hours is not None]
    if not known:
        return "unknown"
    return ("> " if len(known) < len(shares) else "") + hours_text(sum(known))


def _shares(file: SuiteFile, registry: Registry) -> tuple[Share, ...]:
    from ..cost.expected import expected_cost
    from ..cost.speeds import measured_speeds
    from ..store import Store

    return expected_cost(file, registry, _cards(file, registry), speeds=measured_speeds(Store()))


def _cards(file: SuiteFile, registry: Registry) -> dict[str, DatasetInfo]:
    names = dict.fromkeys(use.task.rpartition("/")[0] for use in file.suite.tasks)
    return {name: registry.dataset(name) for name in names}


def plan_lines(plan: Plan, registry: Registry, store: Store) -> list[str]:
    """Expected cost of a plan's whole suite, with the data sets that are at hand counted."""
    from ..cost.expected import expected_cost
    from ..cost.speeds import measured_speeds

    states = plan.survey.datasets.values()
    shares = expected_cost(
        plan.suite,
        registry,
        {d.name: d.info for d in states},
        {d.name: len(d.loaded) for d in states if d.loaded is not None},
        measured_speeds(store),
        plan.demo,
    )
    return cost_lines(shares)


def cost_lines(shares: Sequence[Share]) -> list[str]:
    """GPU-hours by protocol and in all, what they leave out, and where the rates come from."""
    lines = []
    for protocol in dict.fromkeys(s.protocol for s in shares):
        own = [s for s in shares if s.protocol == protocol]
        lines.append(f"{protocol}: {_sum(own)}")
    if len(lines) > 1:
        lines.append(f"in all: {_sum(shares)}")
    unknown = list(dict.fromkeys(s.encoder for s in shares if s.hours is None and s.passes is not None))
    if unknown:
        lines.append(f"not counted, FLOPs unknown: {', '.join(unknown)}")
    if any(s.passes is None for s in shares):
        lines.append("unknown where the number of images is not: give --data-root to count them")
    rates = dict.fromkeys((s.rate_from, s.encoder) for s in shares if s.hours is not None)
    by_source: dict[str, list[str]] = {}
    for source, encoder in rates:
        by_source.setdefault(source, []).append(encoder)
    lines += [f"rate of {', '.join(names)}: {source}" for source, names in by_source.items()]
    return lines


def _sum(shares: Sequence[Share]) -> str:
    known = [s.hours for s in shares if s.hours is not None]
    if not known:
        return "unknown"
    if not any(s.passes for s in shares):
        return "nothing more, its embeddings are counted above"
    return f"{'more than ' if len(known) < len(shares) else ''}{hours_text(sum(known))} GPU-hours"


def hours_text(hours: float) -> str:
    """Two significant digits, or a bound."""
    return "under 0.01" if hours < 0.01 else f"{float(f'{hours:.2g}'):g}"
