"""How numbers and names are written."""

from __future__ import annotations

import json

import pytest

from benchbench.report.figures.across import frontier, si_text
from benchbench.report.text import interval, latex, number, p_text, script_json, shortened


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "–"),
        (0.0, "< .001"),
        (0.00099, "< .001"),
        (0.004, ".004"),
        (0.0499, ".050"),
        (0.31, ".31"),
        (1.0, "1"),
    ],
)
def test_p_values_are_written_as_journals_write_them(p: float | None, text: str) -> None:
    assert p_text(p) == text


def test_numbers_have_a_true_minus_sign_and_a_dash_for_nothing() -> None:
    assert number(-0.0123) == "−0.012"
    assert number(None) == number(float("nan")) == "–"
    assert interval(-0.1, 0.25) == "[−0.100, 0.250]"
    assert interval(None, 0.2) == ""


def test_json_in_a_script_cannot_end_the_script_and_reads_back() -> None:
    nasty = {"a": "</script><!--<script>&\u2028"}
    text = script_json(nasty)
    assert "<" not in text
    assert "&" not in text
    assert json.loads(text) == nasty


def test_latex_specials_are_escaped() -> None:
    assert latex("50 % of a_b & {c} \\x") == r"50 \% of a\_b \& \{c\} \textbackslash{}x"


def test_long_names_are_cut_to_one_line() -> None:
    assert shortened("a\nb") == "a b"
    assert len(shortened("x" * 99)) == 28


def test_the_frontier_keeps_what_nothing_cheaper_reaches() -> None:
    points = {
        "cheap": (1.0, 0.6),
        "dear": (9.0, 0.9),
        "waste": (8.0, 0.55),
        "middle": (4.0, 0.8),
        "tie": (5.0, 0.8),
    }
    assert frontier(points) == ["cheap", "middle", "dear"]


@pytest.mark.parametrize(
    ("value", "text"), [(22e6, "22 M"), (0.07, "70 m"), (1.0, "1"), (60e9, "60 G"), (3e14, "300 T")]
)
def test_axis_numbers_have_si_prefixes(value: float, text: str) -> None:
    assert si_text(value) == text
