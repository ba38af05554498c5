"""bench list and show."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BenchError, PluginError, did_you_mean
from .options import as_json, data_root

if TYPE_CHECKING:
    from ..api import DatasetInfo, EncoderInfo, ProtocolInfo
    from ..plugins import Registry

KINDS = ("encoders", "datasets", "protocols", "suites", "plugins")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), default="encoders")
@as_json
def listing(kind: str, as_json: bool) -> None:
    """List what is installed: encoders, datasets, protocols, suites or plugins."""
    rows = _rows(kind)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    _table(rows)
    if kind != "plugins":
        failed = _registry().failed if kind != "suites" else ()
        if failed:
            click.echo(f"\n{len(failed)} plugin(s) could not be loaded; see: bench list plugins", err=True)


def _registry() -> Registry:
    from ..plugins import registry

    return registry()


def _rows(kind: str) -> list[dict[str, str]]:
    if kind == "suites":
        return [_suite_row(p) for p in _shipped()]
    found = _registry()
    if kind == "encoders":
        rows = [
            {
                "name": name,
                "embedding": str(e.embed_dim),
                "input": f"{e.preprocess.size} px",
                "licence": e.licence,
                "title": e.title,
            }
            for name, e in sorted(found.encoders.items())
        ]
        return rows + [
            {"name": f"{f.prefix}...", "embedding": "", "input": "", "licence": "", "title": f.title}
            for f in found.families
        ]
    if kind == "datasets":
        return [
            {
                "name": name,
                "modality": d.modality,
                "tasks": ", ".join(t.name for t in d.tasks),
                "title": d.title,
            }
            for name, d in sorted(found.datasets.items())
        ]
    if kind == "protocols":
        return [
            {"name": name, "presets": ", ".join(p.presets), "title": p.title}
            for name, p in sorted(found.protocols.items())
        ]
    return _plugin_rows(found)


def _plugin_rows(found: Registry) -> list[dict[str, str]]:
    rows = [
        {
            "distribution": p.origin.distribution,
            "version": p.origin.version,
            "entry point": f"{p.origin.entry_point} = {p.origin.module}",
            "state": "ok",
            "brings": _shorten(p.names),
        }
        for p in found.loaded
    ]
    rows += [
        {
            "distribution": f.origin.distribution,
            "version": f.origin.version,
            "entry point": f"{f.origin.entry_point} = {f.origin.module}",
            "state": "BROKEN",
            "brings": f.cause,
        }
        for f in found.failed
    ]
    rows += [
        {
            "distribution": "",
            "version": "",
            "entry point": "",
            "state": "CLASH",
            "brings": f"the {kind} {name!r} is brought several times; write {' or '.join(full)}",
        }
        for (kind, name), full in found.clashes.items()
    ]
    return rows


def _shorten(names: Iterable[str], most: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _shipped() -> tuple[Path, ...]:
    from ..suite import shipped_suites

    return shipped_suites()


def _suite_row(path: Path) -> dict[str, str]:
    from ..suite import load_suite
    from .outline import total_hours

    try:
        file = load_suite(path)
        hours = total_hours(file, _registry())
    except BenchError as error:
        broken = f"BROKEN: {error.what}"
        return {"name": path.stem, "encoders": "", "tasks": "", "GPU-hours": "", "title": broken}
    return {
        "name": path.stem,
        "encoders": str(len(file.suite.encoders)),
        "tasks": str(len(file.suite.tasks)),
        "GPU-hours": hours,
        "title": file.suite.title,
    }


def _table(rows: list[dict[str, str]]) -> None:
    if not rows:
        click.echo("Nothing is installed.")
        return
    keys = list(rows[0])
    widths = {k: max(len(k), *(len(r[k]) for r in rows)) for k in keys[:-1]}
    click.echo("  ".join(k.ljust(widths[k]) for k in keys[:-1]) + "  " + keys[-1])
    for row in rows:
        click.echo("  ".join(row[k].ljust(widths[k]) for k in keys[:-1]) + "  " + row[keys[-1]])


@click.command()
@click.argument("kind", metavar="KIND", type=click.Choice([*KINDS, *(k.removesuffix("s") for k in KINDS)]))
@click.argument("name")
@data_root
@as_json
def show(kind: str, name: str, data_root: Path | None, as_json: bool) -> None:
    """Show the card of an encoder, dataset, protocol, suite or plugin: what it is, where it comes from, its sources."""
    kind = kind.removesuffix("s")
    if kind == "suite":
        from ..suite import load_suite

        file = load_suite(name)
        if as_json:
            click.echo(file.suite.model_dump_json(indent=1))
            return
        from ..datasets.local import with_local_datasets
        from .outline import suite_lines

        try:
            wanted = [t.task.rpartition("/")[0] for t in file.suite.tasks]
            lines = suite_lines(file, with_local_datasets(_registry(), data_root, wanted))
        except BenchError as error:  # a suite that names a set or a plugin of one's own is still shown
            lines = [("title", file.suite.title), ("question", file.suite.question), ("note", error.what)]
        for label, text in lines:
            _line(label, text)
        click.echo(f"\n{file.source.text.rstrip()}")
        return
    found = _registry()
    if kind == "plugin":
        _show_plugin(found, name, as_json)
        return
    from ..datasets.local import find_dataset

    find: dict[str, Callable[[str], Any]] = {
        "encoder": found.encoder,
        "dataset": lambda name: find_dataset(found, name, data_root),
        "protocol": found.protocol,
    }
    card = find[kind](name)
    if as_json:
        click.echo(json.dumps(_plain(card), indent=1, default=str))
        return
    describe: dict[str, Callable[[Any], Iterable[tuple[str, str]]]] = {
        "encoder": _encoder_lines,
        "dataset": _dataset_lines,
        "protocol": _protocol_lines,
    }
    for label, text in describe[kind](card):
        _line(label, text)
    if card.origin:
        _line("plugin", str(card.origin))


def _show_plugin(found: Registry, name: str, as_json: bool) -> None:
    """Every entry point of a distribution, or the entry point called `name`."""
    from ..plugins import FailedPlugin, LoadedPlugin

    plugins: tuple[LoadedPlugin | FailedPlugin, ...] = (*found.loaded, *found.failed)
    chosen = [p for p in plugins if name in (p.origin.distribution, p.origin.entry_point)]
    if not chosen:
        hint = did_you_mean(name, [p.origin.distribution for p in plugins])
        raise PluginError(
            f"No plugin is called {name!r}{'; ' + hint if hint else '.'}",
            fix="list what is installed with: bench list plugins",
        )
    if as_json:
        click.echo(json.dumps([_plain(p) for p in chosen], indent=1))
        return
    for p in chosen:
        _line("plugin", str(p.origin))
        if isinstance(p, FailedPlugin):
            _line("broken", p.cause)
        else:
            _line("brings", ", ".join(p.names))


def _plain(card: Any) -> Any:
    if dataclasses.is_dataclass(card) and not isinstance(card, type):
        return {
            f.name: _plain(getattr(card, f.name))
            for f in dataclasses.fields(card)
            if not callable(getattr(card, f.name))
        }
    if isinstance(card, list | tuple):
        return [_plain(c) for c in card]
    if isinstance(card, dict):
        return {str(k): _plain(v) for k, v in card.items()}
    return card


def _line(label: str, text: str) -> None:
    if not text:
        return
    first, *rest = [part for line in text.splitlines() for part in (textwrap.wrap(line, 86) or [""])]
    click.echo(f"{label + ':':<16}{first}")
    for line in rest:
        click.echo(" " * 16 + line)


def _encoder_lines(info: EncoderInfo) -> Iterable[tuple[str, str]]:
    from ..assemble import describe_preprocess

    yield "name", info.name + (f" (also {', '.join(info.aliases)})" if info.aliases else "")
    yield "title", info.title
    yield "architecture", info.architecture
    yield "parameters", f"{info.parameters:,}" if info.parameters else "not stated"
    yield "embedding", f"{info.embed_dim} numbers: {info.pooling}"
    yield "preprocess", f"{describe_preprocess(info)}\nstated in: {info.preprocess.source or 'not stated'}"
    for v in info.variants:
        yield "variant", f"{info.name}:{v.name}  {v.title}"
    yield "licence", info.licence
    yield from _weights_lines(info)
    for p in info.pretraining:
        images = f"{p.images:,} images" if p.images else "number of images not stated"
        yield "pre-trained on", f"{p.name}, {images} ({p.source})"
    if not info.pretraining:
        yield "pre-trained on", "nothing" if info.weights is None else "not stated"
    if info.compute:
        days = f"{info.compute.gpu_days:g} GPU-days" if info.compute.gpu_days else "GPU-days not stated"
        yield "compute", f"declared: {days}, {info.compute.hardware} ({info.compute.source})"
    else:
        yield "compute", "none" if info.weights is None else "not stated"
    yield "notes", info.notes
    yield "citation", info.citation


def _weights_lines(info: EncoderInfo) -> Iterable[tuple[str, str]]:
    w = info.weights
    if w is None:
        yield "weights", "none: an untrained control"
        return
    size = f", {w.size_bytes:,} bytes" if w.size_bytes else ""
    yield "weights", f"{w.file_name}{size}{', gated' if w.gated else ''}\n{w.how_to_obtain}"
    yield "sha256", w.sha256 or "not published"
    yield "address", w.url or (f"https://huggingface.co/{w.hub_repo}" if w.hub_repo else "")
    if w.archive:
        yield "archive", f"{w.archive.url}, {w.archive.size_bytes:,} bytes, sha256 {w.archive.sha256}"
    yield "weights seen", w.source or "not stated"


def _dataset_lines(info: DatasetInfo) -> Iterable[tuple[str, str]]:
    yield "name", info.name
    yield "title", info.title
    for t in info.tasks:
        yield "task", f"{info.name}/{t.name}  {t.title} ({t.kind}: {', '.join(t.classes[:6])})"
    yield "patients", f"grouped by {info.cluster}" if info.cluster else "no identifiers are distributed"
    for o in info.options:
        yield "option", f"{o.name} = {' | '.join(o.choices)} (default {o.default}): {o.help}"
    yield "licence", info.access.licence
    yield "where", info.access.route
    yield "how to get it", "\n".join(info.access.steps)
    yield "layout", info.access.layout
    yield "notes", "\n".join(info.notes)
    yield "citation", info.citation


def _protocol_lines(info: ProtocolInfo) -> Iterable[tuple[str, str]]:
    yield "name", info.name
    yield "title", info.title
    yield "description", info.description
    yield "seeds", "several" if info.stochastic else "one: every seed gives the same scores"
    for name, field in info.config.model_fields.items():  # type: ignore[attr-defined]
        yield "setting", f"{name} = {field.default!r}  {field.description or ''}"
    for name, values in info.presets.items():
        yield "preset", f"{name}: {dict(values)}"
