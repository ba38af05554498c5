"""Every shipped suite runs from start to report on simulated data, with an encoder that is small enough for a CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchbench.cli import bench
from benchbench.results import read_run
from benchbench.suite import load_suite, shipped_suites, with_encoders

SMALL = "untrained/test_vit"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Every dataset, simulated small; those with rare classes larger, so that every part has some of them."""
    root = tmp_path_factory.mktemp("simulated")
    _simulate(root, "--all", "--images", "40")
    rare = ("brset", "oct_signatures", "retfound_messidor2")
    for name in rare:
        shutil.rmtree(root / name)
    _simulate(root, *rare, "--images", "240")
    return root


def _simulate(root: Path, *arguments: str) -> None:
    command = ["data", "simulate", *arguments, "--root", str(root)]
    result = CliRunner().invoke(bench, command, catch_exceptions=False, standalone_mode=False)
    assert not result.return_value, result.output


@pytest.mark.slow
@pytest.mark.parametrize("path", shipped_suites(), ids=lambda p: p.stem)
def test_a_shipped_suite_runs_on_simulated_data_with_small_encoders(path, data, tmp_path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "cost" in content:  # speed on a large photograph is no part of what is asked here
        content["cost"] |= {"batches": [1], "photograph": [320, 240]}
        content["cost"]["measure"] = "quick" if "tasks" not in content else "off"
    suite = tmp_path / path.name
    suite.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    arguments = ["run", str(suite), "--demo", "--data-root", str(data), "--device", "cpu"]
    arguments += ["--out", str(tmp_path / "out"), "--encoders", SMALL]
    result = CliRunner().invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)
    assert not result.return_value, result.output
    run = read_run(tmp_path / "out" / path.stem / "latest")
    assert (run.info.status, run.info.cells["failed"], run.info.cells["missing"]) == ("done", 0, 0)
    assert {e.name for e in run.info.encoders} == {SMALL}
    assert f"with other encoders: {SMALL}" in run.info.title
    assert all(d.simulated for d in run.info.datasets)
    assert all("SYNTHETIC" in row.stamps for row in run.rows)
    assert (run.folder / "report.html").stat().st_size > 10_000


def test_other_encoders_replace_the_suite_s_own_wherever_it_names_them():
    names = [SMALL, "resnet50"]
    for path in shipped_suites():
        original = load_suite(path)
        changed = with_encoders(original, names)
        assert [e.name for e in changed.suite.encoders] == names
        assert all(p.encoders is None for p in changed.suite.protocols)
        assert changed.suite.statistics.comparisons == "all"
        assert changed.suite.tasks == original.suite.tasks
        assert changed.suite.datasets == original.suite.datasets
        assert yaml.safe_load(changed.source.text)["encoders"] == names
