"""`bench speed`: what encoders cost on this machine, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ..cost import CostLine, CostTable


@click.command()
@click.argument("encoders", nargs=-1)
@click.option("--full", is_flag=True, help="A minute per value instead of seconds.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option("--backend", type=click.Choice(["torch", "openvino"]), default="torch", show_default=True)
@click.option("--batches", default="1,8,32", show_default=True, help="Batch sizes of the throughput sweep.")
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
    batches: str,
    subject: str | None,
    fresh: bool,
    csv_path: Path | None,
) -> None:
    """Measure speed, size and memory of ENCODERS on this machine (default: those of suites/compute_cost.yaml).

    No weights are needed: speed and size do not depend on them.
    """
    from ..cost import CostConfig, cost_table, measure_encoders, write_cost
    from ..cost.config import constants
    from ..inference import EmbedRequest
    from ..machine import choose_device
    from ..plugins import registry
    from ..progress import reporting
    from ..store import Store

    cards = [registry().encoder(name) for name in encoders or _default_encoders()]
    config = CostConfig(measure="full" if full else "quick", batches=_numbers(batches), subject=subject)
    requests = [EmbedRequest(card, None, "", precision, backend) for card in cards]
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
    names = list(dict.fromkeys(row.encoder for row in rows if row.encoder))
    show(cost_table(rows, names, subject=config.subject, constants=constants(config)))


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
    """Print the table to the terminal."""
    from rich.console import Console

    from ..cost.table import GROUP_TITLES

    console = Console()
    for group, title in GROUP_TITLES.items():
        if lines := table.group(group):
            console.print(_grid(table, lines, title))
    for line in table.lines:
        for name, cell in zip(table.encoders, line.cells, strict=True):
            if cell.provenance == "unmeasured" and line.group == "measured":
                console.print(f"[dim]{line.title}, {name}: {_plain(cell.reason)}[/dim]", highlight=False)
    for note in table.notes:
        console.print(_plain(note), style="dim", highlight=False)


def _grid(table: CostTable, lines: tuple[CostLine, ...], title: str) -> Table:
    from rich.table import Table

    grid = Table(title=title, title_justify="left", title_style="bold")
    grid.add_column("")
    for name in table.encoders:
        grid.add_column(name, justify="right", overflow="fold")
    if len(table.encoders) > 1:
        grid.add_column(f"{table.subject} versus best", justify="right")
    for line in lines:
        cells = [_plain(cell.text) + (" [yellow]noisy[/yellow]" if cell.noisy else "") for cell in line.cells]
        versus = [_plain(line.versus)] if len(table.encoders) > 1 else []
        grid.add_row(line.title, *cells, *versus)
        if any(line.published):
            shown = [f"[dim]{_plain(value)}[/dim]" for value in line.published]
            more = [f"[dim]{_plain(line.published_versus)}[/dim]"] if versus else []
            grid.add_row("[dim]  published[/dim]", *shown, *more)
        if line.erratum:
            grid.add_row(f"[dim]  {_plain(line.erratum)}[/dim]")
    return grid


def _plain(text: str) -> str:
    """Text without rich's markup."""
    from rich.markup import escape

    return escape(text)
