"""LaTeX of the headline table and of every panel's comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..analysis import Analysis, Panel
from .tables import headline_tables
from .text import estimate_text, interval, latex, metric_name, number, p_text, tested_by, words


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
            f"Protocol: {latex(words(table.protocol))}. Value and 95\\,\\% confidence interval. Encoders that "
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
    if not estimate.scored:
        return "not scored"
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
    note = f"{latex(what)}. {latex(tested_by(panel, panel.comparisons[0]))}."
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
