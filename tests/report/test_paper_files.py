"""Files for papers and spreadsheets: citations, LaTeX, figures as PDF, tables without formulas."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import pytest

from benchbench.analysis import analyse
from benchbench.plugins import registry
from benchbench.report import write_report
from benchbench.report.citations import entries, plain_reference
from benchbench.report.methods import methods
from benchbench.report.text import latex
from benchbench.results import read_rows, read_run, write_rows
from benchbench.spreadsheet import neutral, restored

from .builder import FakeTask, typical, write_run

ARTICLE = """@article{zhou2023,
  author = {Zhou, Yukun and Chia, Mark A. and others}, title = {A {foundation} model},
  journal = "Nature", volume = {622}, pages = {156--163}, year = 2023, doi = {10.1/x}}"""


def test_a_key_stands_once_in_the_bibliography_whatever_its_texts() -> None:
    other = ARTICLE.replace("A {foundation} model", "Another text")
    assert entries([ARTICLE, other, "\n" + ARTICLE, ""]) == [ARTICLE]
    assert entries([ARTICLE + "\n" + ARTICLE.replace("zhou2023", "b")]) == [
        ARTICLE,
        ARTICLE.replace("zhou2023", "b"),
    ]


def test_a_reference_reads_as_a_line_of_a_paper() -> None:
    expected = "Yukun Zhou, Mark A. Chia, et al. A foundation model. Nature 2023;622:156-163. doi:10.1/x."
    assert plain_reference(ARTICLE) == expected
    assert plain_reference("no\nBibTeX {") == "no BibTeX {"


def test_every_shipped_encoder_and_data_set_is_cited_and_no_key_has_two_texts() -> None:
    plugins = registry()
    found = [*plugins.encoders.values(), *plugins.datasets.values()]
    assert [x.name for x in found if not x.citation.strip()] == []
    texts: dict[str, set[str]] = {}
    for x in found:
        for entry in entries([x.citation]):
            texts.setdefault(re.match(r"@\w+\{([^,]+),", entry)[1], set()).add(entry)
    assert {k: v for k, v in texts.items() if len(v) > 1} == {}


def test_every_number_in_the_methods_text_points_to_a_reference(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, typical(tasks=typical().tasks[:1])))
    found = methods(run.info, analyse(run))
    text = " ".join(found.paragraphs)
    numbers = [int(n) for cited in re.findall(r"\[(\d+(?:, \d+)*)\]", text) for n in cited.split(", ")]
    assert sorted(set(numbers)) == list(range(1, len(found.references) + 1))
    assert any("DeLong" in r for r in found.references)
    assert not any("Fleiss" in r for r in found.references), "no kappa was computed"
    for encoder in run.info.encoders:
        assert re.search(re.escape(encoder.title) + r" \[\d+\]", text)


def test_a_protocols_name_cannot_inject_latex(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path, typical(tasks=typical().tasks[:1], protocols=("p%{}\\input{/etc/passwd}_x",))
    )
    write_report(folder)
    text = (folder / "tables" / "headline.tex").read_text(encoding="utf-8")
    assert "\\input" not in text
    assert r"p\%\{\}\textbackslash{}input" in text


def test_latex_drops_what_nobody_can_see() -> None:
    assert latex("a\u202eb\x07c\u200bd\ne") == "abcd e"


def test_every_figure_is_there_as_svg_and_as_pdf(rendered: Path) -> None:
    drawings = sorted((rendered / "figures").glob("*.svg"))
    assert len(drawings) > 3
    for drawing in drawings:
        assert drawing.with_suffix(".pdf").read_bytes().startswith(b"%PDF"), drawing


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_seeds_operating_points_and_labels_to_match_have_tables(tmp_path: Path) -> None:
    axes = ({}, {"fraction": "0.1"}, {"fraction": "0.3"})
    spec = typical(encoders=typical().encoders[:3], tasks=typical().tasks[:1], seeds=(0, 1), axes=axes)
    folder = write_run(tmp_path, spec)
    write_report(folder)
    analysis = analyse(read_run(folder))
    panel = analysis.headline[0]
    seeds = {(r["encoder"], r["axes"], int(r["seed"])): float(r["value"]) for r in table(folder, "seeds.csv")}
    for e in panel.estimates:
        assert [seeds[e.encoder, "", s] for s in e.seeds] == list(e.seed_values)
    points = {r["encoder"]: r for r in table(folder, "operating-points.csv") if not r["axes"]}
    for view in panel.views:
        assert float(points[view.encoder]["sensitivity"]) == view.operating_point.sensitivity
    matches = {(r["encoder"], r["other"]): float(r["fraction"]) for r in table(folder, "labels-to-match.csv")}
    assert matches == {(c.encoder, other): f for c in analysis.efficiency for other, f in c.matches}
    assert matches


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x")', " =1+1", "＝1+1", "-1", "@x", "'=x", "''=x", "'hello", "a=b", "\t=1", ""],
)
def test_formulas_are_neutral_in_a_spreadsheet_and_come_back_on_reading(text: str) -> None:
    assert not re.match(r"\s*[=+\-@＝]", neutral(text))
    assert restored(neutral(text)) == text


def test_rows_keep_the_name_of_an_encoder_that_looks_like_a_formula(tmp_path: Path) -> None:
    folder = write_run(tmp_path, typical(tasks=(FakeTask("d/t", n=40),)))
    rows = [dataclasses.replace(r, encoder="=1+1", reason="-x") for r in read_rows(folder / "rows.csv")]
    write_rows(folder / "rows.csv", rows)
    assert ",=1+1," not in (folder / "rows.csv").read_text(encoding="utf-8")
    assert list(read_rows(folder / "rows.csv")) == rows
