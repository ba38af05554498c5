"""How numbers and names are written, in the page, in tables for papers, and in figures."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..analysis.model import Comparison, Estimate, Panel
from ..analysis.sentences import metric_name, p_text, signed

__all__ = ["dash", "metric_name", "number", "p_text", "signed"]

dash = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A value with a fixed number of decimals and a true minus sign; a dash where there is none."""
    if value is None or value != value:
        return dash
    return f"{value:.{digits}f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """``[0.812, 0.901]``, or nothing."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def ranks(open_ranks: tuple[int, int] | None) -> str:
    """``1–3``, or ``2`` where the comparisons leave one rank open."""
    if open_ranks is None:
        return ""
    best, worst = open_ranks
    return str(best) if best == worst else f"{best}–{worst}"


def percent(value: float | None) -> str:
    """A share as whole percent."""
    return dash if value is None or value != value else f"{100 * value:.0f} %"


def count(value: int | None) -> str:
    """An integer with thin spaces between thousands."""
    return dash if value is None else f"{value:,}".replace(",", "\u202f")


def seconds(value: float) -> str:
    """A duration as a person says it."""
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"


def shortened(text: str, length: int = 28) -> str:
    """One line of at most `length` characters."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


def tested_by(panel: Panel, comparison: Comparison) -> str:
    """The method of a comparison; where the data set names no patients, its images are what was counted."""
    if panel.n_patients is not None:
        return comparison.method
    return comparison.method.replace("each patient", "each image")


def distinct(texts: Mapping[str, str], length: int = 34) -> dict[str, str]:
    """Every text cut to `length` in its middle, since names differ at both ends; uncut where two would be the same."""
    tail = length // 2 - 1
    cut = {
        key: text if len(text) <= length else f"{text[: length - tail - 1].rstrip()}…{text[-tail:].lstrip()}"
        for key, text in ((k, " ".join(t.split())) for k, t in texts.items())
    }
    times = Counter(cut.values())
    return {key: short if times[short] == 1 else texts[key] for key, short in cut.items()}


def words(name: str) -> str:
    """A protocol's or metric's name in words."""
    return name.replace("_", " ")


def heading(name: str) -> str:
    """A name in words, starting with a capital letter."""
    text = words(name)
    return text[:1].upper() + text[1:]


def outcome_text(c: Comparison, titles: dict[str, str]) -> str:
    """What a comparison says, in two or three words."""
    if c.outcome == "untested":
        return "not tested"
    if c.winner is None:
        return "cannot be told apart"
    return f"{titles.get(c.winner, c.winner)} is better"


def margin_text(c: Comparison) -> str:
    """What a comparison says against the margin. Equivalence is tested at the wider level, so it may stand alone."""
    if not c.equivalent:
        return c.margin_verdict or dash
    return "equivalent" if c.margin_verdict == "inconclusive" else f"{c.margin_verdict}, equivalent"


def estimate_text(e: Estimate, digits: int = 3) -> str:
    """``0.912 [0.871, 0.941]``."""
    return f"{number(e.value, digits)} {interval(e.ci_low, e.ci_high, digits)}".strip()


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element whatever it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "−": r"$-$",
        "–": "--",
        "…": r"\ldots{}",
        "\u202f": r"\,",
        "<": r"$<$",
        ">": r"$>$",
    }
)


def latex(text: str) -> str:
    """Plain text made safe for LaTeX."""
    return " ".join(visible(text).split()).translate(_LATEX)


def visible(text: str) -> str:
    """Text without control characters and without those that turn the direction of writing."""
    if text.isprintable():  # nearly all text is, and a large report asks of millions
        return text
    return "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
