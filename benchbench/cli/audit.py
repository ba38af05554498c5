"""bench audit: leaks and contamination of a suite, before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import EXIT_CELLS_FAILED
from .options import as_json, data_root, weights_root


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
    from ..plugins import registry
    from ..suite import load_suite
    from ..survey import survey
    from .options import roots

    found_roots = roots(data_root, weights_root)
    seen = survey(load_suite(suite), registry(), found_roots, demo=demo)
    loaded = [d.loaded for d in seen.datasets.values() if d.loaded is not None]
    encoders = [e.info for e in seen.encoders]
    findings = run_audit(loaded, encoders, tuple(seen.tasks), store=found_roots.store)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(f) for f in findings], indent=1))
    else:
        for name, state in seen.datasets.items():
            if state.loaded is None:
                click.echo(f"not looked at: {name} (bench data how-to {name})")
        for finding in findings:
            click.echo(f"{finding.severity:<8} {finding.message}")
        leaks = sum(f.severity == "leak" for f in findings)
        warnings = sum(f.severity == "warning" for f in findings)
        click.echo(f"\n{leaks} leak(s), {warnings} warning(s)")
    if any(f.severity == "leak" for f in findings):
        raise click.exceptions.Exit(EXIT_CELLS_FAILED)
