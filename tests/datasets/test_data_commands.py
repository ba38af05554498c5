"""bench data: what a person types and reads."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from benchbench.cli import bench
from benchbench.cli.data import data
from benchbench.errors import BenchError

from .conftest import rows


def invoke(*arguments: str):
    return CliRunner().invoke(data, [str(a) for a in arguments], catch_exceptions=False)


def test_list_names_every_dataset_and_one_s_own_folders(clinic):
    root = clinic(rows())
    found = {r["name"]: r for r in json.loads(invoke("list", "--json", "--data-root", root).output)}
    assert found["idrid"]["folder"] == "-"
    assert found["my_clinic"]["folder"] == "there"


def test_how_to_shows_licence_steps_and_layout():
    text = invoke("how-to", "messidor2").output
    for piece in ("research use by request", "ADCIS", "messidor-2.csv", "bench data verify messidor2"):
        assert piece in text


def test_simulate_then_verify_says_simulated_and_exits_0(tmp_path):
    assert invoke("simulate", "idrid", "--root", tmp_path, "--images", "40").exit_code == 0
    result = invoke("verify", "idrid", "--data-root", tmp_path, "--write-split", tmp_path / "split.txt")
    assert result.exit_code == 0
    assert "SIMULATED" in result.output
    assert "6 sets, 4 with conflicting labels" in result.output
    lines = (tmp_path / "split.txt").read_text().splitlines()
    assert len(lines) == 40
    assert lines[0].split("\t")[1] in ("train", "test")


def test_verify_exits_3_when_the_counts_are_not_the_original_s(tmp_path):
    invoke("simulate", "idrid", "--root", tmp_path, "--images", "40")
    (tmp_path / "idrid" / "SIMULATED.txt").unlink()
    result = invoke("verify", "idrid", "--data-root", tmp_path)
    assert result.exit_code == 3
    assert "WRONG  total: 40 (expected 516)" in result.output


def test_prepare_shrinks_images_keeps_labels_and_writes_where_they_came_from(tmp_path):
    invoke("simulate", "idrid", "--root", tmp_path / "d", "--images", "40")
    result = invoke(
        "prepare", "idrid", "--data-root", tmp_path / "d", "--out", tmp_path / "small", "--side", "128"
    )
    assert result.exit_code == 0
    folder = tmp_path / "small" / "idrid"
    record = json.loads((folder / "PREPARED.json").read_text())
    assert len(record["images"]) == 40
    name, source = next(iter(record["images"].items()))
    with Image.open(folder / name) as image:
        assert max(image.size) == 128
    assert max(source["size_original"]) == 386
    labels = "B. Disease Grading/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv"
    assert (folder / labels).read_bytes() == (tmp_path / "d" / "idrid" / labels).read_bytes()
    assert "SIMULATED" in invoke("verify", "idrid", "--data-root", tmp_path / "small").output


def test_a_missing_data_root_is_asked_for():
    with pytest.raises(BenchError, match="BENCHBENCH_DATA"):
        invoke("verify", "idrid")


def test_audit_of_a_suite_names_the_leak_and_exits_1(tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [idrid/referable]\nprotocols: [linear_probe]\n"
        "datasets:\n  idrid:\n    simulated: {images: 40, seed: 0}\n"
    )
    result = CliRunner().invoke(bench, ["audit", str(suite)], catch_exceptions=False, standalone_mode=False)
    assert "leak" in result.output
    assert "1 leak(s)" in result.output
    assert "contamination" not in result.output
