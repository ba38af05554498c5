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
from .options import TakesPairs, as_json, data_root, only, parse_only, roots, weights_root

if TYPE_CHECKING:
    from ..plan import Plan


def prepare(
    suite: str,
    data: Path | None,
    weights: Path | None,
    only_values: tuple[str, ...],
    demo: bool,
    *,
    simulate: bool = False,
    fresh: bool = False,
    encoders: str = "",
) -> tuple[Plan, Any, Any]:
    """Plan, registry and roots for a suite.

    Only with `simulate` are simulated images drawn that are not there; `encoders`, separated by commas, take the
    place of the suite's.
    """
    from ..plan import make_plan, resolve_protocols
    from ..plugins import registry
    from ..progress import reporting
    from ..suite import load_suite, with_encoders
    from ..survey import survey

    file = load_suite(suite)
    if encoders:
        file = with_encoders(file, [name.strip() for name in encoders.split(",") if name.strip()])
    plugins = registry()
    protocols = resolve_protocols(file, plugins.protocol, demo)
    places = roots(data, weights)
    with reporting("reading data") as progress:
        inputs = survey(file, plugins, places, demo=demo, simulate=simulate, progress=progress)

    def is_cached(key: str) -> bool:
        return not fresh and places.store.find("predictions", key) is not None

    chosen = parse_only(only_values)
    plan = make_plan(file, inputs, protocols, is_cached, demo=demo, only=chosen)
    if chosen and not plan.cells and not plan.survey.encoders:
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
_encoders = click.option(
    "--encoders",
    default="",
    metavar="A,B,...",
    help="Run these encoders instead of the suite's; the title of the report says so.",
)


@click.command(cls=TakesPairs)
@_suite
@data_root
@weights_root
@only
@_encoders
@_demo
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--engine",
    default="local",
    show_default=True,
    help="local, loky, dask (the suite's cluster), dask:ADDRESS or dask:FILE.",
)
@click.option(
    "--jobs",
    default=None,
    type=int,
    help="Worker processes of the loky engine; default: one for each GPU, else one for each core.",
)
@click.option("--out", default=Path("reports"), type=click.Path(path_type=Path), help="Where runs go.")
@click.option(
    "--fresh",
    is_flag=True,
    help="Compute every embedding and cell and measure cost anew, whatever the store holds.",
)
@click.option("--skip-missing", is_flag=True, help="Run what can run although some inputs are missing.")
def run(
    suite: str,
    data_root: Path | None,
    weights_root: Path | None,
    only: tuple[str, ...],
    encoders: str,
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
    if workers.name != "dask":  # workers of a cluster have devices that this machine may not have
        device = choose_device(device)
    for number in (signal.SIGTERM, signal.SIGINT):  # a scheduler's preemption is an interruption, not a crash
        signal.signal(number, _stop)

    plan, plugins, places = prepare(
        suite, data_root, weights_root, only, demo, simulate=True, fresh=fresh, encoders=encoders
    )
    _print_missing(plan)
    if plan.blocked and not skip_missing:
        click.echo(f"\nNothing was computed. {_way_out(plan, suite)}", err=True)
        return EXIT_INPUTS_MISSING
    if demo and _nothing_stands_in(plan):
        click.echo(
            "Nothing is missing here: --demo only shortens the protocols, and every result will be stamped DEMO. "
            "Leave it out for results that count.",
            err=True,
        )
    command = shlex.join(["bench", *sys.argv[1:]])
    options = Options(out, device, command, workers, fresh)
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


def _nothing_stands_in(plan: Plan) -> bool:
    """Whether all data and weights are the real ones."""
    simulated = any(d.loaded is None or d.loaded.simulated for d in plan.survey.datasets.values())
    random = any(e.weights.status == "untrained" and e.info.weights is not None for e in plan.survey.encoders)
    return not simulated and not random


def _stop(number: int, frame: object) -> None:
    """The first signal lets the run end in order; a second one ends it at once."""
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, lambda *_: os._exit(EXIT_INTERRUPTED))
    raise KeyboardInterrupt


