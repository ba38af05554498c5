"""Runs to render, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.report import write_report

from .builder import typical, write_run


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a typical run with its report."""
    folder = write_run(tmp_path_factory.mktemp("rendered"), typical())
    write_report(folder)
    return folder
