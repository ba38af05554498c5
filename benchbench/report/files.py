"""The files beside the page: CSV of every table, LaTeX tables, BibTeX, figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..analysis import Analysis
from ..results import Run, RunInfo
from ..store import atomic_write
from .csv_tables import csv_tables
from .figures.base import Drawing
from .latex_tables import latex_tables


def write_files(run: Run, analysis: Analysis, figures: Mapping[str, Drawing]) -> tuple[str, ...]:
    """Write all files into the run's folder; returns their names, relative to it."""
    folder = run.folder
    contents = {
        **csv_tables(analysis),
        **latex_tables(analysis),
        "references.bib": bibtex(run.info),
        **{f"figures/{name}.svg": drawing.svg for name, drawing in figures.items()},
    }
    for stale in _stale(folder, contents):
        stale.unlink()
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for name, content in contents.items():
        atomic_write(folder / name, content.encode("utf-8"))
    return tuple(contents)


def _stale(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Files of an earlier rendering that this one no longer makes."""
    found = [*folder.glob("figures/*.svg"), *folder.glob("tables/*.csv"), *folder.glob("tables/*.tex")]
    return [p for p in found if p.relative_to(folder).as_posix() not in contents]


def bibtex(info: RunInfo) -> str:
    """Entries of every encoder and data set used, each once."""
    found = [e.citation.strip() for e in info.encoders] + [d.citation.strip() for d in info.datasets]
    entries = [text for text in found if text]
    return "\n\n".join(dict.fromkeys(entries)) + "\n"
