"""bench audit: leaks and contamination of a suite, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_CELLS_FAILED
from .options import as_json, data_root, weights_root

if TYPE_CHECKING:
    from ..results import AuditFinding


@click.command()
@click.argument("suite")
@data_root
@weights_root
@as_json
@click.option("--demo", is_flag=True, help="Look at simulated images where a dataset is missing.")
def audit(suite: str, data_root: Path | None, weights_root: Path | None, as_json: bool, demo: bool) -> None:
    """Look for leaks and contamination in a suite's data.

    Exit code 1 when a leak was found, whether or not the suite says audit: strict.
    """
    import dataclasses

    from ..audit import audit as run_audit
    from .run import prepare

    plan, _, places = prepare(suite, data_root, weights_root, (), demo, simulate=True)
    seen = plan.survey
    loaded = [d.loaded for d in seen.datasets.values() if d.loaded is not None]
    encoders = [e.info for e in seen.encoders]
    findings = run_audit(loaded, encoders, tuple(seen.tasks), store=places.store, crossings=plan.crossings)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(f) for f in findings], indent=1))
    else:
        for name, state in seen.datasets.items():
            if state.loaded is None:
                click.echo(f"not looked at: {name} (bench data how-to {name})")
        for finding in findings:
            if finding.code != "contamination" or finding.severity != "note":
                click.echo(f"{finding.severity:<8} {finding.message}")
        for line in _grid(findings):
            click.echo(line)
        leaks = sum(f.severity == "leak" for f in findings)
        warnings = sum(f.severity == "warning" for f in findings)
        click.echo(f"\n{leaks} leak(s), {warnings} warning(s)")
    if any(f.severity == "leak" for f in findings):
        raise click.exceptions.Exit(EXIT_CELLS_FAILED)


def _grid(findings: Sequence[AuditFinding]) -> Iterator[str]:
    """Encoder x dataset, what each saw in pre-training, and below it where that is stated."""
    from ..contamination import grid

    encoders, datasets, cells = grid(findings)
    if not encoders:
        return
    rows = [("seen in pre-training?", *datasets)]
    rows += [(e, *(cells[e, d].state if (e, d) in cells else "" for d in datasets)) for e in encoders]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    yield ""
    yield from (
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    yield ""
    stated = (
        f"  {f.encoder}: {f.message.partition(': ')[2]}" for f in cells.values() if f.state != "unknown"
    )
    yield from dict.fromkeys(stated)
