"""bench check PLUGIN."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_OK
from .options import as_json


@click.command()
@click.argument("plugin")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Checkpoint of an encoder.",
)
@as_json
def check(plugin: str, weights: Path | None, as_json: bool) -> int:
    """Run the conformance kit on an encoder, dataset, protocol, or on an installed plugin package."""
    import json
    from dataclasses import asdict

    from ..testing import check as run

    findings = run(plugin, weights)
    if as_json:
        click.echo(json.dumps([asdict(f) for f in findings], indent=1))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.passed else 'FAIL'}  {finding.check}")
            if finding.detail:
                click.echo(f"      {finding.detail}")
        broken = sum(not f.passed for f in findings)
        click.echo(f"{len(findings) - broken} of {len(findings)} checks passed.")
    return EXIT_OK if all(f.passed for f in findings) else EXIT_CELLS_FAILED
