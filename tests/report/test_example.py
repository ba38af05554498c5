"""The committed example report is what the code in this repository makes of the quickstart suite."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from benchbench.plan import resolve_protocols
from benchbench.plugins import registry
from benchbench.report import write_report
from benchbench.results import read_run
from benchbench.suite import load_suite

from .test_write_report import Page

EXAMPLE = Path(__file__).parents[2] / "reports" / "example"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_example_report", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rebuilt(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report rendered again from the committed files of the run alone."""
    folder = tmp_path_factory.mktemp("example")
    for name in script.RUN_FILES:
        shutil.copyfile(EXAMPLE / name, folder / name)
    write_report(folder)
    return folder


def names(folder: Path) -> set[str]:
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {n for n in found if not n.startswith("__pycache__")} - {"make.py"}


def cells(path: Path) -> list[str]:
    return [c for line in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))) for c in line]


def alike(a: str, b: str) -> bool:
    """Equal texts, or numbers that agree but for the last digits, which differ between processors."""
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-9)
    except ValueError:
        return a == b


def test_the_committed_files_are_those_that_the_code_makes(rebuilt: Path) -> None:
    assert names(rebuilt) == names(EXAMPLE)


def test_every_table_of_the_example_is_what_its_rows_and_predictions_give(rebuilt: Path) -> None:
    tables = sorted(n for n in names(rebuilt) if n.endswith(".csv"))
    assert len(tables) > 8
    for name in tables:
        made, kept = cells(rebuilt / name), cells(EXAMPLE / name)
        assert len(made) == len(kept), name
        assert [(a, b) for a, b in zip(made, kept, strict=True) if not alike(a, b)] == [], name
    for name in sorted(n for n in names(rebuilt) if n.endswith((".tex", ".bib"))):
        assert (rebuilt / name).read_text(encoding="utf-8") == (EXAMPLE / name).read_text(encoding="utf-8"), (
            name
        )


def test_the_page_of_the_example_says_what_the_code_makes_of_it(rebuilt: Path) -> None:
    made, kept = (Page((f / "report.html").read_text(encoding="utf-8")) for f in (rebuilt, EXAMPLE))
    assert made.text.split() == kept.text.split()
    assert (made.ids, made.links) == (kept.ids, kept.links)


def test_the_example_is_the_quickstart_suite_of_today(script: ModuleType) -> None:
    assert (EXAMPLE / "suite.yaml").read_text(encoding="utf-8") == script.SUITE.read_text(encoding="utf-8")
    info = read_run(EXAMPLE).info
    resolved = resolve_protocols(load_suite(script.SUITE), registry().protocol, demo=False)
    assert {p.name: p.config for p in info.protocols} == {p.label: p.settings for p in resolved}
    assert all(d.simulated for d in info.datasets)


def test_the_example_is_small_and_names_no_machine() -> None:
    files = [EXAMPLE / n for n in names(EXAMPLE)]
    assert sum(p.stat().st_size for p in files) < 2_000_000
    for path in files:
        if path.suffix in (".html", ".csv", ".json", ".yaml", ".tex", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt)/", text) is None, path
    assert set(json.loads((EXAMPLE / "run.json").read_text())["hardware"]) <= {"processor", "cores", "device"}
