"""The how-to page "Add your encoder in ten minutes", followed literally in an environment of its own."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "add-an-encoder.md"


@pytest.mark.slow
def test_the_shell_commands_of_the_page_work_in_their_order(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    packages = next(home.glob("lib/python*/site-packages"))
    here = next(p for p in site.getsitepackages() if p.endswith("site-packages"))
    (packages / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for command, module in {"bench": "benchbench", "pytest": "pytest", "pip": "pip"}.items():
        script = home / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = "\n".join(blocks)
    assert commands.count("\n") >= 6
    done = subprocess.run(
        ["sh", "-e", "-x", "-c", commands],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": f"{home}/bin:{os.environ['PATH']}",
            # No network in tests: build with the tools that are installed, and take the dependencies as they are.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_DEPS": "1",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d\d?) of \1 checks passed", done.stdout)
    assert "1 passed" in done.stdout
    assert sys.prefix not in str(packages)


@pytest.mark.parametrize("kind", ["dataset", "protocol"])
def test_new_datasets_and_protocols_conform_as_they_are(kind: str, tmp_path: Path) -> None:
    from benchbench.scaffold import new_package

    files = new_package(kind, f"my_{kind}", tmp_path)  # type: ignore[arg-type]
    root = next(f for f in files if f.name == "pyproject.toml").parent
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), str(root)], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unusable_name_and_an_existing_folder_are_refused(tmp_path: Path) -> None:
    from benchbench.errors import BenchError
    from benchbench.scaffold import new_package

    with pytest.raises(BenchError, match="cannot be the name"):
        new_package("encoder", "My Encoder", tmp_path)
    new_package("encoder", "mine", tmp_path)
    with pytest.raises(BenchError, match="exists already"):
        new_package("encoder", "mine", tmp_path)
