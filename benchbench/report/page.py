"""report.html: one self-contained page, everything from plugins and files escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import Any

from ..analysis import Analysis, Panel
from ..analysis.model import TransferMatrix
from ..contamination import grid
from ..cost import CostTable
from ..results import STAMPS, RunInfo
from . import cost_only, text
from .faults import Faults, reason
from .figures.base import Drawing
from .methods import Methods
from .tables import (
    SHOWN,
    HeadlineTable,
    best_views,
    comparison_matrix,
    failure_groups,
    headline_tables,
    listed_comparisons,
    listed_secondary,
)


@dataclass(frozen=True)
class PluginSection:
    """A section that a plugin added: plain lines, or why it failed."""

    title: str
    lines: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True)
class Content:
    """All that the page is made from."""

    analysis: Analysis
    info: RunInfo
    figures: Mapping[str, Drawing]
    methods: Methods
    sections: Sequence[PluginSection] = ()
    cost: CostTable | None = None
    files: Sequence[str] = ()
    """Tables and figures beside the page."""
    sources: Sequence[str] = ()
    """Files that all of it was made from."""
    faults: Faults = field(default_factory=dict)
    """Sections and figures that could not be made; faults in the templates are added while the page is rendered."""


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("benchbench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=text.number,
        interval=text.interval,
        percent=text.percent,
        count=text.count,
        seconds=text.seconds,
        p=lambda value: text.p_text(value).replace(" ", "\u00a0"),
        words=text.words,
        heading=text.heading,
        metric=text.metric_name,
        shortened=text.shortened,
        first_of=lambda values, n: values[:n],
        as_json=lambda value: json.dumps(value, indent=1, ensure_ascii=False, default=str),
    )
    environment.globals.update(
        ranks_text=lambda e: text.ranks(e.ranks),
        tested_by=text.tested_by,
        margin_text=text.margin_text,
        interval_text=lambda e: text.interval(e.ci_low, e.ci_high),
        interval_pair=lambda low, high: "" if low != low else text.interval(low, high),
        matrix=comparison_matrix,
        best_views=best_views,
        shown=SHOWN,
        outcome=text.outcome_text,
        meaning=STAMPS,
        heat=heat,
        rank_colour=rank_colour,
    )
    return environment


def heat(share: float | None) -> str:
    """A background of the accent colour, as strong as `share` in 0..1; safe in a style attribute."""
    if share is None or share != share:
        return ""
    return f"--heat:{100 * min(max(share, 0.0), 1.0):.0f}%"


def rank_colour(position: int) -> str:
    """The CSS variable of an encoder's line colour."""
    from .figures.base import SERIES

    return f"var(--series-{position % len(SERIES) + 1})"


