"""`bench speed`: what encoders cost on this machine, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_OK

if TYPE_CHECKING:
    from rich.table import Table

    from ..cost import CostCell, CostLine, CostRow, CostTable


@click.command()
@click.argument("encoders", nargs=-1)
@click.option("--full", is_flag=True, help="A minute per value instead of seconds.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option(
    "--backend", type=click.Choice(["torch", "compile", "openvino"]), default="torch", show_default=True
)
@click.option(
    "--batches", help="Batch sizes of the throughput sweep, such as 1,8,32; default: what suits the device."
)
@click.option("--subject", help="Encoder of the 'versus best' column; default: the first.")
@click.option("--fresh", is_flag=True, help="Measure again what the store remembers.")
@click.option(
    "--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write cost.csv here."
)
def speed(
    encoders: tuple[str, ...],
    full: bool,
    device: str,
    precision: str,
    backend: str,
    batches: str | None,
    subject: str | None,
    fresh: bool,
    csv_path: Path | None,
) -> int:
    """Measure speed, size and memory of ENCODERS on this machine (default: those of suites/compute_cost.yaml).

    No weights are needed: speed and size do not depend on them. Exit code 1 when an encoder does not run here.
    """
    from ..cost import CostConfig, cost_table, measure_encoders, write_cost
    from ..cost.bench import full_name
    from ..cost.config import constants
    from ..inference import EmbedRequest
    from ..machine import choose_device
    from ..plugins import registry
    from ..progress import reporting
    from ..store import Store

    cards = [registry().encoder(name) for name in encoders or _default_encoders()]
    config = CostConfig(measure="full" if full else "quick", batches=_numbers(batches) if batches else None)
    requests = [EmbedRequest(card, None, "", precision, backend) for card in cards]
    names = [full_name(card) for card in cards]
    _check_subject(subject, names)
    with reporting("speed") as progress:
        rows = measure_encoders(
            requests,
            config,
            store=Store(),
            device=choose_device(device),
            fresh=fresh,
            progress=progress,
        )
    if csv_path:
        write_cost(csv_path, rows)
    show(cost_table(rows, list(dict.fromkeys(names)), subject=subject, constants=constants(config)))
    return EXIT_CELLS_FAILED if _failed(rows, names) else EXIT_OK


def _failed(rows: Sequence[CostRow], names: list[str]) -> bool:
    """Whether an encoder does not run here."""
    ran = {r.encoder for r in rows if r.quantity == "throughput_best" and r.provenance == "measured"}
    return not ran.issuperset(names)


def _check_subject(subject: str | None, names: list[str]) -> None:
    from ..errors import BenchError, did_you_mean

    if subject is not None and subject not in names:
        raise BenchError(
            f"The subject {subject!r} is not one of the encoders that are measured.",
            where="--subject",
            fix=did_you_mean(subject, names) or f"use one of: {', '.join(names)}",
        )


def _default_encoders() -> tuple[str, ...]:
    from ..suite import load_suite

    return tuple(use.name for use in load_suite("compute_cost").suite.encoders)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(
            f"{text!r} is not a list of batch sizes such as 1,8,32", param_hint="--batches"
        )
    return numbers


def show(table: CostTable) -> None:
    """Print the table to the terminal; what is wrong with published values goes into footnotes."""
    from rich.console import Console

    from ..cost.table import GROUP_TITLES

    console = Console()
    errata = list(dict.fromkeys(line.erratum for line in table.lines if line.erratum))
    for group, title in GROUP_TITLES.items():
        if lines := table.group(group):
            console.print(_grid(table, lines, title, errata, console.width))
    if table.sweep:
        console.print(_sweep(table))
    footnotes = [f"[{i}] {text}" for i, text in enumerate(errata, 1)]
    how = [f"{line.title}: {line.how}." for line in table.group("measured") if line.how]
    missing = [f"No value: {text}" for text in table.missing]
    for note in (*missing, *how, *footnotes, *table.conditions, *table.notes):
        console.print(_plain(note), style="dim", highlight=False)


def _grid(table: CostTable, lines: tuple[CostLine, ...], title: str, errata: list[str], room: int) -> Table:
    # A fixed width, which rich never cuts: a line whose name is gone says nothing.
    grid = _empty_grid(table, title, width=min(max(18, room // 5), max(len(line.title) for line in lines)))
    several = len(table.encoders) > 1
    if several:
        grid.add_column(f"{table.subject} versus best", justify="right", overflow="fold")
    for line in lines:
        versus = [_plain(line.versus)] if several else []
        grid.add_row(line.title, *(_cell(cell) for cell in line.cells), *versus)
        if line.versus_published:
            blank = [""] * len(line.cells)
            grid.add_row(f"  against {_plain(table.opponents)}", *blank, _plain(line.versus_published))
        if any(line.published):
            mark = f" [{errata.index(line.erratum) + 1}]" if line.erratum else ""
            shown = [f"[dim]{_plain(value)}[/dim]" for value in line.published]
            more = [f"[dim]{_plain(line.published_versus)}[/dim]"] if several else []
            grid.add_row(f"[dim]  published{_plain(mark)}[/dim]", *shown, *more)
    return grid


def _sweep(table: CostTable) -> Table:
    grid = _empty_grid(table, "Model alone, by batch size", "images at once")
    by_encoder = [{p.batch: p.cell for p in table.sweep_of(name)} for name in table.encoders]
    for batch in sorted({p.batch for p in table.sweep}):
        cells = [found.get(batch) for found in by_encoder]
        grid.add_row(str(batch), *(_cell(c) if c else "—" for c in cells))
    return grid


def _empty_grid(table: CostTable, title: str, first: str = "", width: int | None = None) -> Table:
    from rich.table import Table

    grid = Table(title=title, title_justify="left", title_style="bold")
    grid.add_column(first, overflow="fold", width=width)
    for name in table.encoders:
        grid.add_column(name, justify="right", overflow="fold")
    return grid


def _cell(cell: CostCell) -> str:
    noisy = " [yellow]noisy[/yellow]" if cell.noisy else ""
    spread = f" [dim]spread {cell.spread}[/dim]" if cell.spread else ""
    return _plain(cell.text) + noisy + spread


def _plain(text: str) -> str:
    """Text without rich's markup."""
    from rich.markup import escape

    return escape(text)
