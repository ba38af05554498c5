"""The committed example is what the code in this repository makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from benchbench.leaderboard.bundle import Declaration, bundle_of
from benchbench.leaderboard.freeze import freeze
from benchbench.leaderboard.release import check_releases, read_releases
from benchbench.leaderboard.rescore import read_boards
from benchbench.leaderboard.site import build_site, differences
from benchbench.leaderboard.spec import read_specs
from benchbench.results import read_run

from .boards import make_run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "leaderboard" / "example"
DECLARATION = Declaration("somebody", "2026-01-01", ("benchbench-retina", "0.1.0"))


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


def test_the_examples_spec_is_frozen_from_the_example_run(script: ModuleType) -> None:
    """Images, labels, splits and protocol settings are those of the run, which a test of its own ties to the suite."""
    run = read_run(script.RUN)
    (spec,) = read_specs(EXAMPLE).values()
    frozen = freeze(run, spec.version)
    assert spec == frozen.spec
    assert set(spec.labels_sha256) == {d.name for d in run.info.datasets}
    names = {e.bundle.submission.encoder.name for e in read_boards(EXAMPLE)[0].entries}
    assert names == {e.name for e in run.info.encoders}


def test_the_examples_submissions_are_the_predictions_of_the_example_run(script: ModuleType) -> None:
    run = read_run(script.RUN)
    board = read_boards(EXAMPLE)[0]
    for entry in board.entries:
        made = bundle_of(run, entry.bundle.submission.encoder.name, board.spec, DECLARATION)
        for key, scores in entry.bundle.scores.items():
            assert (made.scores[key] == scores).all()


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
