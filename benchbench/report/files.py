"""The files beside the page: CSV of every table, LaTeX of the headline and comparison tables, BibTeX, figures."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..analysis import Analysis, Panel
from ..results import Run, RunInfo
from ..store import atomic_write
from .figures.base import Drawing
from .tables import headline_tables
from .text import estimate_text, interval, latex, metric_name, number, p_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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


def csv_text(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """CSV whose text cells cannot run as formulas in a spreadsheet."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_cell(v) for v in header])
    writer.writerows([_cell(v) for v in line] for line in lines)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _axes(panel: Panel) -> str:
    return " ".join(f"{k}={v}" for k, v in panel.axes)


def csv_tables(analysis: Analysis) -> dict[str, str]:
    """Every table as CSV, by file name."""
    return {
        "scores.csv": _scores(analysis),
        "comparisons.csv": _comparisons(analysis),
        "tables/wins.csv": _wins(analysis),
        "tables/classes.csv": _classes(analysis),
        "tables/confusion.csv": _confusion(analysis),
        "tables/calibration.csv": _calibration(analysis),
        "tables/curves.csv": _curves(analysis),
    }


_PLACE = ("task", "source_task", "protocol", "axes", "metric")


def _place(panel: Panel) -> tuple[str, ...]:
    return panel.task, panel.source_task, panel.protocol, _axes(panel), panel.metric


def _scores(analysis: Analysis) -> str:
    header = [*_PLACE, "encoder", "value", "ci_low", "ci_high", "interval", "seeds", "seed_sd", "tie_group"]
    header += ["verdict", "stamps", "n", "n_patients"]
    lines = [
        [
            *_place(p),
            *(e.encoder, e.value, e.ci_low, e.ci_high, e.method, len(e.seeds), e.seed_sd, e.letters),
            *(e.verdict, " ".join(e.stamps), p.n, p.n_patients),
        ]
        for p in analysis.panels
        for e in p.estimates
    ]
    return csv_text(header, lines)


def _comparisons(analysis: Analysis) -> str:
    names = (
        "first",
        "second",
        "value_first",
        "value_second",
        "difference",
        "ci_low",
        "ci_high",
        "se",
        "p_value",
    )
    names += (
        "p_holm",
        "p_bh",
        "p_permutation",
        "detectable",
        "verdict",
        "outcome",
        "margin_verdict",
        "equivalent",
    )
    names += ("method", "family")
    lines = [
        [*_place(p), *(getattr(c, n) for n in names), _stamps_of(p, c.first, c.second)]
        for p in analysis.panels
        for c in p.comparisons
    ]
    return csv_text([*_PLACE, *names, "stamps"], lines)


def _stamps_of(panel: Panel, *encoders: str) -> str:
    found = [e.stamps for e in panel.estimates if e.encoder in encoders]
    return " ".join(dict.fromkeys(s for stamps in found for s in stamps))


def _wins(analysis: Analysis) -> str:
    fields = (
        [f.name for f in dataclasses.fields(type(analysis.wins.counts[0]))] if analysis.wins.counts else []
    )
    return csv_text(fields, [[getattr(w, f) for f in fields] for w in analysis.wins.counts])


def _classes(analysis: Analysis) -> str:
    names = (
        "support",
        "auroc",
        "ci_low",
        "ci_high",
        "average_precision",
        "recall",
        "precision",
        "f1",
        "note",
    )
    lines = [
        [*_place(p), v.encoder, c.name, *(getattr(c, n) for n in names)]
        for p in analysis.panels
        for v in p.views
        for c in v.classes
    ]
    return csv_text([*_PLACE, "encoder", "class", *names], lines)


def _confusion(analysis: Analysis) -> str:
    lines = [
        [*_place(p), v.encoder, p.classes[i], p.classes[j], int(v.confusion[i, j])]
        for p in analysis.panels
        for v in p.views
        if v.confusion is not None
        for i in range(len(p.classes))
        for j in range(len(p.classes))
    ]
    return csv_text([*_PLACE, "encoder", "true", "predicted", "count"], lines)