def _forget(plan: Plan, store: Any) -> None:
    """Remove the suite's results and embeddings, finished or begun, so that all of them are computed anew."""
    import shutil

    from ..claims import claim, holder, is_claimed
    from ..embedding import embedding_identity
    from ..passes import embed_request, image_set, needed_embeddings
    from ..run import suite_key
    from ..store import content_key

    if is_claimed(store, suite_key(plan)):
        raise BenchError(
            f"This suite is being run by {holder(store, suite_key(plan)) or 'another process'}, and --fresh would take "
            "its work away.",
            fix="wait until that run has ended, or leave out --fresh to share its work",
        )

    ready = [cell for cell in plan.cells if cell.id]
    old = [("predictions", cell.id) for cell in ready]
    for dataset, encoders in needed_embeddings(ready).items():
        images = image_set(plan.survey, dataset)
        requests = [embed_request(state) for state in encoders.values()]
        old += [("embeddings", content_key(embedding_identity(r, images))) for r in requests]
    for kind, key in old:
        with claim(store, key, wait=False) as ours:
            if not ours:  # another run computes it now, which is fresh enough, and would be stopped
                continue
            for folder in (store.folder(kind, key), store.folder("scratch", key)):
                shutil.rmtree(folder, ignore_errors=True)


@click.command(cls=TakesPairs)
@_suite
@data_root
@weights_root
@only
@_encoders
@_demo
@as_json
def plan(
    suite: str,
    data_root: Path | None,
    weights_root: Path | None,
    only: tuple[str, ...],
    encoders: str,
    demo: bool,
    as_json: bool,
) -> int:
    """Show every cell of a suite with its state and reason. Computes nothing.

    Exit code 3 when an input is missing, else 0.
    """
    made, plugins, places = prepare(suite, data_root, weights_root, only, demo, encoders=encoders)
    if as_json:
        _print_json(made)
    else:
        _print_cells(made)
        _print_outlook(made, plugins, places)
        _print_missing(made)
        if made.blocked:
            click.echo(f"\n{_way_out(made, suite)}", err=True)
    return EXIT_INPUTS_MISSING if made.blocked else EXIT_OK


@click.command()
@_suite
@data_root
@weights_root
@_encoders
@_demo
@click.option("--out", default=Path("reports"), type=click.Path(path_type=Path), help="Where runs go.")
def status(
    suite: str, data_root: Path | None, weights_root: Path | None, encoders: str, demo: bool, out: Path
) -> int:
    """Show how many cells of a suite are done; works while it runs in another shell."""
    made, _, places = prepare(suite, data_root, weights_root, (), demo, encoders=encoders)
    done, total = made.count("cached"), len(made.cells)
    click.echo(f"{made.suite.name}: {done} of {total} cells done, {made.count('missing')} wait for inputs.")
    from ..live import live_runs

    for line in live_runs(out / made.suite.name, places.store, total - done):
        click.echo(line)
    return EXIT_INPUTS_MISSING if made.blocked else EXIT_OK


def _print_cells(plan: Plan) -> None:
    from collections import Counter

    counts = Counter(c.status for c in plan.cells)
    click.echo(
        f"{plan.suite.name}: {len(plan.cells)} cells: {counts['run']} to run, {counts['cached']} cached, "
        f"{counts['missing']} with missing inputs."
    )
    for cell in plan.cells:
        click.echo(f"  {cell.id[:8] or '-' * 8}  {cell.status:<8} {cell.name}\n{' ' * 21}{cell.reason}")


def _way_out(plan: Plan, suite: str) -> str:
    """What to do next where inputs are missing."""
    if plan.demo:
        return (
            "--demo stands in for what is missing, not for what is broken: mend what is named above, or leave out "
            "--data-root and --weights-root to see everything simulated."
        )
    lacking = {name.rpartition("/")[0] or name for kind, name, _ in plan.missing if kind != "weights"}
    if any(plan.survey.datasets[name].info.simulate is None for name in lacking):
        return "Mend what is named above: own images cannot be simulated."
    return (
        "Get what is missing, or see the whole suite run on simulated images and random weights with:\n"
        f"  bench run {shlex.quote(suite)} --demo"
    )


def _print_outlook(plan: Plan, plugins: Any, places: Any) -> None:
    """Pairs of a transfer, and the expected cost of the whole suite."""
    from ..pairs import transfer_pairs
    from .outline import plan_lines

    if pairs := transfer_pairs(plan):
        click.echo("\nTrained on -> judged on:\n  " + "\n  ".join(pairs))
    if plan.suite.suite.tasks and (lines := plan_lines(plan, plugins, places.store)):
        click.echo("\nExpected on one GPU for the whole suite:\n  " + "\n  ".join(lines))


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
