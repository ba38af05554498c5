"""Help, lists, plans and reports never import torch, and the quick commands import nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
import sys
from benchbench.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
heavy = [m for m in {forbidden!r} if m in sys.modules]
print("IMPORTED", heavy, file=sys.stderr)
"""


def imported(arguments: list[str], forbidden: list[str]) -> str:
    code = CHECK.format(arguments=arguments, forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return next(line for line in done.stderr.splitlines() if line.startswith("IMPORTED"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list", "encoders"],
        ["list", "datasets"],
        ["list", "protocols"],
        ["list", "plugins"],
        ["list", "suites"],
        ["show", "suite", "quickstart"],
        ["schema"],
        ["run", "--help"],
    ],
    ids=" ".join,
)
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    assert imported(arguments, ["torch", "timm", "pandas", "scipy", "sklearn"]) == "IMPORTED []"


@pytest.mark.parametrize("arguments", [["plan", "dr_grading"], ["report", "nowhere"]], ids=" ".join)
def test_planning_and_reporting_never_import_torch(arguments: list[str]) -> None:
    assert imported(arguments, ["torch", "timm"]) == "IMPORTED []"


def test_importing_the_package_is_light() -> None:
    code = "import sys, benchbench; print([m for m in ('torch', 'numpy', 'pandas', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
