"""bench weights list, how-to, fetch, verify and slim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_INPUTS_MISSING, EXIT_OK, BenchError
from .options import as_json, weights_root

if TYPE_CHECKING:
    from ..api import EncoderInfo

_NAMES = click.argument("names", nargs=-1, metavar="[ENCODER]...")


@click.group()
def weights() -> None:
    """Get, check and slim checkpoints."""


def _root(folder: Path | None) -> Path:
    if folder is None:
        raise BenchError(
            "No weights root is given: the folder that holds checkpoints.",
            fix="add --weights-root DIR, or set BENCHBENCH_WEIGHTS=DIR",
        )
    return folder.absolute()


def _encoders(names: tuple[str, ...]) -> list[EncoderInfo]:
    """The named encoders; without names all, with one entry per checkpoint."""
    from ..plugins import registry

    if names:
        return [registry().encoder(name) for name in names]
    found = []
    for info in registry().encoders.values():
        found.append(info)
        files = {info.weights.file_name if info.weights else ""}
        for variant in info.variants:
            if variant.weights and variant.weights.file_name not in files:
                files.add(variant.weights.file_name)
                found.append(info.with_variant(variant.name))
    return found


@weights.command("list")
@_NAMES
@weights_root
@as_json
def list_(names: tuple[str, ...], weights_root: Path | None, as_json: bool) -> None:
    """List the checkpoints of all encoders, with what is here."""
    import json

    from ..hashing import HashCache
    from ..store import Store
    from ..weights import resolve, spelled

    rows, hashes = [], HashCache(Store())
    for info in _encoders(names):
        found = resolve(info, weights_root, hashes)
        source = info.weights
        rows.append(
            {
                "encoder": spelled(info),
                "status": found.status,
                "file": source.file_name if source else "",
                "path": str(found.path or ""),
                "licence": source.licence if source else "",
                "gated": bool(source and source.gated),
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    wide = [max(len(str(r[key])) for r in rows) for key in ("encoder", "status", "file")]
    for r in rows:
        gated = " (gated)" if r["gated"] else ""
        click.echo(
            f"{r['encoder']:<{wide[0]}}  {r['status']:<{wide[1]}}  {r['file']:<{wide[2]}}  {r['licence']}{gated}"
        )


@weights.command("how-to")
@_NAMES
@weights_root
def how_to_(names: tuple[str, ...], weights_root: Path | None) -> None:
    """Say how to get the checkpoint of an encoder."""
    from ..weights import how_to

    for info in _encoders(names):
        click.echo(how_to(info, weights_root) + "\n")


@weights.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="ENCODER...")
@weights_root
@click.option(
    "--accept-licence", is_flag=True, help="Accept the licence that is shown; remembered per encoder."
)
def fetch_(names: tuple[str, ...], weights_root: Path | None, accept_licence: bool) -> None:
    """Download checkpoints into the weights root; an interrupted download carries on."""
    from ..downloads import fetch
    from ..store import Store
    from ..weights import spelled

    root = _root(weights_root)
    for info in _encoders(names):
        if info.weights:
            click.echo(f"{spelled(info)}: licence {info.weights.licence}")
        with click.progressbar(length=1, label=info.name) as bar:

            def progress(done: int, total: int | None, bar: click.progressbar = bar) -> None:  # type: ignore[valid-type]
                bar.length = total or done  # type: ignore[attr-defined]
                bar.update(done - bar.pos)  # type: ignore[attr-defined]

            found = fetch(info, root, Store(), accept_licence=accept_licence, progress=progress)
        click.echo(f"{spelled(info)}: {found.path or 'no file'} ({found.status})")


@weights.command("verify")
@_NAMES
@weights_root
def verify_(names: tuple[str, ...], weights_root: Path | None) -> int:
    """Compare checkpoints with the official sha256."""
    from ..downloads import verify
    from ..hashing import HashCache
    from ..store import Store
    from ..weights import spelled

    code, hashes = EXIT_OK, HashCache(Store())
    for info in _encoders(names):
        found, official, sentence = verify(info, weights_root, hashes)
        if found.status == "missing" and not names:
            continue
        click.echo(f"{spelled(info)}: {found.path or ''} {sentence}")
        if found.status == "missing":
            code = max(code, EXIT_INPUTS_MISSING)
        elif official is False:
            code = max(code, EXIT_CELLS_FAILED)
    return code


@weights.command("slim")
@click.argument("names", nargs=-1, required=True, metavar="ENCODER...")
@weights_root
@click.option(
    "--weights",
    "explicit",
    type=click.Path(path_type=Path),
    help="Checkpoint to slim, if not the official one.",
)
def slim_(names: tuple[str, ...], weights_root: Path | None, explicit: Path | None) -> None:
    """Write the encoder's own part of a checkpoint as safetensors (RETFound: 1.13 instead of 3.68 GiB)."""
    from ..downloads import slim, slim_path
    from ..errors import WeightsError
    from ..hashing import HashCache
    from ..store import Store
    from ..weights import how_to, resolve, spelled

    root, hashes = _root(weights_root), HashCache(Store())
    for info in _encoders(names):
        found = resolve(info, root, hashes, explicit)
        if found.path is None:
            raise WeightsError(f"The weights of {spelled(info)} are not here.", fix=how_to(info, root))
        out = slim_path(info, root, found, explicit)
        before, after = found.path.stat().st_size, slim(info, found, out)
        click.echo(f"{out}: {after / 2**30:.2f} GiB instead of {before / 2**30:.2f} GiB")
