"""bench data: what a person types and reads."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from benchbench.cli import bench
from benchbench.cli.data import data
from benchbench.errors import BenchError

from .conftest import rows, write_image


def invoke(*arguments: str):
    return CliRunner().invoke(data, [str(a) for a in arguments], catch_exceptions=False)


def test_list_names_every_dataset_and_one_s_own_folders(clinic):
    root = clinic(rows())
    found = {r["name"]: r for r in json.loads(invoke("list", "--json", "--data-root", root).output)}
    assert found["idrid"]["folder"] == "-"
    assert found["my_clinic"]["folder"] == "there"


def test_how_to_of_a_table_of_one_s_own_says_which_words_are_eyes():
    assert "The eye is OD, OS or empty" in " ".join(invoke("how-to", "areds").output.split())


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


def test_verify_counts_classes_and_parts_even_where_only_a_total_is_known(tmp_path):
    invoke("simulate", "oct2017", "--root", tmp_path, "--images", "64")
    (tmp_path / "oct2017" / "SIMULATED.txt").unlink()
    output = invoke("verify", "oct2017", "--data-root", tmp_path).output
    assert "(expected 84484 or 109309)" in output
    for piece in ("label=0 (NORMAL): ", "test/label=1 (CNV): ", "  train: "):
        assert piece in output


def test_verify_counts_the_images_that_are_not_labelled(clinic):
    lines = rows()
    lines[4] = "004.png,,p2"
    assert "label not labelled: 1" in invoke("verify", "my_clinic", "--data-root", clinic(lines)).output


def test_both_releases_of_oct2017_are_the_original():
    from benchbench.datasets.loading import expected_counts
    from benchbench.plugins import registry

    assert set(expected_counts(registry().datasets["oct2017"], {})["total"]) == {84484, 109309}


def test_an_option_that_changes_the_table_is_not_held_against_the_original_s_counts(tmp_path):
    invoke("simulate", "papila", "--root", tmp_path, "--images", "40")
    (tmp_path / "papila" / "SIMULATED.txt").unlink()
    result = invoke("verify", "papila", "--data-root", tmp_path, "--option", "suspect=drop")
    assert result.exit_code == 0
    assert "WRONG" not in result.output
    assert "hold for the default options" in result.output
    assert invoke("verify", "papila", "--data-root", tmp_path).exit_code == 3


def test_two_grades_swapped_in_the_real_idrid_table_are_found_although_every_count_is_right(shared, tmp_path):
    import shutil

    source = shared / "realdata" / "idrid" / "B. Disease Grading"
    target = tmp_path / "idrid" / "B. Disease Grading"
    target.mkdir(parents=True)
    (target / "1. Original Images").symlink_to(source / "1. Original Images")
    shutil.copytree(source / "2. Groundtruths", target / "2. Groundtruths")
    good = invoke("verify", "idrid", "--data-root", tmp_path)
    assert good.exit_code == 0
    assert "2 of 2 are the original files" in good.output
    labels = target / "2. Groundtruths" / "a. IDRiD_Disease Grading_Training Labels.csv"
    lines = labels.read_bytes().split(b"\r\n")
    cells = [line.split(b",") for line in lines]
    assert cells[1][1] != cells[5][1]
    cells[1][1], cells[5][1] = cells[5][1], cells[1][1]
    labels.write_bytes(b"\r\n".join(b",".join(c) for c in cells))
    bad = invoke("verify", "idrid", "--data-root", tmp_path)
    assert bad.exit_code == 3
    assert "different: a. IDRiD_Disease Grading_Training Labels.csv" in bad.output


def test_a_copy_in_class_folders_is_held_against_the_original_s_files_by_name(tmp_path):
    """APTOS in class folders, one of five images changed."""
    import dataclasses
    import hashlib

    from benchbench.datasets.verify import verify
    from benchbench.plugins import registry

    digests = {}
    for k, name in enumerate(("No_DR", "Mild", "Moderate", "Severe", "Proliferate_DR")):
        path = tmp_path / "aptos2019" / "colored_images" / name / f"00{k}.png"
        path.parent.mkdir(parents=True)
        write_image(path, k)
        digests[f"train_images/00{k}.png"] = hashlib.sha256(path.read_bytes()).hexdigest()
    digests["train_images/004.png"] = "0" * 64
    info = dataclasses.replace(registry().datasets["aptos2019"], checksums=lambda: digests)
    (found,) = [c.found for c in verify(info, tmp_path).checks if c.name == "image sha256"]
    assert found == "4 of 5 images are the original files; different: 004.png"


def test_a_part_that_was_deleted_is_noted_in_every_run(tmp_path):
    import shutil

    from benchbench.datasets import load_dataset
    from benchbench.plugins import registry

    invoke("simulate", "oct2017", "--root", tmp_path, "--images", "64")
    (tmp_path / "oct2017" / "SIMULATED.txt").unlink()
    shutil.rmtree(tmp_path / "oct2017" / "OCT2017 " / "train" / "CNV")
    d = load_dataset(registry().datasets["oct2017"], tmp_path)
    assert any(f"{len(d)} images here, 84,484 or 109,309 in the original" in note for note in d.notes)