def render(content: Content) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    folder = files("benchbench.report") / "templates"
    analysis = content.analysis
    script = (folder / "script.js").read_text(encoding="utf-8")
    return str(
        _environment()
        .get_template("report.html")
        .render(
            a=analysis,
            info=content.info,
            headlines=headline_tables(analysis),
            figures=content.figures,
            drawn=_drawn(content),
            faults=content.faults,
            guarded=lambda anchor, title, caller: _guarded(content.faults, anchor, title, caller),
            plots=Markup(text.script_json({n: _plots(d) for n, d in content.figures.items() if d.plots})),
            css=Markup((folder / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=_hash(script),
            shared_stamps=[s for s in analysis.stamps if all(s in p.shared_stamps for p in analysis.panels)],
            always_stamped=lambda encoder: _always(analysis, encoder),
            row_stamps=_row_stamps,
            cell_stamps=_cell_stamps,
            findings=[f for f in analysis.lints if (f.code, f.severity) != ("contamination", "note")],
            pretraining=grid(content.info.audit),
            failed=failure_groups(analysis),
            any_stamps=lambda encoder: _anywhere(analysis, encoder),
            transfer_groups=_transfer_groups(analysis),
            heat_span=_span,
            fractions=sorted({p.fraction for c in analysis.efficiency for p in c.points}),
            cost_groups=_cost_groups(),
            methods=content.methods,
            sections=content.sections,
            cost=content.cost,
            files=content.files,
            sources=content.sources,
            without_tasks=(bare := cost_only.without_tasks(content.info)),
            verdict=cost_only.verdict(content.cost, content.info) if bare else analysis.verdict,
            plugins=list(dict.fromkeys(map(tuple, content.info.plugins))),
            position={e: i for i, e in enumerate(analysis.encoders)},
            groups=(groups := _panel_groups(analysis)),
            listed=partial(listed_comparisons, panels=(panels := sum(len(m) for _, m in groups))),
            listed_secondary=partial(listed_secondary, panels=panels),
        )
    )


def _guarded(faults: Faults, anchor: str, title: str, caller: Callable[[], str]) -> str:
    """A section as its template makes it, or, where it or its analysis failed, a section that says why."""
    from markupsafe import Markup

    if anchor not in faults:
        try:
            return caller()
        except Exception as error:  # the other sections are still worth reading
            faults[anchor] = reason(error)
    failed = _environment().get_template("failed.html")
    return Markup(failed.render(anchor=anchor, title=title, why=faults[anchor]))


def _drawn(content: Content) -> dict[str, str]:
    """Every drawing for the page, or why it could not be drawn."""
    from markupsafe import Markup

    drawn: dict[str, str] = {n: Markup(d.inline) for n, d in content.figures.items()}
    prefix = "figures/"
    return drawn | {n.removeprefix(prefix): why for n, why in content.faults.items() if n.startswith(prefix)}


def _hash(script: str) -> str:
    """Only this script may run: anything injected is refused by the browser as well."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()


def _always(analysis: Analysis, encoder: str) -> list[str]:
    """Stamps that an encoder carries on every panel, beyond those that all encoders share."""
    own = [p.own_stamps(encoder) for p in analysis.panels if p.estimate(encoder)]
    return [s for s in (own[0] if own else ()) if all(s in stamps for stamps in own)]


def _anywhere(analysis: Analysis, encoder: str) -> list[str]:
    """Every stamp that any number of an encoder carries; for tables that span panels."""
    found = (s for p in analysis.panels if (e := p.estimate(encoder)) is not None for s in e.stamps)
    return list(dict.fromkeys(found))


def _transfer_groups(analysis: Analysis) -> list[tuple[str, str, list[TransferMatrix]]]:
    """Matrices by (protocol, metric): values of different metrics share no heading and no scale."""
    groups: dict[tuple[str, str], list[TransferMatrix]] = {}
    for matrix in analysis.transfer:
        groups.setdefault((matrix.protocol, matrix.metric), []).append(matrix)
    return [(protocol, metric, members) for (protocol, metric), members in groups.items()]


def _span(matrices: Sequence[TransferMatrix]) -> tuple[float, float]:
    """Lowest and highest value, so that all heat maps of a heading share one scale."""
    import numpy as np

    values = np.concatenate([m.values.ravel() for m in matrices])
    if np.isnan(values).all():
        return 0.0, 0.0
    return float(np.nanmin(values)), float(np.nanmax(values))


def _cost_groups() -> dict[str, str]:
    from ..cost.table import GROUP_TITLES

    return GROUP_TITLES


def _row_stamps(table: HeadlineTable, encoder: str) -> list[str]:
    """Stamps that all numbers of an encoder in this table carry, beyond those that all encoders share."""
    own = [p.own_stamps(encoder) for p in table.panels if p.estimate(encoder)]
    return [s for s in (own[0] if own else ()) if all(s in stamps for stamps in own)]


def _cell_stamps(table: HeadlineTable, panel: Panel, encoder: str) -> list[str]:
    """Stamps of one number that its line does not carry already."""
    own = panel.own_stamps(encoder)
    return [s for s in own if s not in _row_stamps(table, encoder)] if own else []


def _plots(drawing: Drawing) -> list[dict[str, Any]]:
    """What the tooltips read. Flat on purpose: `dataclasses.asdict` copies every number."""
    return [{**vars(p), "series": [vars(s) for s in p.series]} for p in drawing.plots]


def _panel_groups(analysis: Analysis) -> list[tuple[str, list[Panel]]]:
    """Panels of the primary family by target task, for one section each."""
    groups: dict[str, list[Panel]] = {}
    for panel in analysis.panels:
        if panel.family == "primary":
            groups.setdefault(panel.task, []).append(panel)
    return [(members[0].title, members) for members in groups.values()]
