"""The campaigns of benchmarks/ still run, in small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def campaign(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(BENCHMARKS / name), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_short_fuzz_campaign_finds_no_fault_and_prints_what_it_tried() -> None:
    text = campaign("fuzz_campaign.py", "--inputs", "40", "--seed", "1")
    kinds = [line.split("|")[1].strip() for line in text.splitlines()[2:] if line.startswith("| ")]
    assert len(kinds) == 8
    assert "inputs tried: " in text
    assert "FAULT" not in text
