"""The run's log: whatever happens to its disk, the run goes on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from benchbench.logs import RunLog

log = logging.getLogger("benchbench")


def test_a_full_disk_costs_lines_and_is_said_once_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    with RunLog(Path("/dev/full")).attached():
        for i in range(3):
            log.info("line %d", i)
    assert capsys.readouterr().err.count("The log cannot be written: ") == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_not_there_costs_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path / "elsewhere" / "log.txt").attached():
        for i in range(3):
            log.info("line %d", i)
    assert capsys.readouterr().err.count("The log cannot be written: ") == 1


def test_lines_of_all_levels_reach_the_file_while_it_is_attached(tmp_path: Path) -> None:
    with RunLog(tmp_path / "log.txt").attached():
        log.debug("inside")
    log.warning("outside")
    text = (tmp_path / "log.txt").read_text()
    assert "DEBUG inside" in text
    assert "outside" not in text


def test_a_message_with_half_a_character_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "propagate", False)  # test runners that collect the log cannot send such text
    with RunLog(tmp_path / "log.txt").attached():
        log.info("half a character: \ud800")
    assert "\\ud800" in (tmp_path / "log.txt").read_text()
