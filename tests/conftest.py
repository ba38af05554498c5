"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference values and real images; skips where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with reference values and real images is not here")
    return SHARED


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own store, data or weights."""
    monkeypatch.setenv("BENCHBENCH_STORE", str(tmp_path / "store"))
    for variable in ("BENCHBENCH_DATA", "BENCHBENCH_WEIGHTS", "BENCHBENCH_STRICT_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
