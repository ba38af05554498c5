"""The commands of the how-to for submitters and maintainers work in a fresh clone, in the order in which they stand."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchbench.cli import bench

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "publish.md"


def commands() -> list[str]:
    """Every command in a block of the page, and then those of its table."""
    text = HOW_TO.read_text(encoding="utf-8")
    blocks = [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [*blocks, *re.findall(r"^\|[^|]*\| `(bench [^`]*)` \|$", text, re.MULTILINE)]


def test_every_command_of_the_how_to_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("leaderboard", "reports/example"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    assert len(commands()) == 7
    for command in commands():
        words = shlex.split(command)[1:]
        spread = [p for w in words for p in (sorted(map(str, Path().glob(w))) if "*" in w else [w])]
        result = CliRunner().invoke(bench, spread)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            command,
            result.exception,
        )
        assert result.exit_code == 0, (command, result.output)
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Your group" in page


def test_a_leaderboard_without_a_spec_says_what_is_missing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "leaderboard", tmp_path / "leaderboard", ignore=shutil.ignore_patterns("example"))
    result = CliRunner().invoke(bench, ["leaderboard", "build", str(tmp_path / "leaderboard")])
    assert "has no spec yet" in str(result.exception)
    assert "leaderboard/example" in str(result.exception)


def test_an_encoder_that_the_run_lacks_is_answered_with_those_it_has() -> None:
    words = ["submit", str(ROOT / "reports" / "example"), "--to", str(ROOT / "leaderboard" / "example")]
    result = CliRunner().invoke(bench, [*words, "--submitter", "x", "--encoder", "nope"])
    assert "The run has no encoder 'nope'" in str(result.exception)
    assert "efficientnet_lite0" in str(result.exception)


@pytest.mark.parametrize("day", ["nope", "2026-19-39", "2026-02-30"])
def test_a_release_on_no_day_is_refused_in_words(day: str) -> None:
    words = ["leaderboard", "release", "2027.1", "--root", str(ROOT / "leaderboard" / "example")]
    result = CliRunner().invoke(bench, [*words, "--date", day])
    assert str(result.exception).startswith(f"{day!r} is not a date.")
