"""The report in a real browser: offline, quiet, sortable, readable on a phone, printable, and not injectable."""

from __future__ import annotations

import base64
import dataclasses
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report.builder import FakeEncoder, FakeTask, typical, write_run

from benchbench.api import ReportSection
from benchbench.report import write_report
from benchbench.results import AuditFinding

from .conftest import Opened

HEADLINE = "#headline table.sortable"


def test_it_opens_from_disk_without_a_network_and_without_a_complaint(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    assert page.run("return document.querySelectorAll('main section').length") > 10
    assert page.complaints == []
    assert page.requests == []


def first_column(page: Opened) -> list[str]:
    return page.run(
        f"return [...document.querySelector('{HEADLINE}').tBodies[0].rows].map(r => r.cells[0].innerText)"
    )


def test_clicking_a_header_sorts_by_that_column_and_again_the_other_way(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    script = (
        f"const t = document.querySelector('{HEADLINE}'); const b = t.tHead.rows[0].cells[2].querySelector('button');"
        "b.click(); return [[...t.tBodies[0].rows].map(r => r.cells[2].dataset.value),"
        " t.tHead.rows[0].cells[2].getAttribute('aria-sort')]"
    )
    before = sorted(first_column(page))
    for direction in ("descending", "ascending"):
        values, aria = page.run(script)
        assert aria == direction
        numbers = [float(v) for v in values if v]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert len(numbers) >= 4
    assert sorted(first_column(page)) == before
    assert page.complaints == []


def test_empty_cells_sort_last_both_ways(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    script = (
        f"const t = document.querySelector('{HEADLINE}'); const c = [...t.tHead.rows[0].cells].findIndex("
        "h => h.innerText.includes('Referable')); t.tHead.rows[0].cells[c].querySelector('button').click();"
        "return [...t.tBodies[0].rows].map(r => r.cells[c].dataset.value)"
    )
    for _ in range(2):
        assert page.run(script)[-1] == ""


def test_a_table_is_sorted_with_the_keyboard(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page = Opened(browser, report)
    button = browser.find_element(By.CSS_SELECTOR, f"{HEADLINE} th:nth-child(2) button")
    button.send_keys(Keys.ENTER)
    assert page.run(f"return document.querySelector('{HEADLINE} th:nth-child(2)').ariaSort") == "descending"


def test_hovering_a_curve_shows_every_encoder_at_that_point(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    page = Opened(browser, report)
    plot = browser.find_element(By.CSS_SELECTOR, '.plot[data-figure^="curves-idrid-referable"]')
    page.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    ActionChains(browser).move_to_element_with_offset(plot, -300, -20).perform()
    tip = page.run("return arguments[0].querySelector('.tip').innerText", plot)
    assert tip.startswith("1 − specificity")
    assert "RETFound-Green (area 0." in tip
    shown = re.search(r"RETFound-Green \(area [\d.]+\): ([\d.]+)", tip)
    assert 0 <= float(shown[1]) <= 1


def test_the_arrow_keys_read_a_figure_and_escape_puts_the_reading_away(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page = Opened(browser, report)
    plot = browser.find_element(By.CSS_SELECTOR, ".plot[data-figure]")
    plot.send_keys(Keys.ARROW_RIGHT)
    first = page.run("return arguments[0].querySelector('.tip').innerText", plot)
    plot.send_keys(Keys.ARROW_RIGHT)
    second = page.run("return arguments[0].querySelector('.tip').innerText", plot)
    assert first
    assert second
    assert first != second
    plot.send_keys(Keys.ESCAPE)
    assert page.run("return arguments[0].querySelector('.tip').hidden", plot)


def test_every_link_of_the_contents_reaches_a_section(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    missing = page.run(
        "return [...document.querySelectorAll('.contents a')].filter(a => !document.getElementById(a.hash.slice(1)))"
        ".map(a => a.hash)"
    )
    assert missing == []


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_never_scrolls_sideways(browser: Any, report: Path, width: int) -> None:
    page = Opened(browser, report, width)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    overflow = page.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert overflow[0] <= overflow[1] == width


def test_the_theme_button_changes_the_colours(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.run("document.getElementById('theme').click()")
    assert page.run(colour) != light


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_an_accessibility_checker_finds_no_fault(
    browser: Any, report: Path, axe: str, scheme: str, width: int
) -> None:
    page = Opened(browser, report, width, scheme)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations.map("
        "v => [v.id, v.impact, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary])))"
    )
    assert [f for f in found if f[1] in ("serious", "critical", "moderate")] == []


@pytest.fixture
def printed(browser: Any, report: Path) -> Iterator[Opened]:
    """The page as it is laid out for A4 paper, everything unfolded."""
    page = Opened(browser, report)
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.devtools("Emulation.setEmulatedMedia", media="print")
    # A4 at 96 dpi less the margins of the style sheet.
    metrics = {"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.devtools("Emulation.setDeviceMetricsOverride", **metrics)
    deadline = time.monotonic() + 20
    while not page.run(
        "return innerWidth === 688 && matchMedia('print').matches"
    ):  # a busy machine takes a while
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield page
    page.devtools("Emulation.setEmulatedMedia", media="")


def test_the_printed_page_cuts_no_table_at_the_right_edge(printed: Opened) -> None:
    cut = printed.run(
        "return [...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth + 1)"
        ".map(t => t.caption ? t.caption.innerText.slice(0, 60) : t.innerText.slice(0, 60))"
    )
    assert cut == []
    assert printed.run("return document.querySelectorAll('main details:not([open])').length") == 0


def test_no_number_is_broken_across_lines_in_print(printed: Opened) -> None:
    broken = printed.run(
        """
        const found = [];
        for (const cell of document.querySelectorAll('td')) {
          const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) for (const match of walker.currentNode.data.matchAll(/[−\\d.]*\\d/g)) {
            const range = document.createRange();
            range.setStart(walker.currentNode, match.index);
            range.setEnd(walker.currentNode, match.index + match[0].length);
            const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
            if (lines.size > 1 && /^[−\\d.]+$/.test(match[0]) && !cell.matches('.text')) found.push(cell.innerText);
          }
        }
        return found;
        """
    )
    assert broken == []


def test_tints_and_captions_survive_printing(printed: Opened) -> None:
    """Browsers leave backgrounds out and part captions from their tables, unless told otherwise."""
    adjust = (
        "return [...new Set([...document.querySelectorAll(arguments[0])]"
        ".map(e => getComputedStyle(e)[arguments[1]]))]"
    )
    for tinted in ("td.decided", ".heat td[style]", ".key"):
        assert printed.run(adjust, tinted, "printColorAdjust") == ["exact"], tinted
    assert printed.run(adjust, "caption", "breakAfter") == ["avoid"]
    assert printed.run(adjust, "tbody tr:first-child", "breakBefore") == ["avoid"]


def test_printing_gives_a_pdf_with_text_and_vector_figures(browser: Any, report: Path) -> None:
    page = Opened(browser, report)
    pdf = base64.b64decode(page.devtools("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert b"/Font" in pdf or any(b"/Font" in s for s in _streams(pdf))
    assert pdf.count(b"/Subtype /Image") < 5, "figures must be printed as vectors"


def _streams(pdf: bytes) -> list[bytes]:
    found = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(match[1]))
        except zlib.error:
            continue
    return found


PAYLOADS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "' onmouseover='window.pwned=1",
    "</script><script>window.pwned=1</script>",
    "</style><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "{{ 7*7 }}{% for x in y %}",
    "-->]]><script>window.pwned=1</script>",
    "$\\frac{1}{0}$ \\input{x}",
    "</text></svg><script>window.pwned=1</script>",
    "\u202eabc\u2028def",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text that others write is an attack."""
    encoders = tuple(
        FakeEncoder(
            p, 0.6 + 0.1 * i, title=f"{p} {i}", citation=p, stamps=p.replace(" ", "") if i == 0 else ""
        )
        for i, p in enumerate(PAYLOADS)
    )
    tasks = (
        FakeTask("idrid/" + PAYLOADS[0], title=PAYLOADS[1], n=80, classes=(PAYLOADS[2], PAYLOADS[3])),
        FakeTask(
            "evil/grade",
            kind="ordinal",
            metric="quadratic_kappa",
            title=PAYLOADS[10],
            n=90,
            classes=(PAYLOADS[4], PAYLOADS[5], PAYLOADS[6]),
            prevalence=(0.4, 0.3, 0.3),
        ),
    )
    spec = typical(
        encoders=encoders,
        tasks=tasks,
        protocols=(PAYLOADS[0], PAYLOADS[10]),
        axes=({}, {"fraction": "0.5"}),
        audit=(AuditFinding("leak", PAYLOADS[0], PAYLOADS[1], PAYLOADS[2], PAYLOADS[3], (PAYLOADS[4],)),),
        failures=((PAYLOADS[8], "evil/grade", PAYLOADS[1]),),
        title=PAYLOADS[0],
    )
    folder = write_run(tmp_path_factory.mktemp("hostile"), spec)
    _poison(folder / "run.json")
    section = ReportSection(PAYLOADS[1], lambda a: PAYLOADS)
    return write_report(folder, [section, ReportSection(PAYLOADS[0], lambda a: 1 / 0)])


def _poison(path: Path) -> None:
    """Attacks in the fields that the builder fills itself: command, versions, hardware, plugins, notes."""
    import json

    info = json.loads(path.read_text(encoding="utf-8"))
    attack = PAYLOADS[4]
    info |= {"command": attack, "question": attack, "started": attack, "suite": attack, "git_commit": attack}
    info |= {"versions": {attack: attack}, "hardware": {attack: attack}, "plugins": [[attack, attack]]}
    info["suite_resolved"] = {attack: attack}
    for record in info["datasets"]:
        record |= {"notes": [attack], "licence": attack, "split": attack, "split_fingerprint": attack}
    for record in info["encoders"]:
        record |= {"architecture": attack, "licence": attack, "hardware": attack, "weights_sha256": attack}
        record["pretraining"] = [[attack, 5, attack]]
    for record in info["protocols"]:
        record |= {"description": attack, "config": {attack: attack}}
    path.write_text(json.dumps(info), encoding="utf-8")


def test_no_text_from_a_plugin_or_a_file_becomes_markup_or_script(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    for selector in ("th button", ".plot"):
        page.run(
            "for (const e of document.querySelectorAll(arguments[0])) for (const kind of ['mouseover', 'pointermove',"
            " 'click', 'focus']) e.dispatchEvent(new MouseEvent(kind, {bubbles: true}))",
            selector,
        )
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('script').length") == 2
    assert page.run("return document.querySelectorAll('img, iframe, object, embed, base, form').length") == 0
    handlers = page.run(
        "return [...document.querySelectorAll('*')].flatMap("
        "e => [...e.attributes].filter(a => a.name.startsWith('on'))).length"
    )
    assert handlers == 0
    links = page.run("return [...document.querySelectorAll('a')].map(a => a.protocol)")
    assert set(links) <= {"file:"}
    assert page.requests == []
    assert page.complaints == []
    assert PAYLOADS[0] in page.run("return document.querySelector('h1').innerText")


def test_attacks_in_figures_stay_text_when_the_file_is_opened_alone(browser: Any, hostile: Path) -> None:
    drawings = sorted((hostile.parent / "figures").glob("*.svg"))
    assert drawings
    for drawing in drawings:
        page = Opened(browser, drawing)
        assert page.run("return document.querySelectorAll('script, image, foreignObject').length") == 0
        assert page.run("return window.pwned") is None
        assert not [c for c in page.complaints if "error" in c.lower()], drawing


def test_attacking_names_do_not_widen_the_page(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile, 390)
    assert page.run("return document.documentElement.scrollWidth") == 390


def test_the_page_refuses_a_script_that_is_not_its_own(browser: Any, report: Path, tmp_path: Path) -> None:
    """Were the escaping ever to fail, the browser still would not run what was injected."""
    text = report.read_text(encoding="utf-8")
    opened = tmp_path / "injected.html"
    opened.write_text(text.replace("</main>", "<script>window.pwned = 1</script></main>"), encoding="utf-8")
    page = Opened(browser, opened)
    assert page.run("return window.pwned") is None


def test_an_endless_name_does_not_widen_the_page(browser: Any, tmp_path: Path) -> None:
    long = dataclasses.replace(typical().encoders[0], name="x" * 300, title="y" * 300)
    folder = write_run(
        tmp_path, typical(encoders=(long, *typical().encoders[1:3]), tasks=typical().tasks[:1])
    )
    page = Opened(browser, write_report(folder), 390)
    assert page.run("return document.documentElement.scrollWidth") == 390
