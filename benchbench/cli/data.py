"""bench data: list, how-to, verify, simulate, prepare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_INPUTS_MISSING, BenchError, DataError
from ..progress import reporting
from .options import as_json, data_root

if TYPE_CHECKING:
    from ..api import DatasetInfo
    from ..datasets.verify import Verification

_NAMES_SHOWN = 6


@click.group()
def data() -> None:
    """Get, check, simulate and prepare datasets."""


def _registry() -> Any:
    from ..plugins import registry

    return registry()


def _find(name: str, root: Path | None) -> DatasetInfo:
    """A dataset of a plugin, or a folder of one's own with a labels.csv."""
    from ..datasets.local import find_dataset

    return find_dataset(_registry(), name, root)


def _need_root(root: Path | None) -> Path:
    if root is None:
        raise BenchError(
            "Where the datasets lie is not known.",
            fix="add --data-root D, or set BENCHBENCH_DATA=D; D holds one folder per dataset",
        )
    if not root.is_dir():
        raise DataError("The data root is not a folder.", where=str(root), fix="give an existing folder")
    return root


@data.command("list")
@data_root
@as_json
def list_(data_root: Path | None, as_json: bool) -> None:
    """Every dataset, and whether its folder is there."""
    from ..datasets.local import local_names

    rows = []
    for name, info in sorted(_registry().datasets.items()):
        there = data_root is not None and any((data_root / n).is_dir() for n in (name, *info.aliases))
        rows.append((name, info.modality, info.access.licence, "there" if there else "-", info.title))
    for name in local_names(_registry(), data_root):
        rows.append((name, "own", "your own", "there", "folder with labels.csv"))
    if as_json:
        keys = ("name", "modality", "licence", "folder", "title")
        click.echo(json.dumps([dict(zip(keys, r, strict=True)) for r in rows], indent=1))
        return
    widths = [max(len(r[i]) for r in rows) for i in range(2)]
    for name, modality, licence, where, title in rows:
        click.echo(f"{name:<{widths[0]}}  {modality:<{widths[1]}}  {where:<5}  {title} ({licence})")
    click.echo("\nHow to get one: bench data how-to NAME")


@data.command("how-to")
@click.argument("name")
@data_root
def how_to(name: str, data_root: Path | None) -> None:
    """Licence, access steps and expected folder of a dataset."""
    info = _find(name, data_root)
    access = info.access
    click.echo(f"{info.title}  [{info.name}]\n\nlicence   {access.licence}")
    click.echo(f"route     {access.route}")
    click.echo(f"may be passed on: {'yes, with attribution' if access.redistributable else 'no'}\n")
    for number, step in enumerate(access.steps, 1):
        click.echo(f"  {number}. {step}")
    click.echo("\nexpected below the data root:\n")
    for line in access.layout.splitlines():
        click.echo(f"  {line}")
    for option in info.options:
        choices = " | ".join(option.choices)
        click.echo(f"\noption {option.name}: {choices} (default {option.default}): {option.help}")
    click.echo(f"\nthen check it: bench data verify {info.name} --data-root D")
    if info.simulate:
        click.echo(f"or try it without: bench data simulate {info.name} --root D")


@data.command()
@click.argument("name")
@data_root
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Option of the dataset; repeatable."
)
@click.option("--write-split", type=click.Path(path_type=Path), help="Write the split as text to this file.")
@as_json
def verify(
    name: str, data_root: Path | None, options: tuple[str, ...], write_split: Path | None, as_json: bool
) -> None:
    """Check counts, checksums, duplicates, conflicting labels and unreadable files.

    Exit code 3 when files are missing or are not the originals; leaks that the original itself has are shown and
    are no failure.
    """
    from ..datasets.verify import verify as run_verify

    root = _need_root(data_root)
    chosen = dict(o.partition("=")[::2] for o in options)
    with reporting(f"checking {name}") as progress:
        result = run_verify(_find(name, root), root, options=chosen, progress=progress)
    if write_split:
        from ..store import atomic_write

        atomic_write(write_split, result.dataset.split_text.encode())
    click.echo(json.dumps(_as_record(result), indent=1) if as_json else _as_text(result))
    if not result.ok:
        raise click.exceptions.Exit(EXIT_INPUTS_MISSING)


