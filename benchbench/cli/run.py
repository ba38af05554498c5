"""bench run, plan and status."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_INPUTS_MISSING, EXIT_INTERRUPTED, EXIT_OK, BenchError
from .options import as_json, data_root, only, parse_only, roots, weights_root

if TYPE_CHECKING:
    from ..plan import Plan


def prepare(
    suite: str,
    data: Path | None,
    weights: Path | None,
    only_values: tuple[str, ...],
    demo: bool,
    fresh: bool = False,
) -> tuple[Plan, Any, Any]:
    """Plan, registry and roots for a suite."""
    from ..plan import make_plan, resolve_protocols
    from ..plugins import registry
    from ..progress import reporting
    from ..suite import load_suite
    from ..survey import survey

    file = load_suite(suite)
    plugins = registry()
    protocols = resolve_protocols(file, plugins.protocol, demo)
    places = roots(data, weights)
    with reporting("reading data") as progress:
        inputs = survey(file, plugins, places, demo=demo, progress=progress)

    def is_cached(key: str) -> bool:
        return not fresh and places.store.find("predictions", key) is not None

    chosen = parse_only(only_values)
    plan = make_plan(file, inputs, protocols, is_cached, demo=demo, only=chosen)
    if chosen and not plan.cells:
        raise BenchError(
            f"No cell fits --only {' '.join(only_values)}.", fix=f"see the cells with: bench plan {suite}"
        )
    return plan, plugins, places


_suite = click.argument("suite")
_demo = click.option(
    "--demo",
    is_flag=True,
    help="Simulate missing data, use random weights for missing checkpoints, shorten protocols; stamped DEMO.",
)


@click.command()
@_suite
@data_root
@weights_root
@only
@_demo
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--engine",
    default="local",
    show_default=True,
    help="local, loky, dask (the suite's cluster), dask:ADDRESS or dask:FILE.",
)
@click.option("--jobs", default=None, type=int, help="Worker processes of the loky engine.")
@click.option("--out", default=Path("reports"), type=click.Path(path_type=Path), help="Where runs go.")
@click.option("--fresh", is_flag=True, help="Compute every cell anew, whatever the store holds.")
@click.option("--skip-missing", is_flag=True, help="Run what can run although some inputs are missing.")
def run(
    suite: str,
    data_root: Path | None,
    weights_root: Path | None,
    only: tuple[str, ...],
    demo: bool,
    device: str,
    engine: str,
    jobs: int | None,
    out: Path,
    fresh: bool,
    skip_missing: bool,
) -> int:
    """Run a suite: everything that is not in the store yet, then the report.

    The same command after an interruption carries on where it stopped.
    """
    from ..engines import EngineConfig
    from ..machine import choose_device
    from ..run import Options, execute
    from ..suite import load_suite

    workers = EngineConfig.parse(engine, jobs, load_suite(suite).suite.cluster)
    for number in (signal.SIGTERM, signal.SIGINT):  # a scheduler's preemption is an interruption, not a crash
        signal.signal(number, _stop)

    plan, plugins, places = prepare(suite, data_root, weights_root, only, demo, fresh)
    if plan.missing and not skip_missing:
        _print_missing(plan)
        click.echo(
            f"\nNothing was computed. Get what is missing, or see the whole suite run on simulated images and "
            f"random weights with:\n  bench run {shlex.quote(suite)} --demo",
            err=True,
        )
        return EXIT_INPUTS_MISSING
    command = shlex.join(["bench", *sys.argv[1:]])
    if workers.name != "dask":  # workers of a cluster have devices that this machine may not have
        device = choose_device(device)
    options = Options(out, device, command, workers)
    if fresh:
        _forget(plan, places.store)
    outcome = execute(plan, plugins, places.store, options)
    click.echo(
        f"{outcome.computed} cells computed, {outcome.cached} from the store, {len(outcome.failures)} failed."
    )
    for failure in outcome.failures:
        click.echo(
            f"  failed: {failure.cell}\n    {failure.reason.replace(chr(10), chr(10) + '    ')}", err=True
        )
    click.echo(f"Report: {outcome.report}")
    return EXIT_CELLS_FAILED if outcome.failures else EXIT_OK


def _stop(number: int, frame: object) -> None:
    """The first signal lets the run end in order; a second one ends it at once."""
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, lambda *_: os._exit(EXIT_INTERRUPTED))
    raise KeyboardInterrupt


def _forget(plan: Plan, store: Any) -> None:
    import shutil

    for cell in plan.cells:
        if cell.id:
            shutil.rmtree(store.folder("predictions", cell.id), ignore_errors=True)
            shutil.rmtree(store.root / "scratch" / cell.id[:2] / cell.id, ignore_errors=True)


@click.command()
@_suite
@data_root
@weights_root
@only
@_demo
@as_json
def plan(
    suite: str,
    data_root: Path | None,
    weights_root: Path | None,
    only: tuple[str, ...],
    demo: bool,
    as_json: bool,
) -> int:
    """Show every cell of a suite with its state and reason. Computes nothing.

    Exit code 3 when an input is missing, else 0.
    """
    made, _, _ = prepare(suite, data_root, weights_root, only, demo)
    if as_json:
        _print_json(made)
    else:
        _print_cells(made)
        _print_missing(made)
        if made.missing:
            click.echo(f"\nTo watch it without them: bench run {shlex.quote(suite)} --demo", err=True)
    return EXIT_INPUTS_MISSING if made.missing else EXIT_OK


@click.command()
@_suite
@data_root
@weights_root
@_demo
@click.option("--out", default=Path("reports"), type=click.Path(path_type=Path), help="Where runs go.")
def status(suite: str, data_root: Path | None, weights_root: Path | None, demo: bool, out: Path) -> int:
    """Show how many cells of a suite are done; works while it runs in another shell."""
    made, _, places = prepare(suite, data_root, weights_root, (), demo)
    done, total = made.count("cached"), len(made.cells)
    click.echo(f"{made.suite.name}: {done} of {total} cells done, {made.count('missing')} wait for inputs.")
    from ..live import live_runs

    for line in live_runs(out / made.suite.name, places.store, total - done):
        click.echo(line)
    return EXIT_INPUTS_MISSING if made.missing else EXIT_OK


def _print_cells(plan: Plan) -> None:
    from collections import Counter

    counts = Counter(c.status for c in plan.cells)
    click.echo(
        f"{plan.suite.name}: {len(plan.cells)} cells: {counts['run']} to run, {counts['cached']} cached, "
        f"{counts['missing']} with missing inputs."
    )
    for cell in plan.cells:
        click.echo(f"  {cell.id[:8] or '-' * 8}  {cell.status:<8} {cell.name}")


def _print_missing(plan: Plan) -> None:
    if not plan.missing:
        return
    click.echo(f"\nMissing ({len(plan.missing)}):", err=True)
    for kind, name, problem in plan.missing:
        text = problem.replace("\n", "\n    ")
        click.echo(f"  {kind} {name}\n    {text}", err=True)


def _print_json(plan: Plan) -> None:
    import json

    cells = [
        {
            "id": c.id,
            "status": c.status,
            "reason": c.reason,
            "encoder": c.encoder.label,
            "protocol": c.protocol.label,
            "task": c.spec.task,
            "targets": list(c.spec.targets),
            "axes": dict(c.spec.axes),
            "seed": c.seed,
        }
        for c in plan.cells
    ]
    missing = [{"kind": k, "name": n, "what_to_do": p} for k, n, p in plan.missing]
    click.echo(json.dumps({"suite": plan.suite.name, "cells": cells, "missing": missing}, indent=1))
