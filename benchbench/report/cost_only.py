"""What the report says of a suite without tasks: its cost is all that there is."""

from __future__ import annotations

from ..analysis.sentences import listed
from ..cost import CostTable
from ..cost.table import SAME, kind_of, ratio
from ..results import RunInfo

NAMED = 6
"""With more encoders than this the verdict counts them instead of naming each."""


def without_tasks(info: RunInfo) -> bool:
    """Whether the suite scores nothing."""
    return not (info.datasets or info.protocols)


def verdict(table: CostTable | None, info: RunInfo) -> tuple[str, ...]:
    """Whose cost was measured on which machine, and how fast the subject is beside the others."""
    line = table.line("throughput_best") if table else None
    found = dict(zip(table.encoders, line.cells, strict=True)) if table and line else {}
    rates = {name: cell.value for name, cell in found.items() if cell.value}
    if table is None or not rates:
        return ("This suite has no tasks, so nothing was scored, and no encoder's speed was measured.",)
    number = f"{len(rates)} encoder{'s' if len(rates) != 1 else ''}"
    text = f"The cost of {number if len(rates) == len(found) else f'{len(rates)} of {len(found)} encoders'}"
    text += f" was measured on {machine(info)}"
    own = rates.pop(table.subject, None)
    names = table.names
    if own is None:
        return (f"{text}; the speed of {names[table.subject]} was not.",)
    text += f": {names[table.subject]} passes {found[table.subject].text} through its network"
    text += f", {_against(own, rates, names)}." if rates else "."
    noisy = any(found[name].noisy for name in (table.subject, *rates))
    return (text, "Some of these speeds are noisy: see the table before quoting them.") if noisy else (text,)


def machine(info: RunInfo) -> str:
    """The device that networks ran on, in words."""
    here = info.hardware
    cores = f", {here['cores']} cores" if "cores" in here else ""
    return f"{here.get('gpu') or here.get('processor') or 'this machine'}{cores}"


def _against(own: float, others: dict[str, float], names: dict[str, str]) -> str:
    if len(others) > NAMED:
        beaten = sum(own > rate for rate in others.values())
        return f"faster than {beaten} of the {len(others)} others"
    groups: dict[str, list[str]] = {}
    for name, rate in others.items():
        words = ratio(kind_of("throughput_best"), own, rate)
        words = f"as fast within {SAME:.0%} as" if abs(own / rate - 1) < SAME else f"{words} than"
        groups.setdefault(words, []).append(names[name])
    return listed([f"{words} {listed(members)}" for words, members in groups.items()])
