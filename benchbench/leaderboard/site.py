"""The site: self-contained pages, JSON and CSV, as a mapping from file names to bytes.

Everything that came from a submission is escaped by the templates; no link, script or style is ever made from it, and
each page forbids the browser to load or run anything but its own two inline blocks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BenchError
from ..results import STAMPS
from ..spreadsheet import records_text
from ..store import atomic_write
from .release import Release
from .rescore import TIERS, Board, BoardPanel, Entry
from .tables import (
    ComparisonLine,
    ResultLine,
    as_json,
    board_record,
    comparison_lines,
    family_size,
    marks_of,
    ordered_entries,
    result_lines,
    unique_names,
)

if TYPE_CHECKING:
    from ..analysis.model import Comparison

MARKER = "leaderboard.json"
"""A folder that holds this file was made by `write_site`, and may be replaced by it."""
MATRIX_LIMIT = 10


@dataclass(frozen=True)
class View:
    """What the pages of one board share."""

    entries: tuple[Entry, ...]
    names: Mapping[str, str]
    repeated: frozenset[str]

    def heading(self, panel: BoardPanel) -> str:
        """Column heading of a panel: the task's title, with whatever tells it from other panels."""
        p = panel.panel
        parts = [panel.task.title]
        if p.source_task != p.task:
            parts.append(f"from {p.source_task}")
        if panel.task.name in self.repeated:
            parts.append(p.protocol.replace("_", " "))
        parts += [f"{k.replace('_', ' ')} {v}" for k, v in sorted(p.axes.items())]
        return ", ".join(parts)


@dataclass(frozen=True)
class Plot:
    """Scale of the interval plot of a task page, 240 units wide."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Position of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(6 + 228 * min(max(share, 0.0), 1.0), 1)


@dataclass(frozen=True)
class Matrix:
    """Differences between the best entries: row minus column."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Comparison | None, ...]], ...]
    hidden: int


def build_site(boards: Sequence[Board], releases: Sequence[Release], title: str) -> dict[str, bytes]:
    """Every file of the site, by path."""
    shared = {"site_title": title, "releases": releases}
    views = {board.spec.name: _view(board) for board in boards}
    newest = _newest(boards)
    site = {
        "index.html": _page("index.html", "", shared, boards=newest, views=views),
        MARKER: as_json(
            {"title": title, "specs": [b.spec.name for b in boards], "releases": [r.name for r in releases]}
        ),
    }
    for board in boards:
        site |= _board_files(board, views[board.spec.name], shared)
    for release in releases:
        site[f"releases/{release.name}.html"] = _page("release.html", "../", shared, release=release)
        site[f"releases/{release.name}.json"] = as_json(release.model_dump(mode="json"))
    return site


def _newest(boards: Sequence[Board]) -> list[Board]:
    """The newest version of every suite first, then the older ones that have submissions."""
    ordered = sorted(boards, key=lambda b: [-int(n) for n in b.spec.version.split(".")])
    suites: set[str] = set()
    newest: list[Board] = []
    older: list[Board] = []
    for board in ordered:
        (older if board.spec.suite in suites else newest).append(board)
        suites.add(board.spec.suite)
    return sorted(newest, key=lambda b: b.spec.suite) + [b for b in older if b.entries]


def _view(board: Board) -> View:
    tasks = [p.task.name for p in board.panels if not p.panel.axes and p.panel.source_task == p.task.name]
    repeated = frozenset(t for t in tasks if tasks.count(t) > 1)
    return View(ordered_entries(board), unique_names(board.entries), repeated)


def _board_files(board: Board, view: View, shared: Mapping[str, Any]) -> dict[str, bytes]:
    base = board.spec.name
    here = {**shared, "board": board, "view": view, "names": view.names}
    site = {
        f"{base}/results.json": as_json(board_record(board)),
        f"{base}/results.csv": records_text(ResultLine, result_lines(board)).encode(),
        f"{base}/comparisons.csv": records_text(ComparisonLine, comparison_lines(board)).encode(),
        f"{base}/history.html": _page(
            "history.html", "../", here, releases=_holding(shared["releases"], base), entries=_by_date(board)
        ),
    }
    for panel in board.panels:
        dataset = board.spec.dataset(panel.panel.dataset)
        site[f"{base}/tasks/{panel.panel.id}.html"] = _page(
            "task.html",
            "../../",
            here,
            panel=panel,
            dataset=dataset,
            plot=_plot(panel),
            matrix=_matrix(panel),
        )
    for entry in board.entries:
        site[f"{base}/encoders/{_file_name(entry.id)}.html"] = _page(
            "encoder.html",
            "../../",
            here,
            entry=entry,
            name=view.names[entry.id],
            past=board.past.get(entry.id),
            history=_holding(shared["releases"], base, entry.id),
        )
    return site


