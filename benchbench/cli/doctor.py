"""bench doctor."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import EXIT_OK, EXIT_USAGE
from .options import data_root, weights_root


@click.command()
@data_root
@weights_root
def doctor(data_root: Path | None, weights_root: Path | None) -> int:
    """Check this installation: packages, plugins, GPU, store, data and weights folders.

    Each finding ends in what to do. Exit code 2 when something is broken.
    """
    from ..doctor import diagnose

    marks = {"ok": "ok      ", "note": "note    ", "broken": "BROKEN  "}
    findings = diagnose(data_root, weights_root)
    for finding in findings:
        click.echo(f"{marks[finding.state]}{finding.name}: {finding.message}")
        if finding.fix:
            click.echo(f"          what to do: {finding.fix}")
    broken = sum(f.state == "broken" for f in findings)
    click.echo(f"\n{len(findings)} checks, {broken} broken.")
    return EXIT_USAGE if broken else EXIT_OK
