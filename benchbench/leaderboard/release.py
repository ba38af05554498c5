"""Releases: tables that never change again, so that a citation stays valid.

A release remembers, for every spec, the results and the digest of every submission that was current. `check_releases`
shows that nothing of it has moved since.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..errors import BenchError
from ..store import atomic_write
from .rescore import Board
from .spec import Date, Sha256, Strict
from .tables import as_json, comparison_lines, family_size, result_lines, submission_record

RELEASE_SCHEMA = 1
NAME = r"^[0-9]{4}\.[0-9]{1,2}(\.[0-9]+)?$"
TOLERANCE = 2e-6
"""Two roundings to six decimals."""


class FrozenBoard(Strict):
    """One spec's tables as they were."""

    spec: str
    spec_sha256: Sha256
    title: str
    demonstration: bool
    comparisons_in_family: int
    submissions: tuple[dict[str, Any], ...]
    results: tuple[dict[str, Any], ...]
    comparisons: tuple[dict[str, Any], ...]


class Release(Strict):
    """releases/<name>.json."""

    schema_version: int = RELEASE_SCHEMA
    name: Annotated[str, Field(pattern=NAME)]
    date: Date
    benchbench: str
    boards: tuple[FrozenBoard, ...]


def freeze_release(boards: Sequence[Board], name: str, date: str, version: str) -> Release:
    """The current tables of every spec that has a submission."""
    if not re.fullmatch(NAME, name):
        raise BenchError(
            f"{name!r} is not the name of a release.", fix="write year and number, for instance 2026.1"
        )

    frozen = tuple(
        FrozenBoard(
            spec=board.spec.name,
            spec_sha256=board.spec.sha256,
            title=board.spec.title,
            demonstration=board.spec.demonstration,
            comparisons_in_family=family_size(board),
            submissions=tuple(submission_record(e) for e in board.current),
            results=tuple(dict(vars(line)) for line in result_lines(board)),
            comparisons=tuple(dict(vars(line)) for line in comparison_lines(board)),
        )
        for board in boards
        if board.current
    )
    if not frozen:
        raise BenchError("There is nothing to release: the leaderboard has no submission.")
    try:
        return Release(name=name, date=date, benchbench=version, boards=frozen)
    except ValidationError as error:
        raise BenchError(
            f"{date!r} is not a date.", fix="write it as YYYY-MM-DD, for instance 2026-01-15"
        ) from error


def write_release(release: Release, root: Path) -> Path:
    """Write a release; one that exists is never written again."""
    path = root / "releases" / f"{release.name}.json"
    if path.exists():
        raise BenchError(
            f"The release {release.name} exists; a release never changes.",
            where=str(path),
            fix="choose the next name",
        )
    atomic_write(path, as_json(release.model_dump(mode="json")))
    return path


def read_releases(root: Path) -> tuple[Release, ...]:
    """Releases of a leaderboard, newest first."""
    found = []
    for path in sorted((root / "releases").glob("*.json")):
        try:
            release = Release.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise BenchError(f"The release cannot be read: {error}", where=str(path)) from error
        if path.stem != release.name:
            raise BenchError(f"The release {release.name} must be in a file of that name.", where=str(path))
        found.append(release)
    return tuple(sorted(found, key=lambda r: [int(n) for n in r.name.split(".")], reverse=True))


def check_releases(releases: Sequence[Release], boards: Sequence[Board]) -> tuple[str, ...]:
    """What has moved since a release: changed or removed specs and submissions, and scores that differ."""
    by_name = {board.spec.name: board for board in boards}
    faults: list[str] = []
    for release in releases:
        for frozen in release.boards:
            board = by_name.get(frozen.spec)
            where = f"release {release.name}, {frozen.spec}"
            if board is None:
                faults.append(f"{where}: the spec is gone")
            elif board.spec.sha256 != frozen.spec_sha256:
                faults.append(f"{where}: the spec was changed after the release")
            else:
                faults += [f"{where}: {fault}" for fault in _moved(frozen, board)]
    return tuple(faults)


def _moved(frozen: FrozenBoard, board: Board) -> list[str]:
    entries = {e.id: e for e in board.entries}
    faults = []
    for record in frozen.submissions:
        entry = entries.get(record["entry"])
        if entry is None:
            faults.append(f"{record['entry']} was removed; an entry is superseded, never removed")
        elif entry.bundle.digest != record["digest"]:
            faults.append(f"{record['entry']} was changed after the release")
    panels = {p.panel.id: p for p in board.panels}
    for line in frozen.results:
        if line["entry"] not in entries or line["value"] is None:
            continue
        panel = panels[line["panel"]]
        estimate = panel.estimate(line["entry"]) or board.past.get(line["entry"], {}).get(line["panel"])
        now = estimate.value if estimate else None
        if panel.rescored and (now is None or abs(now - line["value"]) > TOLERANCE):
            faults.append(f"{line['entry']} on {line['panel']} was {line['value']} and is now {now}")
    return faults
