"""bench submit, bench validate and bench leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_CELLS_FAILED, EXIT_OK, BenchError

if TYPE_CHECKING:
    from ..leaderboard.bundle import Bundle
    from ..leaderboard.spec import Spec
    from ..results import Run

_path = click.Path(path_type=Path)
_labels = click.option(
    "--labels",
    "label_folders",
    multiple=True,
    type=_path,
    help="Folder with further labels files; repeatable.",
)
_board = click.option(
    "--leaderboard",
    "root",
    default=None,
    type=_path,
    help="The leaderboard's folder, the one that holds spec/.",
)


@click.command()
@click.argument("run", type=_path)
@click.option(
    "--to", "root", required=True, type=_path, help="The leaderboard's folder, the one that holds spec/."
)
@click.option("--submitter", required=True, help="Who answers for the submission: a group or a person.")
@click.option("--encoder", "encoders", multiple=True, help="Only this encoder of the run; repeatable.")
@click.option(
    "--spec", "wanted", default=None, help="Spec to answer, suite@version; default: the newest of the suite."
)
@click.option("--contact", default="", help="Public address for questions.")
@click.option("--supersedes", default="", help="Identifier of your earlier entry that this one replaces.")
@click.option("--notes", default="", help="What readers should know.")
@click.option(
    "--date", default=None, help="Date of the submission, YYYY-MM-DD; default: when the run finished."
)
def submit(
    run: Path,
    root: Path,
    submitter: str,
    encoders: tuple[str, ...],
    wanted: str | None,
    contact: str,
    supersedes: str,
    notes: str,
    date: str | None,
) -> int:
    """Pack the encoders of RUN as submissions, one folder each, and check them. Uses no network."""
    from pydantic import ValidationError

    from ..leaderboard.bundle import (
        Declaration,
        bundle_files,
        bundle_of,
        bundle_place,
        encoder_record,
        write_bundle,
    )
    from ..leaderboard.spec import choose_spec, read_specs
    from ..leaderboard.validate import check_place, validate_files
    from ..results import read_run

    done = read_run(run)
    specs = read_specs(root)
    spec = choose_spec(specs, done.info.suite, wanted)
    for encoder in encoders or tuple(e.name for e in done.info.encoders):
        encoder_record(done, encoder)
        when = date or done.info.finished[:10]
        declaration = Declaration(submitter, when, _plugin(done, encoder), contact, supersedes, notes)
        try:
            bundle = bundle_of(done, encoder, spec, declaration)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:10]]
            raise BenchError(
                "This cannot be submitted.", details=faults, fix="mend these options or card"
            ) from error
        # checked before anything is written: what is refused must not lie among the submissions
        checked = validate_files(bundle_files(bundle, spec), specs, f"{encoder} of {run}")
        check_place(bundle_place(bundle, root), checked)
        folder = write_bundle(bundle, spec, root)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        click.echo(f"{folder}  ({size / 1024:.0f} KiB)")
    click.echo(
        "Look at submission.json, then open a pull request that adds these folders: docs/how-to/publish.md"
    )
    return EXIT_OK


def _plugin(run: Run, encoder: str) -> tuple[str, str]:
    """Distribution and version that brought an encoder."""
    from ..plugins import registry

    plugins = registry()
    base = encoder.partition(" ")[0].partition(":")[0]
    cards = [plugins.encoders.get(base), *(f for f in plugins.families if base.startswith(f.prefix))]
    origin = next((card.origin for card in cards if card is not None), None)
    if origin is None:
        raise BenchError(
            f"No installed plugin brings the encoder {encoder!r}.",
            where=str(run.folder),
            fix="install the plugin that the run was made with, and submit again",
        )
    used = dict(run.info.plugins)
    return origin.distribution, used.get(origin.distribution, origin.version)


@click.command()
@click.argument("submissions", type=_path, nargs=-1, required=True, metavar="SUBMISSION...")
@_board
@_labels
def validate(submissions: tuple[Path, ...], root: Path | None, label_folders: tuple[Path, ...]) -> int:
    """Check each SUBMISSION, a folder or a zip archive, and show its re-scored values.

    Nothing of a submission is executed or unpacked.
    """
    from ..leaderboard.guard import Refused

    refused = []
    for submission in submissions:
        if len(submissions) > 1:
            click.echo(f"{submission}")
        try:
            _validate(submission, root, label_folders)
        except Refused as error:
            if len(submissions) == 1:
                raise
            click.echo(error.block())
            refused.append(str(submission))
    if refused:
        raise BenchError(
            f"{len(refused)} of {len(submissions)} submissions are refused; their faults are listed above.",
            details=refused,
            fix="mend these and run bench validate again",
        )
    return EXIT_OK


def _validate(submission: Path, root: Path | None, label_folders: tuple[Path, ...]) -> None:
    from ..leaderboard.spec import read_specs
    from ..leaderboard.validate import check_place, find_leaderboard
    from ..leaderboard.validate import validate as check

    root = root or find_leaderboard(submission)
    specs = read_specs(root)
    bundle = check(submission, specs)
    if (root / "submissions").absolute() in submission.absolute().parents:
        check_place(submission, bundle)
    spec = specs[bundle.submission.spec]
    click.echo(f"Accepted: {bundle.submission.encoder.title!r} for {spec.name}.")
    _echo_values(spec, bundle, (root / "spec", *label_folders))


def _echo_values(spec: Spec, bundle: Bundle, folders: tuple[Path, ...]) -> None:
    from ..leaderboard.rescore import values_of
    from ..leaderboard.spec import read_labels

    values = values_of(spec, bundle, read_labels(spec, folders))
    for panel in spec.panels:
        value = values.get(panel.id)
        if value is None:
            click.echo(f"  {panel.id}: not re-scored here")
            continue
        claims = [
            r.claimed for r in bundle.submission.results if r.panel == panel.id and r.claimed is not None
        ]
        claimed = sum(claims) / len(claims) if claims else None
        differs = (
            "" if claimed is None or abs(claimed - value) < 1e-3 else f"  (its author claims {claimed:.4f})"
        )
        click.echo(f"  {panel.id}: {spec.task(panel.task).metric} {value:.4f}{differs}")


@click.group()
def leaderboard() -> None:
    """Freeze specs, build the site from submissions, and freeze releases."""


@leaderboard.command()
@click.argument("root", type=_path, default=Path("leaderboard"))
@click.option("--out", default=None, type=_path, help="Folder of the site; default: ROOT/site.")
@click.option("--title", default="benchbench leaderboard", show_default=True, help="Title of the site.")
@click.option(
    "--check", is_flag=True, help="Write nothing; fail when the site or a release is not up to date."
)
@_labels
def build(root: Path, out: Path | None, title: str, check: bool, label_folders: tuple[Path, ...]) -> int:
    """Re-score every submission in ROOT and render the site. Exit code 1 when --check finds a difference."""
    from ..leaderboard.release import check_releases, read_releases
    from ..leaderboard.rescore import read_boards
    from ..leaderboard.site import build_site, differences, write_site

    boards, releases = read_boards(root, label_folders), read_releases(root)
    moved = check_releases(releases, boards)
    if moved:
        raise BenchError(
            "Something that was released has moved.",
            details=moved,
            fix="restore it; a change needs a new version of the spec or a new entry that supersedes the old one",
        )
    out = out or root / "site"
    site = build_site(boards, releases, title)
    if check:
        faults = differences(site, out)
        for fault in faults:
            click.echo(f"  {fault}", err=True)
        click.echo(f"{out}: {f'{len(faults)} files are not up to date' if faults else 'up to date'}.")
        return EXIT_CELLS_FAILED if faults else EXIT_OK
    write_site(site, out)
    entries = sum(len(b.current) for b in boards)
    click.echo(f"{entries} entries, {len(site)} files. Open {out / 'index.html'}")
    return EXIT_OK


@leaderboard.command()
@click.argument("run", type=_path)
@click.option("--to", "root", required=True, type=_path, help="The leaderboard's folder.")
@click.option("--version", default="1", show_default=True, help="Version of the spec.")
@click.option(
    "--private-labels", default=None, type=_path, help="Folder for labels that may not be published."
)
def spec(run: Path, root: Path, version: str, private_labels: Path | None) -> int:
    """Freeze the question that RUN answers: its tasks, protocols, test images and labels."""
    from ..leaderboard.freeze import freeze, write_spec
    from ..results import read_run

    frozen = freeze(read_run(run), version)
    path, withheld = write_spec(frozen, root, private_labels)
    kind = " (a demonstration: its images are simulated)" if frozen.spec.demonstration else ""
    click.echo(f"{path}{kind}")
    for name in withheld:
        where = f"in {private_labels}" if private_labels else "nowhere; keep them with --private-labels DIR"
        click.echo(f"  labels of {name} may not be published; they are {where}")
    return EXIT_OK


@leaderboard.command()
@click.argument("name")
@click.option(
    "--root", default=Path("leaderboard"), show_default=True, type=_path, help="The leaderboard's folder."
)
@click.option("--date", default=None, help="Date of the release, YYYY-MM-DD; default: today.")
@_labels
def release(name: str, root: Path, date: str | None, label_folders: tuple[Path, ...]) -> int:
    """Freeze today's tables as release NAME (for instance 2026.1), for citations."""
    from datetime import UTC, datetime

    from .. import __version__
    from ..leaderboard.release import freeze_release, write_release
    from ..leaderboard.rescore import read_boards

    when = date or datetime.now(UTC).strftime("%Y-%m-%d")
    frozen = freeze_release(read_boards(root, label_folders), name, when, __version__)
    click.echo(str(write_release(frozen, root)))
    return EXIT_OK
