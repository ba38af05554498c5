"""The report of a run: one HTML page, and every table and figure as a file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PLUGIN_FAULTS

if TYPE_CHECKING:
    from ..analysis import Analysis
    from ..api import ReportSection
    from ..cost import CostRow, CostTable
    from ..results import RunInfo
    from .page import PluginSection

__all__ = ["write_report"]

SOURCES = ("rows.csv", "predictions.parquet", "cost.csv", "run.json")
"""What a report is made from."""


def write_report(run_folder: Path, sections: Iterable[ReportSection] = ()) -> Path:
    """Write report.html, CSV and LaTeX tables, BibTeX and figures into a run's folder, from its files alone.

    Args:
        run_folder: Folder with rows.csv, predictions.parquet and run.json, and cost.csv where cost was measured.
        sections: Sections of plugins, added at the end.

    Returns:
        The path of report.html. A section that could not be made is named on the page with the reason.

    Raises:
        BenchError: The folder is not that of a run, or its files cannot be read.
    """
    from ..analysis import analyse
    from ..cost import read_cost
    from ..results import read_run
    from ..store import atomic_write
    from .faults import Faults, attempt
    from .figures import draw_all
    from .files import write_files
    from .methods import Methods, methods
    from .page import Content, render

    run = read_run(run_folder)
    analysis = analyse(run)
    cost = read_cost(run.folder / "cost.csv") if (run.folder / "cost.csv").is_file() else ()
    faults: Faults = {}
    figures = draw_all(analysis, cost, faults)
    nothing: tuple[str, ...] = ()
    table = attempt("cost", faults, lambda: _cost_table(cost, run.info, analysis), None)
    written = attempt("files", faults, lambda: write_files(run, analysis, figures), nothing)
    content = Content(
        analysis=analysis,
        info=run.info,
        figures=figures,
        methods=attempt("methods", faults, lambda: methods(run.info, analysis, table), Methods((), ())),
        sections=_rendered(sections, analysis),
        cost=table,
        files=written,
        sources=tuple(name for name in SOURCES if (run.folder / name).is_file()),
        faults=faults,
    )
    page = run.folder / "report.html"
    atomic_write(page, render(content).encode("utf-8"))
    return page


def _cost_table(rows: Sequence[CostRow], info: RunInfo, analysis: Analysis) -> CostTable | None:
    """The cost table of the run's encoders, or None where nothing was measured."""
    if not rows:
        return None
    from ..cost import CostConfig, cost_table
    from ..cost.config import constants

    declared = info.suite_resolved.get("cost", {})
    # How it was measured does not matter any more, and an older version may have taken what this one refuses.
    told = CostConfig.model_fields.keys() - {"measure", "batches", "photograph"}
    config = CostConfig(**{k: v for k, v in declared.items() if k in told})
    wins = {w.encoder: f"{w.holm} won, {w.holm_losses} lost" for w in analysis.wins.counts if w.panels}
    return cost_table(rows, info.encoders, subject=config.subject, constants=constants(config), wins=wins)


def _rendered(sections: Iterable[ReportSection], analysis: Analysis) -> Sequence[PluginSection]:
    from .page import PluginSection

    found = []
    for section in sections:
        try:
            rendered = section.render(analysis)
            lines = (rendered,) if isinstance(rendered, str) else tuple(str(line) for line in rendered)
        except PLUGIN_FAULTS as error:  # a plugin's fault must not cost the report
            found.append(PluginSection(section.title, (), f"{type(error).__name__}: {error}"))
        else:
            found.append(PluginSection(section.title, lines))
    return tuple(found)
