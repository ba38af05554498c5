"""Which tasks a plan trains on and judges on in other datasets, and which tasks of one name stay apart."""

from __future__ import annotations

from .plan import Plan


def transfer_pairs(plan: Plan) -> list[str]:
    """One line per training task and protocol, then one per two tasks of one name whose classes do not fit."""
    lines: dict[str, None] = {}
    paired: set[frozenset[str]] = set()
    for cell in plan.cells:
        foreign = [
            t for t in cell.spec.targets if _dataset(t) not in {_dataset(s) for s in cell.spec.sources}
        ]
        if foreign:
            paired |= {frozenset((s, t)) for s in cell.spec.sources for t in foreign}
            trained = " + ".join(cell.spec.sources)
            lines[f"{cell.protocol.label}: {trained} -> {', '.join(foreign)}"] = None
    if not lines:
        return []
    tasks = sorted(plan.survey.tasks)
    for i, first in enumerate(tasks):
        for second in tasks[i + 1 :]:
            same = _name(first) == _name(second) and _dataset(first) != _dataset(second)
            if same and frozenset((first, second)) not in paired:
                classes = [" | ".join(plan.survey.task(t).classes) for t in (first, second)]
                lines[f"not paired: {first} ({classes[0]}) and {second} ({classes[1]})"] = None
    return list(lines)


def _dataset(task: str) -> str:
    return task.rpartition("/")[0]


def _name(task: str) -> str:
    return task.rpartition("/")[2]
