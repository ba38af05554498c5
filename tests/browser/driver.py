"""Headless Chromium, and pages that are read to their end before they are looked at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Selenium's driver; skips where Chromium or its driver is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("Chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as found:
        found.set_script_timeout(120)
        yield found


def visit(driver: Any, page: Path) -> None:
    """Open a page and wait until it is read: on a busy machine the driver hands it over before."""
    address = page.as_uri()
    driver.get(address)
    deadline = time.monotonic() + PATIENCE_S
    while driver.execute_script("return [document.URL, document.readyState]") != [address, "complete"]:
        assert time.monotonic() < deadline, f"{address} was not read within {PATIENCE_S} seconds"
        time.sleep(0.05)
