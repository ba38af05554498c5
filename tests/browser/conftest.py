"""A headless Chromium without network, and pages opened from disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report.builder import ORDINAL, FakeTask, typical, write_run

from benchbench.report import write_report

from .driver import chromium, visit

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Selenium's driver."""
    with chromium() as driver:
        yield driver


class Opened:
    """A page in the browser, offline, with everything it complained about and asked for."""

    def __init__(self, driver: Any, page: Path, width: int = 1440, scheme: str = "light") -> None:
        self.driver = driver
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.devtools("Emulation.setEmulatedMedia", features=features)
        self.devtools("Network.enable")
        offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.devtools("Network.emulateNetworkConditions", **offline)
        driver.get("about:blank")
        for kind in ("browser", "performance"):
            driver.get_log(kind)
        visit(driver, page)

    def devtools(self, method: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(method, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @property
    def complaints(self) -> list[str]:
        """What the console printed since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself aside."""
        import json

        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [url for url in found if not url.startswith(("data:", "about:"))][1:]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section."""
    tasks = (
        FakeTask("aptos2019/grade", n=150, title="DR grade", **ORDINAL),
        FakeTask("idrid/grade", n=103, title="DR grade", **ORDINAL),
        FakeTask("idrid/referable", n=103, title="Referable DR"),
        FakeTask("oct/srf", n=200, title="Subretinal fluid", prevalence=(0.98, 0.02)),
    )
    spec = typical(
        tasks=tasks,
        protocols=("linear_probe", "fine_tune"),
        transfer=True,
        axes=({}, {"fraction": "0.1"}, {"fraction": "0.3"}),
        failures=(
            ("deretfound", "idrid/referable", "The checkpoint is truncated.\n  what to do: get it again"),
        ),
    )
    folder = write_run(tmp_path_factory.mktemp("browser"), spec)
    from benchbench.cost import CostRow, write_cost

    rows = [
        CostRow(e.name, quantity, float(10 ** (6 + i)), unit, "computed")
        for i, e in enumerate(spec.encoders)
        for quantity, unit in (("flops", "FLOP"), ("parameters", ""))
    ]
    write_cost(folder / "cost.csv", rows)
    return write_report(folder)


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core, from tests/browser/node_modules or the folder in AXE_CORE; skips where it is absent."""
    for folder in (os.environ.get("AXE_CORE", ""), str(HERE / "node_modules" / "axe-core")):
        if folder and (Path(folder) / "axe.min.js").is_file():
            return (Path(folder) / "axe.min.js").read_text(encoding="utf-8")
    pytest.skip("axe-core is not installed: npm install in tests/browser")
