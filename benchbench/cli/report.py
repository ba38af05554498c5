"""bench report."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Render the report of a run again, from the files in its folder RUN.

    Writes report.html, CSV and LaTeX tables, BibTeX and the figures as SVG and PDF. Computes no cell and needs neither
    weights nor images.
    """
    from ..plugins import registry
    from ..report import write_report

    click.echo(f"Report: {write_report(run, sections=registry().sections)}")