def _calibration(analysis: Analysis) -> str:
    lines = [
        [*_place(p), v.encoder, *map(float, values), v.reliability.ece, v.reliability.brier]
        for p in analysis.panels
        for v in p.views
        if v.reliability is not None
        for values in zip(
            v.reliability.predicted,
            v.reliability.observed,
            v.reliability.low,
            v.reliability.high,
            v.reliability.counts,
            strict=True,
        )
    ]
    header = [*_PLACE, "encoder", "predicted", "observed", "ci_low", "ci_high", "count", "ece", "brier"]
    return csv_text(header, lines)


def _curves(analysis: Analysis) -> str:
    """Points of every drawn curve; many lines, so the repeated cells are written once per curve."""
    parts = [",".join([*_PLACE, "encoder", "curve", "class", "x", "y"]) + "\n"]
    for p in analysis.panels:
        shown = [p.classes[-1]] if p.kind == "binary" else list(p.classes)
        for v in p.views:
            for kind, curves in (("roc", v.roc), ("precision_recall", v.precision_recall)):
                for name, curve in zip(shown, curves, strict=True):
                    start = csv_text([*_place(p), v.encoder, kind, name], []).rstrip("\n")
                    points = zip(curve.x.tolist(), curve.y.tolist(), strict=True)
                    parts += [f"{start},{x:.5f},{y:.5f}\n" for x, y in points]
    return "".join(parts)


def latex_tables(analysis: Analysis) -> dict[str, str]:
    """LaTeX (booktabs) of the headline table and of every panel's comparisons."""
    found = {}
    for i, table in enumerate(headline_tables(analysis)):
        lines = [
            [
                latex(analysis.titles.get(e, e)),
                *(_latex_cell(cell) for cell in cells),
            ]
            for e, cells in zip(table.encoders, table.cells, strict=True)
        ]
        header = ["Encoder", *(f"{latex(p.title)}, {latex(metric_name(p.metric))}" for p in table.panels)]
        note = (
            f"Protocol: {table.protocol.replace('_', ' ')}. Value and 95\\,\\% confidence interval. Encoders that "
            "share a letter cannot be told apart (Holm over all comparisons of the suite)."
        )
        name = "headline" if i == 0 else f"headline-{i + 1}"
        found[f"tables/{name}.tex"] = _tabular(header, lines, note, analysis.stamps)
    for panel in analysis.panels:
        if panel.comparisons and panel.family == "primary":
            found[f"tables/comparisons-{panel.id}.tex"] = _latex_comparisons(panel, analysis)
    return found


def _latex_cell(estimate: Any) -> str:
    if estimate is None:
        return "--"
    letters = f"\\textsuperscript{{{latex(estimate.letters)}}}" if estimate.letters else ""
    return latex(estimate_text(estimate)) + letters


def _latex_comparisons(panel: Panel, analysis: Analysis) -> str:
    lines = [
        [
            latex(f"{analysis.titles.get(c.first, c.first)} − {analysis.titles.get(c.second, c.second)}"),
            latex(number(c.difference)),
            latex(interval(c.ci_low, c.ci_high) or "–"),
            latex(p_text(c.p_value)),
            latex(p_text(c.p_holm)),
            latex(number(c.detectable)),
        ]
        for c in panel.comparisons
    ]
    header = ["Comparison", "Difference", "95\\,\\% CI", "$p$", "Holm $p$", "Detectable"]
    what = f"{panel.title}, {metric_name(panel.metric)}, {panel.n} images"
    note = f"{latex(what)}. {latex(panel.comparisons[0].method)}."
    return _tabular(header, lines, note, panel.stamps)


def _tabular(header: Sequence[str], lines: Sequence[Sequence[str]], note: str, stamps: Sequence[str]) -> str:
    if stamps:
        note += f" Stamps: {latex(', '.join(stamps))}."
    rows = [" & ".join(line) + r" \\" for line in lines]
    body = "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
    return f"{body}\n\n\\smallskip\n{{\\footnotesize {note}}}\n"


def bibtex(info: RunInfo) -> str:
    """Entries of every encoder and data set used, each once."""
    found = [e.citation.strip() for e in info.encoders] + [d.citation.strip() for d in info.datasets]
    entries = [text for text in found if text]
    return "\n\n".join(dict.fromkeys(entries)) + "\n"
