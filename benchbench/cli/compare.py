"""bench compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..analysis.two_runs import Change, RunDifference


@click.command()
@click.argument("first", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("second", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="List unchanged cells too.")
def compare(first: Path, second: Path, everything: bool) -> None:
    """Compare two runs, prediction by prediction: the second RUN against the first.

    Where both scored the same images the difference is tested in pairs and corrected by Holm's method; otherwise
    the reason is printed.
    """
    from rich.console import Console

    from ..analysis.two_runs import compare_runs
    from ..results import read_run

    found = compare_runs(read_run(first), read_run(second))
    console = Console(highlight=False, markup=False)
    shown = [c for c in found.changes if everything or c.state != "same"]
    if shown:
        console.print(_table(shown))
    _summary(console, found)


def _table(changes: list[Change]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from ..report.text import interval, number, p_text

    table = Table(box=None, pad_edge=False)
    for name, side in (("encoder", "left"), ("task", "left"), ("protocol", "left"), ("first", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for name in ("second", "difference", "Holm p"):
        table.add_column(name, justify="right")
    table.add_column("note", overflow="fold")
    for change in changes:
        c = change.comparison
        numbers = ["", "", "", ""]
        if c is not None:
            difference = f"{number(c.difference)} {interval(c.ci_low, c.ci_high)}".strip()
            numbers = [number(c.value_second), number(c.value_first), difference, p_text(c.p_holm)]
        note = change.reason if change.state == "changed" else " ".join([change.state, change.reason]).strip()
        cells = [change.encoder, change.task, change.protocol, *numbers, note]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _summary(console: Any, found: RunDifference) -> None:
    states = [c.state for c in found.changes]
    parts = [f"{states.count(s)} {s}" for s in dict.fromkeys(states)]
    console.print(f"{len(states)} cells: {', '.join(parts) or 'none'}.")
    for name, old, new in found.environment:
        console.print(f"  {name}: {old} -> {new}")
