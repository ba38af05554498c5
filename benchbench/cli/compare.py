"""bench compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BenchError
from .stats import headline, print_pairs, table_columns

if TYPE_CHECKING:
    from ..analysis.two_runs import Change, RunDifference


@click.command()
@click.argument("first", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("second", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="List unchanged cells too.")
@table_columns
def compare(first: Path, second: Path, everything: bool, **columns: Any) -> None:
    """Compare two runs, prediction by prediction: the second RUN against the first.

    Where both scored the same images the difference is tested in pairs and corrected by Holm's method; otherwise
    the reason is printed. Two tables of scores (CSV files) are compared in the same way, cases paired by the column
    that names them or else by their order; the last five options say what their columns are.
    """
    tables = [path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt") for path in (first, second)]
    if all(tables):
        _compare_files(first, second, columns)
        return
    if any(tables):
        raise BenchError(
            "A run cannot be compared with a table of scores.",
            fix="name two runs, or two CSV files",
        )
    from rich.console import Console

    from ..analysis.two_runs import compare_runs
    from ..results import read_run

    found = compare_runs(read_run(first), read_run(second))
    console = Console(highlight=False, markup=False)
    shown = [c for c in found.changes if everything or c.state != "same"]
    if shown:
        console.print(_table(shown))
    _summary(console, found)


def _compare_files(first: Path, second: Path, columns: dict[str, Any]) -> None:
    from dataclasses import replace

    from ..statistics import delong_test, holm
    from ..statistics.predictions_file import read_scores
    from ..statistics.two_files import paired_tables

    table, wanted = paired_tables(read_scores(first, **columns), read_scores(second, **columns))
    pairs = tuple(
        replace(
            delong_test(table.labels, table.scores[:, a], table.scores[:, b], table.patients),
            index_a=a,
            index_b=b,
        )
        for a, b in wanted
    )
    click.echo(headline(table))
    print_pairs(table, pairs, holm([p.p_value for p in pairs]))


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
