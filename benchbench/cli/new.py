"""bench new encoder|dataset|protocol NAME."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("kind", type=click.Choice(["encoder", "dataset", "protocol"]))
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to put the folder."
)
def new(kind: Any, name: str, out: Path) -> None:
    """Start a plugin package of your own: installable, with a test that runs the conformance kit."""
    from ..plugins import registry
    from ..scaffold import new_package

    found = registry()
    taken = {"encoder": found.encoders, "dataset": found.datasets, "protocol": found.protocols}[kind]
    if name in taken or (kind, name) in found.clashes:
        click.echo(
            f"Note: an installed plugin has {kind} {name!r} already. Once yours is installed, too, both answer to "
            "their full names only (distribution/name): another name is easier.",
            err=True,
        )
    written = new_package(kind, name, out)
    for path in written:
        click.echo(str(path))
    root = written[0].parent
    click.echo(f"Next: pip install -e {root}; bench check {name}; then replace what is marked with CHANGE.")
