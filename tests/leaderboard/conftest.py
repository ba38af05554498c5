"""A small leaderboard with one spec and two submissions, written once and copied for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchbench.results import Run, read_run

from .boards import ENCODERS, Place, make_board, make_run


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on real-looking data: nothing in it is stamped."""
    return read_run(make_run(tmp_path_factory.mktemp("run"), ENCODERS))


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory, real_run: Run) -> Path:
    root = tmp_path_factory.mktemp("template") / "board"
    make_board(root, real_run, ENCODERS)
    return root


@pytest.fixture
def place(_template: Path, tmp_path: Path) -> Place:
    """A fresh copy of the leaderboard."""
    root = tmp_path / "board"
    shutil.copytree(_template, root)
    return Place(root)
