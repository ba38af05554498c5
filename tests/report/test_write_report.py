"""report.html and the files beside it."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchbench.analysis import analyse
from benchbench.api import ReportSection
from benchbench.cost import CostRow, write_cost
from benchbench.errors import BenchError
from benchbench.report import write_report
from benchbench.report.csv_tables import csv_text
from benchbench.results import AuditFinding, read_run

from .builder import ORDINAL, FakeTask, typical, write_run


class Page(HTMLParser):
    """Ids, links, tags and text of a page."""

    VOID = frozenset(["meta", "link", "br", "wbr"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"unclosed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag == "a":
            self.links.append(found.get("href") or "")
        self.sources += [found[k] or "" for k in ("src", "srcset", "data", "poster") if k in found]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def page(rendered: Path) -> Page:
    return Page((rendered / "report.html").read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_the_page_is_well_formed_and_every_id_is_unique(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))


def test_every_link_leads_to_a_place_on_the_page_or_a_file_beside_it(page: Page, rendered: Path) -> None:
    assert page.links
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:
            assert (rendered / link).is_file(), link


def test_the_page_loads_nothing_from_anywhere(rendered: Path, page: Page) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    assert page.sources == []
    outside = set(re.findall(r"https?://[^\s\"'<)]+", text)) - {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert outside == set()
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_is_small(rendered: Path) -> None:
    assert (rendered / "report.html").stat().st_size < 1_500_000


def test_the_verdict_comes_first_and_says_what_the_comparisons_say(rendered: Path, page: Page) -> None:
    analysis = analyse(read_run(rendered))
    text = " ".join(page.text.split())
    for sentence in (*analysis.verdict, *(p.sentence for p in analysis.panels)):
        assert " ".join(sentence.split()) in text
    assert text.index(analysis.verdict[0].split()[0]) < text.index("Value with its 95 % interval")


def test_scores_csv_holds_every_estimate(rendered: Path) -> None:
    analysis = analyse(read_run(rendered))
    table = {(r["task"], r["encoder"]): r for r in rows(rendered / "scores.csv")}
    for panel in analysis.panels:
        for e in panel.estimates:
            line = table[panel.task, e.encoder]
            assert float(line["value"]) == e.value
            assert line["tie_group"] == e.letters
            assert line["stamps"].split() == list(e.stamps)
    assert len(table) == 15


def test_comparisons_csv_holds_every_comparison_with_its_stamps(rendered: Path) -> None:
    analysis = analyse(read_run(rendered))
    table = {(r["task"], r["first"], r["second"]): r for r in rows(rendered / "comparisons.csv")}
    assert len(table) == len(analysis.comparisons) == 30
    for panel in analysis.panels:
        for c in panel.comparisons:
            line = table[panel.task, c.first, c.second]
            assert float(line["p_holm"]) == c.p_holm
            assert float(line["difference"]) == c.difference
            assert ("UNTRAINED" in line["stamps"]) == ("untrained/resnet50" in (c.first, c.second))


def test_latex_tables_have_as_many_cells_as_columns(rendered: Path) -> None:
    tables = sorted((rendered / "tables").glob("*.tex"))
    assert len(tables) == 4
    for path in tables:
        text = path.read_text(encoding="utf-8")
        columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
        lines = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(lines) > 2
        assert {line.count(" & ") + 1 for line in lines} == {columns}
        assert "SYNTHETIC" in text


def test_bibtex_names_every_encoder_and_data_set_once(rendered: Path) -> None:
    text = (rendered / "references.bib").read_text(encoding="utf-8")
    assert text.count("@article{") == 5
    assert text.count("@misc{") == 1


def test_rendering_twice_gives_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "again", typical())
    write_report(folder)
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    assert len(names) > 20
    for name in names:
        assert (folder / name).read_bytes() == (rendered / name).read_bytes(), name


def test_files_of_an_earlier_rendering_are_cleared(tmp_path: Path) -> None:
    folder = write_run(tmp_path, typical(tasks=typical().tasks[:1]))
    write_report(folder)
    stale = folder / "figures" / "curves-gone.svg"
    stale.write_text("<svg/>")
    write_report(folder)
    assert not stale.exists()


def test_every_stamp_stands_at_every_place_that_shows_its_number(rendered: Path) -> None:
    """Headline, matrix, lists and drawings: wherever the untrained control appears, so does its stamp."""
    text = (rendered / "report.html").read_text(encoding="utf-8")
    rows_of_control = re.findall(
        r"<tr><th scope=\"row\">(?:(?!</tr>).)*?ResNet50, untrained.*?</tr>", text, re.DOTALL
    )
    assert len(rows_of_control) >= 5
    for line in rows_of_control:
        assert "UNTRAINED</span>" in line
    cells = re.findall(r'<td class="text">ResNet50, untrained(.*?)</td>', text)
    assert cells
    assert all("UNTRAINED" in c for c in cells)
    for path in (rendered / "figures").glob("*.svg"):
        drawing = path.read_text(encoding="utf-8")
        assert "SYNTHETIC" in drawing, path
        assert "ResNet50, untrained [UNTRAINED]" in drawing, path


def test_a_run_with_everything_renders_every_section(tmp_path: Path) -> None:
    tasks = (FakeTask("aptos2019/grade", n=150, **ORDINAL), FakeTask("idrid/grade", n=103, **ORDINAL))
    spec = typical(
        tasks=tasks,
        protocols=("linear_probe", "fine_tune"),
        transfer=True,
        axes=({}, {"fraction": "0.1"}),
        failures=(("deretfound", "idrid/grade", "The checkpoint is truncated."),),
    )
    folder = write_run(tmp_path, spec)
    write_cost(
        folder / "cost.csv",
        [
            CostRow(e.name, q, 10.0 + i, u, "computed")
            for i, e in enumerate(spec.encoders)
            for q, u in (("flops", "FLOP"), ("parameters", ""))
        ]
        + [CostRow("deretfound", "energy", float("nan"), "J", "unmeasured", reason="no meter here")],
    )
    write_report(folder)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    sections = {
        "verdict",
        "headline",
        "wins",
        "task-1",
        "transfer",
        "protocols",
        "efficiency",
        "cost",
        "published",
    }
    assert sections | {"audit", "methods", "provenance", "failures", "files"} <= set(page.ids)
    assert "The checkpoint is truncated." in page.text
    assert "no meter here" in page.text
    for name in ("transfer", "transfer-loss", "protocols", "efficiency", "published", "failures"):
        assert len(rows(folder / "tables" / f"{name}.csv")) > 0, name
    for name in ("pareto", "efficiency-1", "protocols-1", "transfer-1", "overview-1", "overview-2"):
        assert (folder / "figures" / f"{name}.svg").is_file()


@pytest.mark.parametrize(("eyes", "counted"), [(1, "image"), (2, "patient")])
def test_images_are_not_called_patients_where_the_data_set_names_none(
    tmp_path: Path, eyes: int, counted: str
) -> None:
    tasks = tuple(dataclasses.replace(t, eyes=eyes) for t in typical().tasks)
    folder = write_run(tmp_path, typical(tasks=tasks))
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert f"bootstrap band over {counted}s" in text
    assert f"influence of each {counted} on kappa" in text
    other = {"image": "patient", "patient": "image"}[counted]
    assert f"band over {other}s" not in text
    assert f"each {other} on kappa" not in text


def test_a_run_without_any_result_still_gives_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, typical())
    text = (folder / "rows.csv").read_text(encoding="utf-8").replace(",done,,", ",missing,no checkpoint,")
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "No cell of this run has a result yet." in page.text
    assert "no checkpoint" in page.text


def test_one_encoder_alone_gives_a_page_without_comparisons(tmp_path: Path) -> None:
    folder = write_run(tmp_path, typical(encoders=typical().encoders[:1]))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "nothing is compared" in page.text


def test_many_encoders_are_cut_to_what_can_be_read_and_the_files_hold_all(tmp_path: Path) -> None:
    many = tuple(
        dataclasses.replace(typical().encoders[0], name=f"e{i}", title=f"Encoder {i}", skill=0.5 + i / 15)
        for i in range(30)
    )
    folder = write_run(tmp_path, typical(encoders=many, tasks=(FakeTask("d/t", n=80),), validation=False))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "The best 12 encoders are shown; comparisons.csv holds the other 18." in " ".join(
        page.text.split()
    )
    assert len(rows(folder / "comparisons.csv")) == 30 * 29 // 2


def test_what_encoders_saw_is_a_grid_of_three_states_with_the_source_in_every_cell(tmp_path: Path) -> None:
    states = {"retfound_mae_cfp": "in pretraining", "mae_imagenet": "declared clean", "deretfound": "unknown"}
    audit = tuple(
        AuditFinding("note", "contamination", f"idrid, {e}: source <{e}>", "idrid", e, state=s)
        for e, s in states.items()
    )
    text = write_report(write_run(tmp_path, typical(audit=audit))).read_text(encoding="utf-8")
    grid = text[text.index("What the encoders saw before") : text.index("Methods, to paste")]
    for encoder, state in states.items():
        cell = rf'{encoder}</td><td class="text" title="idrid, {encoder}: source &lt;{encoder}&gt;">{state}<'
        assert re.search(cell, grid)
    for lint in rows(tmp_path / "tables" / "audit.csv"):
        assert lint["code"] != "contamination" or "source" in lint["message"]
    assert sum(r["code"] == "contamination" for r in rows(tmp_path / "tables" / "audit.csv")) == 3


def test_a_section_of_a_plugin_is_shown_and_a_broken_one_named(tmp_path: Path) -> None:
    def broken(analysis: object) -> tuple[str, ...]:
        raise ValueError("no such column")

    good = ReportSection("Fairness", lambda a: (f"{len(a.panels)} panels", "<b>bold</b>"))
    folder = write_run(tmp_path, typical(tasks=typical().tasks[:1]))
    html = write_report(folder, [good, ReportSection("Broken", broken)]).read_text(encoding="utf-8")
    assert "1 panels" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "ValueError: no such column" in html


def test_a_folder_that_is_no_run_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"run\.json is missing"):
        write_report(tmp_path)


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-2+3", "@SUM(A1)", "\t=1", "\n=1"])
def test_formulas_in_csv_are_neutralised(text: str) -> None:
    assert next(csv.reader(io.StringIO(csv_text(["a"], [[text]]).split("\n", 1)[1]))) == [f"'{text}"]


def test_carriage_returns_cannot_start_a_line_of_their_own() -> None:
    assert csv_text(["a"], [["x\r=1"]]) == 'a\n"x\n=1"\n'


def test_negative_numbers_in_csv_stay_numbers() -> None:
    assert csv_text(["a", "b"], [[-0.5, None]]) == "a,b\n-0.5,\n"


def test_rendering_needs_no_torch_and_reads_no_plugin(rendered: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchbench.report import write_report; "
        "write_report(Path(sys.argv[1])); "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'timm') or m.startswith('benchbench_')]; "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code, str(rendered)], check=True, timeout=300)
