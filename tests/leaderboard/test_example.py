"""The committed example is what the code in this repository makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from benchbench.leaderboard.release import check_releases, read_releases
from benchbench.leaderboard.rescore import read_boards
from benchbench.leaderboard.site import build_site, differences
from benchbench.leaderboard.spec import read_specs

from .boards import make_run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "leaderboard" / "example"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_example", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_site_is_what_its_submissions_give(script: ModuleType) -> None:
    boards, releases = read_boards(EXAMPLE), read_releases(EXAMPLE)
    assert check_releases(releases, boards) == ()
    site = build_site(boards, releases, script.TITLE)
    assert differences(site, EXAMPLE / "site") == ()


def test_the_example_is_small_and_marked(script: ModuleType) -> None:
    files = [p for p in EXAMPLE.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 1_000_000
    board = read_boards(EXAMPLE)[0]
    assert len(board.entries) >= 3
    assert board.spec.demonstration
    for entry in board.entries:
        assert "demonstration" in entry.bundle.submission.submitter.name
        assert all("SYNTHETIC" in r.stamps for r in entry.bundle.submission.results)
    for page in (EXAMPLE / "site").rglob("*.html"):
        assert "<strong>Demonstration.</strong>" in page.read_text(encoding="utf-8")


def test_the_example_names_no_folder_of_the_machine_that_made_it() -> None:
    for path in EXAMPLE.rglob("*.json"):
        found = re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt)/", path.read_text(encoding="utf-8"))
        assert found is None, path


def test_the_examples_spec_is_the_quickstart_suite(script: ModuleType) -> None:
    suite = yaml.safe_load(script.SUITE.read_text(encoding="utf-8"))
    (spec,) = read_specs(EXAMPLE).values()
    assert spec.suite == "quickstart"
    assert [p.task for p in spec.panels] == suite["tasks"]
    assert {p.protocol for p in spec.panels} == set(suite["protocols"])
    names = {e.bundle.submission.encoder.name for e in read_boards(EXAMPLE)[0].entries}
    assert names == set(suite["encoders"])


def test_the_script_makes_a_whole_leaderboard_from_a_run(script: ModuleType, tmp_path: Path) -> None:
    names = ("efficientnet_lite0", "efficientnet_lite2")
    run = make_run(tmp_path / "run", names, stamps="SYNTHETIC")
    board = tmp_path / "board"
    script.make(board, run)
    assert (
        differences(build_site(read_boards(board), read_releases(board), script.TITLE), board / "site") == ()
    )
    assert {e.bundle.submission.encoder.name for e in read_boards(board)[0].entries} == set(names)
    assert [r.name for r in read_releases(board)] == ["2026.1"]
