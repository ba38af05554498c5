"""The workflow for pull requests: it only reads, knows no secret, and its shell steps do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "leaderboard.yml"
ENTRY = "leaderboard/submissions/fake@1/Group__alpha/0123456789ab"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def _step(workflow: dict[Any, Any], name: str) -> str:
    steps = workflow["jobs"]["validate"]["steps"]
    return next(str(s["run"]) for s in steps if s.get("name", "").startswith(name))


def test_it_reads_only_and_knows_no_secret(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert list(workflow[True]) == ["pull_request"]  # YAML 1.1 reads the key `on` as true
    assert "secrets" not in re.sub(r"#.*", "", FILE.read_text(encoding="utf-8"))
    for step in workflow["jobs"]["validate"]["steps"]:
        if str(step.get("uses", "")).startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
        assert "${{ github.event" not in str(step.get("run", "")), "text of a pull request in a shell script"


def test_code_comes_from_the_base_branch(workflow: dict[Any, Any]) -> None:
    install = _step(workflow, "Install without torch")
    assert "./base" in install
    assert "proposal" not in install


def test_the_leaderboard_needs_no_package_that_the_workflow_does_not_install(
    workflow: dict[Any, Any],
) -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'timm', 'torchvision', 'joblib', 'safetensors'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import benchbench.cli.leaderboard, benchbench.leaderboard.site, benchbench.leaderboard.validate\n"
        "import benchbench.leaderboard.release, benchbench.leaderboard.freeze\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    installed = _step(workflow, "Install without torch")
    for package in (
        "numpy",
        "scipy",
        "pandas",
        "pyarrow",
        "jinja2",
        "click",
        "pydantic",
        "pluggy",
        "filelock",
    ):
        assert package in installed


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ([("A", f"{ENTRY}/submission.json"), ("A", f"{ENTRY}/predictions/a.csv.gz")], True),
        ([("M", f"{ENTRY}/submission.json")], False),
        ([("D", f"{ENTRY}/submission.json")], False),
        ([("A", f"{ENTRY}/submission.json"), ("M", "benchbench/leaderboard/validate.py")], False),
        ([("A", f"{ENTRY}/submission.json"), ("A", "leaderboard/spec/fake@1.json")], False),
        ([("A", "leaderboard/spec/fake@2.json")], True),
    ],
)
def test_a_submission_may_only_add_its_own_folder(
    workflow: dict[Any, Any], tmp_path: Path, changes: list[tuple[str, str]], accepted: bool
) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    proposal = tmp_path / "proposal"
    proposal.mkdir()

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            [git, *identity, *arguments], cwd=proposal, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "-q")
    for state, name in [("M", "README.md"), *changes]:
        if state in "MD":
            (proposal / name).parent.mkdir(parents=True, exist_ok=True)
            (proposal / name).write_text("before")
    run("add", "-A")
    run("commit", "-q", "-m", "base")
    base = run("rev-parse", "HEAD")
    for state, name in changes:
        (proposal / name).parent.mkdir(parents=True, exist_ok=True)
        if state == "D":
            (proposal / name).unlink()
        else:
            (proposal / name).write_text("after")
    run("add", "-A")
    run("commit", "-q", "-m", "proposal")
    script = _step(workflow, "A submission touches its own folders")
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env={"BASE": base, "PATH": "/usr/bin:/bin"}, check=False
    )
    assert (done.returncode == 0) is accepted
