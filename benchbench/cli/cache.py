"""bench cache ls, verify and gc."""

from __future__ import annotations

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_OK
from .options import as_json


@click.group()
def cache() -> None:
    """List, verify and clean the store."""


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


@cache.command("ls")
@as_json
def ls(as_json: bool) -> None:
    """List what the store holds, by kind, with sizes."""
    import json

    from ..store import KINDS, Store

    store = Store()
    artefacts = list(store.artefacts())
    if as_json:
        rows = [
            {
                "kind": a.kind,
                "key": a.key,
                "bytes": a.bytes,
                "created": a.created,
                "identity": dict(a.identity),
            }
            for a in artefacts
        ]
        click.echo(json.dumps({"root": str(store.root), "artefacts": rows}, indent=1))
        return
    click.echo(f"Store: {store.root}")
    for kind in KINDS:
        mine = [a for a in artefacts if a.kind == kind]
        click.echo(f"  {kind:<12} {len(mine):>6} entries  {_size(sum(a.bytes for a in mine)):>10}")


@cache.command("verify")
def verify() -> int:
    """Hash every file again; corrupt entries are moved aside and will be computed anew."""
    from ..store import Store

    store = Store()
    faults = store.verify()
    for artefact, fault in faults:
        target = store.quarantine(artefact, fault)
        click.echo(f"corrupt: {artefact.kind}/{artefact.key}: {fault}; moved to {target}")
    total = sum(1 for _ in store.artefacts())
    click.echo(f"{total} entries are intact, {len(faults)} were corrupt.")
    return EXIT_CELLS_FAILED if faults else EXIT_OK


@cache.command("gc")
@click.option("--older-than", default=24.0, show_default=True, help="Hours since anything in it changed.")
@click.option("--keep-days", default=None, type=float, help="Also remove finished entries older than this.")
@click.option("--dry-run", is_flag=True, help="Say what would go, remove nothing.")
def gc(older_than: float, keep_days: float | None, dry_run: bool) -> None:
    """Remove unfinished leftovers, and finished entries past an age if asked."""
    import shutil
    from datetime import UTC, datetime

    from ..store import Store

    store = Store()
    paths = list(store.leftovers(older_than * 3600))
    if keep_days is not None:
        now = datetime.now(UTC)
        paths += [
            a.folder
            for a in store.artefacts()
            if (now - datetime.fromisoformat(a.created)).total_seconds() > keep_days * 86400
        ]
    for path in paths:
        click.echo(f"{'would remove' if dry_run else 'removed'}: {path}")
        if not dry_run:
            shutil.rmtree(path, ignore_errors=True)
            if path.is_file():
                path.unlink(missing_ok=True)
    click.echo(f"{len(paths)} folder(s).")
