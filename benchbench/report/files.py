"""The files beside the page: CSV of every table, LaTeX tables, BibTeX, figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..analysis import Analysis
from ..results import Run
from ..store import atomic_write
from .citations import bibtex
from .csv_tables import csv_tables
from .figures.base import Drawing
from .latex_tables import latex_tables


def write_files(run: Run, analysis: Analysis, figures: Mapping[str, Drawing]) -> tuple[str, ...]:
    """Write all files into the run's folder; returns their names, relative to it."""
    folder = run.folder
    texts = {**csv_tables(analysis), **latex_tables(analysis), "references.bib": bibtex(run.info)}
    contents = {name: text.encode("utf-8") for name, text in texts.items()}
    for name, drawing in figures.items():
        contents[f"figures/{name}.svg"] = drawing.svg.encode("utf-8")
        contents[f"figures/{name}.pdf"] = drawing.pdf
    for stale in _stale(folder, contents):
        stale.unlink()
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for name, content in contents.items():
        atomic_write(folder / name, content)
    return tuple(contents)


def _stale(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Files of an earlier rendering that this one no longer makes."""
    kinds = ("figures/*.svg", "figures/*.pdf", "tables/*.csv", "tables/*.tex")
    found = [p for kind in kinds for p in folder.glob(kind)]
    return [p for p in found if p.relative_to(folder).as_posix() not in contents]
