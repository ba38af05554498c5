"""bench schema."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of suite files, for editors that complete YAML."""
    from ..suite import json_schema

    click.echo(json_schema(), nl=False)