def _holding(releases: Sequence[Release], spec: str, entry: str = "") -> list[Release]:
    """Releases that hold a spec, or an entry of it."""
    return [
        r
        for r in releases
        for b in r.boards
        if b.spec == spec and (not entry or any(s["entry"] == entry for s in b.submissions))
    ]


def _by_date(board: Board) -> list[Entry]:
    return sorted(board.entries, key=lambda e: (e.bundle.submission.submitted, e.id), reverse=True)


def _file_name(text: str) -> str:
    return text.replace("/", "__")


def _plot(panel: BoardPanel) -> Plot:
    values = [v for e in panel.estimates for v in (e.value, e.ci_low, e.ci_high) if v is not None]
    if not values:
        return Plot(0.0, 1.0)
    low, high = min(values), max(values)
    return Plot(int(low * 20 - (low < 0)) / 20, min(1.0, int(high * 20 + 1) / 20) if high < 1 else 1.0)


def _matrix(panel: BoardPanel) -> Matrix:
    from ..analysis.model import turned

    pairs: dict[tuple[str, str], Comparison] = {}
    for c in panel.comparisons:
        pairs[c.first, c.second] = c
        pairs[c.second, c.first] = turned(c)
    names = [e.encoder for e in panel.estimates if any(e.encoder in pair for pair in pairs)]
    shown = names[:MATRIX_LIMIT]
    rows = tuple((a, tuple(pairs.get((a, b)) for b in shown)) for a in shown)
    return Matrix(tuple(shown), rows, len(names) - len(shown))


# ------------------------------------------------------------------------------------------- pages


def _page(template: str, up: str, shared: Mapping[str, Any], **values: Any) -> bytes:
    rendered: str = _environment().get_template(template).render({**shared, **values, "up": up})
    lines = (line.rstrip() for line in rendered.split("\n"))
    return ("\n".join(line for line in lines if line) + "\n").encode()


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from ..report.text import count, interval, metric_name, number, words

    environment = Environment(
        loader=PackageLoader("benchbench.leaderboard", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        count=count,
        words=words,
        metric=metric_name,
        p=_p_value,
        page=_file_name,
        json=_compact,
    )
    css, script = (_asset(name) for name in ("style.css", "sort.js"))
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src '{_csp_hash(script)}'"
    environment.globals.update(
        css=Markup(css),
        script=Markup(script),
        policy=policy,
        interval=interval,
        marks_of=marks_of,
        family=family_size,
        meaning=STAMPS,
        tiers=TIERS,
    )
    return environment


def _asset(name: str) -> str:
    text = (files("benchbench.leaderboard") / "templates" / name).read_text(encoding="utf-8")
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip())


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _p_value(value: float) -> str:
    from ..report.text import p_text

    text = p_text(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False)


# ------------------------------------------------------------------------------------------- files


def write_site(site: Mapping[str, bytes], out: Path) -> None:
    """Write the site, replacing an earlier one.

    Raises:
        BenchError: the folder holds something else.
    """
    if out.exists() and not (out / MARKER).is_file() and any(out.iterdir()):
        raise BenchError(
            "The folder for the site holds other files.",
            where=str(out),
            fix="give a new or empty folder with --out",
        )
    if out.exists():
        shutil.rmtree(out)
    for name, data in site.items():
        atomic_write(out / name, data)


def differences(site: Mapping[str, bytes], out: Path) -> tuple[str, ...]:
    """Files of a folder that are not what the site would be: changed, missing or surplus."""
    present = (
        {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} if out.is_dir() else set()
    )
    faults = [f"{name} is missing" for name in sorted(set(site) - present)]
    faults += [f"{name} does not belong there" for name in sorted(present - set(site))]
    faults += [
        f"{name} differs" for name in sorted(present & set(site)) if (out / name).read_bytes() != site[name]
    ]
    return tuple(faults)
