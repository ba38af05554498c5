"""The site in a real browser: hostile texts do nothing, tables sort, phones do not scroll sideways, axe is content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.driver import chromium, visit

from benchbench.leaderboard.release import freeze_release
from benchbench.leaderboard.rescore import read_boards
from benchbench.leaderboard.site import build_site, write_site
from benchbench.results import Run, read_run

from .boards import make_board, make_run
from .test_site import hostile_board

pytestmark = pytest.mark.browser
AXE = (os.environ.get("AXE_CORE", ""), "node_modules/axe-core", "tests/browser/node_modules/axe-core")
"""Folders that may hold axe.min.js."""
NAMES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


def _written(root: Path, out: Path) -> list[Path]:
    """Write the site of a board with a release; returns its pages."""
    boards = read_boards(root)
    write_site(build_site(boards, (freeze_release(boards, "2026.1", "2026-05-01", "0.1.0"),), "Board"), out)
    return sorted(out.rglob("*.html"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("site")
    run = read_run(make_run(folder / "run", NAMES, stamps="SYNTHETIC"))
    make_board(folder / "board", run, NAMES)
    return _written(folder / "board", folder / "site")


def _size(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_hostile_texts_do_nothing(browser: Any, tmp_path: Path, real_run: Run) -> None:
    hostile_board(tmp_path / "board", real_run)
    for page in _written(tmp_path / "board", tmp_path / "site"):
        visit(browser, page)
        assert "pwned" not in browser.title.replace("document.title='pwned'", ""), page.name
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.execute_script("return document.images.length") == 0
        assert browser.get_log("browser") == [], page.name


@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_scrolls_sideways(browser: Any, pages: list[Path], width: int) -> None:
    _size(browser, width)
    for page in pages:
        visit(browser, page)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page.name
        assert browser.get_log("browser") == [], page.name


def test_a_table_sorts_by_its_columns(browser: Any, pages: list[Path]) -> None:
    visit(browser, next(p for p in pages if p.name == "index.html"))
    script = "return [...document.querySelector('tbody').rows].map(r => r.cells[{column}].dataset.sort ?? '')"
    buttons = browser.find_elements("css selector", "thead th button")
    buttons[1].click()
    values = [float(v) for v in browser.execute_script(script.format(column=1))]
    assert values == sorted(values, reverse=True)
    assert buttons[1].find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    buttons[1].click()
    assert [float(v) for v in browser.execute_script(script.format(column=1))] == values[::-1]


@pytest.mark.slow
def test_axe_finds_no_serious_fault(browser: Any, pages: list[Path]) -> None:
    path = next((p for folder in AXE if folder and (p := Path(folder) / "axe.min.js").is_file()), None)
    if path is None:
        pytest.skip("axe-core is not installed: npm install in tests/browser, or set AXE_CORE to its folder")
    source = path.read_text(encoding="utf-8")
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for page in pages:
            visit(browser, page)
            browser.execute_script(source)
            found = browser.execute_async_script("axe.run().then(arguments[0])")
            serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
            assert serious == [], (page.name, scheme, [(v["id"], v["nodes"][0]["html"]) for v in serious])
            assert len(found["passes"]) > 10