def _as_text(result: Verification) -> str:
    from ..datasets.loading import expected_counts

    d = result.dataset
    lines = [f"{d.info.title}: {len(d)} images below {d.root}"]
    if d.simulated:
        lines.append("SIMULATED: these images were drawn by benchbench; counts of the original do not apply")
    elif d.info.expected and not expected_counts(d.info, d.options):
        lines.append("counts of the original hold for the default options, so these are shown unchecked")
    lines += [f"  {'ok   ' if c.ok else 'WRONG'}  {c.name}: {c.found}{_expected(c)}" for c in result.checks]
    checked = {c.name for c in result.checks}
    lines += [f"  {_spelled(d, name)}: {n}" for name, n in result.counts.items() if name not in checked]
    lines.append(
        f"identical files: {len(result.identical)} sets, {len(result.conflicting)} with conflicting labels"
    )
    lines += [_set_line(d, s, s in result.conflicting) for s in result.identical[:20]]
    lines.append(f"near duplicates: {len(result.near)} further pairs")
    lines += [f"  {p.first[1]} ~ {p.second[1]}  (correlation {p.correlation:.2f})" for p in result.near[:20]]
    lines += [f"note: {n}" for n in d.notes]
    lines += [f"{f.severity}: {f.message}" for f in result.findings if f.code != "near_duplicates"]
    return "\n".join(lines)


def _spelled(dataset: Any, name: str) -> str:
    """A key of the counts with the class's name beside its code: ``test/grade=2 (moderate)``."""
    column, _, code = name.rpartition("/")[2].partition("=")
    for task in dataset.info.tasks:
        if code and task.column == column and task.positive is None and task.kind != "multilabel":
            return f"{name} ({task.classes[int(code)]})"
    return name


def _expected(check: Any) -> str:
    return "" if check.ok else f" (expected {check.expected})"


def _set_line(dataset: Any, image_ids: tuple[str, ...], conflicting: bool) -> str:
    shown = " = ".join(image_ids[:_NAMES_SHOWN]) + (" ..." if len(image_ids) > _NAMES_SHOWN else "")
    rows = dataset.frame[dataset.frame["image_id"].isin(image_ids)]
    parts = set(rows["split"])
    across = "test" in parts and len(parts) > 1
    remarks = [r for r, true in (("labels differ", conflicting), ("across train and test", across)) if true]
    return f"  {shown}" + (f"  ({', '.join(remarks)})" if remarks else "")


def _as_record(result: Verification) -> dict[str, Any]:
    import dataclasses

    return {
        "dataset": result.dataset.name,
        "images": len(result.dataset),
        "simulated": result.dataset.simulated,
        "ok": result.ok,
        "checks": [dataclasses.asdict(c) for c in result.checks],
        "counts": dict(result.counts),
        "identical": [list(s) for s in result.identical],
        "conflicting": [list(s) for s in result.conflicting],
        "near_duplicates": [[p.first[1], p.second[1], round(p.correlation, 4)] for p in result.near],
        "notes": list(result.dataset.notes),
        "findings": [dataclasses.asdict(f) for f in result.findings],
    }


@data.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dataset that can be simulated.")
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Data root to write to.")
@click.option("--images", type=click.IntRange(1), help="About how many images per dataset (default: small).")
@click.option("--seed", type=int, default=0, show_default=True)
def simulate(names: tuple[str, ...], every: bool, root: Path, images: int | None, seed: int) -> None:
    """Write synthetic images in the genuine layout; results on them are stamped SYNTHETIC."""
    registry = _registry()
    if every == bool(names):
        raise BenchError(
            "Say which datasets to simulate.", fix="bench data simulate NAME ... --root D, or --all"
        )
    infos = (
        [i for i in registry.datasets.values() if i.simulate]
        if every
        else [registry.dataset(n) for n in names]
    )
    for info in infos:
        if info.simulate is None:
            raise BenchError(
                f"Dataset {info.name!r} cannot be simulated.", fix=f"bench data how-to {info.name}"
            )
        info.simulate(root / info.name, images, seed)
        click.echo(f"{info.name}: written to {root / info.name}")
    click.echo(f"\nUse them with: bench run SUITE --data-root {root}")


@data.command()
@click.argument("name")
@data_root
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Another data root for the copy.")
@click.option(
    "--side", type=click.IntRange(64), default=1024, show_default=True, help="Longer side in pixels."
)
def prepare(name: str, data_root: Path | None, out: Path, side: int) -> None:
    """Make a smaller copy of a dataset, once, with its provenance in PREPARED.json."""
    from ..datasets import load_dataset
    from ..datasets.prepare import prepare as run_prepare

    root = _need_root(data_root)
    info = _find(name, root)
    with reporting(f"preparing {name}") as progress:
        target = run_prepare(load_dataset(info, root, progress=progress), out / info.name, side, progress)
    click.echo(
        f"{info.name}: copy with at most {side} pixels written to {target}\nuse it with --data-root {out}"
    )
