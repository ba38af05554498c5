"""From a folder to a LoadedDataset: what is refused by name, what is grouped, what is fingerprinted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.datasets import load_dataset
from benchbench.datasets.images import check_image
from benchbench.datasets.loading import _together
from benchbench.datasets.local import local_dataset
from benchbench.errors import DataError, SuiteError
from benchbench.images import decode, image_size
from benchbench.plugins import registry
from benchbench.splits import SplitSpec
from benchbench.store import Store

from .conftest import rows, write_image


def load(root: Path, name: str = "my_clinic", **settings):
    return load_dataset(local_dataset(root / name), root, **settings)


def test_all_bad_images_are_named_together_before_anything_is_computed(clinic):
    root = clinic(rows())
    images = root / "my_clinic" / "images"
    (images / "003.png").write_bytes((images / "003.png").read_bytes()[:200])
    (images / "007.png").write_bytes(b"")
    (images / "011.png").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(DataError) as error:
        load(root)
    text = str(error.value)
    assert "003.png" in text
    assert "007.png is empty" in text
    assert "011.png is not an image" in text
    assert "3 image file(s)" in text


def test_faults_of_the_table_and_of_images_come_together_and_a_long_list_is_kept_in_a_file(clinic):
    lines = rows()
    lines[0] = lines[0].replace(",0,", ",zero,")
    root = clinic(lines)
    card = root / "my_clinic" / "dataset.yaml"
    card.write_text("tasks: {label: {classes: ['0', '1']}}\n")
    for image in sorted((root / "my_clinic" / "images").iterdir())[10:]:
        image.write_bytes(b"")
    store = Store()
    with pytest.raises(DataError) as error:
        load(root, store=store)
    text = str(error.value)
    assert "1 problem(s) in the files" in text
    assert "'zero'" in text
    assert "30 image file(s) cannot be used" in text
    kept = store.root / "problems" / "my_clinic.txt"
    assert f"and 11 more; all 31 are listed in {kept}" in text
    assert len(kept.read_text().splitlines()) == 31
    assert "images/039.png is empty (0 bytes)" in kept.read_text()


def test_a_long_list_of_names_that_are_no_utf8_is_kept_as_well(tmp_path):
    store = Store(tmp_path / "s")
    broken = [os.fsdecode(b"\xff%d.png is empty" % i) for i in range(30)]
    error = _together(registry().datasets["idrid"], tmp_path, store, None, broken)
    assert "30 image file(s)" in str(error)
    assert (store.root / "problems" / "idrid.txt").read_text().splitlines()[7] == "\\udcff7.png is empty"


def test_a_plugin_that_raises_anything_while_it_reads_is_named(tmp_path):
    import dataclasses

    def broken(root, options):
        raise KeyError("grade_column")

    (tmp_path / "idrid").mkdir()
    info = dataclasses.replace(registry().dataset("idrid"), load=broken)
    with pytest.raises(DataError, match=r"'idrid' .benchbench-retina .* failed: KeyError: 'grade_column'"):
        load_dataset(info, tmp_path)


def test_a_truncated_jpeg_is_found_even_when_its_header_is_fine(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert check_image(whole) == ""
    assert "truncated" in check_image(cut)


def test_an_image_that_claims_absurd_sizes_is_refused_unread(tmp_path):
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(bomb)
    assert "more" in check_image(bomb)
    Image.new("L", (4, 400)).save(bomb)
    assert "4 x 400 pixels, a side below" in check_image(bomb)


@pytest.mark.parametrize("size", [(12_000, 12_600), (12_000, 12_400), (7, 40), (7, 7), (4, 400), (16, 1100)])
def test_what_the_check_refuses_and_what_decoding_refuses_is_the_same(tmp_path, size):
    path = tmp_path / "a.png"
    Image.new("1", size).save(path)
    try:
        image_size(path)
        refused = False
    except DataError:
        refused = True
    assert bool(check_image(path)) == refused == (size != (12_000, 12_400))


def test_an_image_of_another_format_starts_no_program_whatever_its_name_says(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(path, "EPS")

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen.__init__", started)
    assert "is not an image" in check_image(path)
    with pytest.raises(DataError, match="not an image"):
        decode(path)


def test_a_large_image_that_is_accepted_gives_no_warning(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (10_000, 10_000)).save(path)
    script = (
        "import sys; from pathlib import Path; from benchbench.datasets.images import check_image; "
        "print(repr(check_image(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("''\n", "")


def test_a_good_file_is_checked_once_and_a_changed_one_again(clinic, monkeypatch):
    root = clinic(rows())
    store = Store()
    load(root, store=store)
    import benchbench.datasets.images as images

    read: list[Path] = []
    monkeypatch.setattr(images, "check_image", lambda p: read.append(p) or "")
    load(root, store=store)
    assert read == []
    write_image(root / "my_clinic" / "images" / "005.png", 999)
    load(root, store=store)
    assert [p.name for p in read] == ["005.png"]


def test_identical_files_join_the_groups_of_their_patients(clinic):
    root = clinic(rows())
    images = root / "my_clinic" / "images"
    shutil.copyfile(images / "000.png", images / "039.png")  # patients p0 and p19
    d = load(root)
    groups = dict(zip(d.image_ids, d.frame["group"], strict=True))
    assert groups["000.png"] == groups["001.png"] == groups["038.png"] == groups["039.png"] == "p0"
    assert len(set(groups.values())) == 19
    assert any("identical" in note for note in d.notes)


@pytest.mark.parametrize("kind", ["grouped_stratified", "kfold"])
def test_identical_files_follow_the_split_s_word_for_duplicates(clinic, kind):
    root = clinic([f"{k:03d}.png,{k % 2},p{k}" for k in range(60)])
    images = root / "my_clinic" / "images"
    for k in range(0, 20, 2):
        shutil.copyfile(images / f"{k:03d}.png", images / f"{k + 20:03d}.png")  # the labels agree
        shutil.copyfile(images / f"{k + 1:03d}.png", images / f"{k + 40:03d}.png")  # the labels differ

    def crossing(duplicates: str):
        d = load(root, split=SplitSpec(kind, duplicates=duplicates))  # type: ignore[arg-type]
        used = d.frame[d.frame["split"] != ""]
        return d, int((used.groupby("sha256")["split"].nunique() > 1).sum())

    grouped, none = crossing("group")
    kept, some = crossing("keep")
    dropped, left = crossing("drop_conflicts")
    assert (none, left) == (0, 0)
    assert some > 0
    assert len(set(grouped.frame["group"])) == 40
    assert len(set(kept.frame["group"])) == 60
    out = dropped.frame[dropped.frame["split"] == ""]["image_id"]
    assert set(out) == {f"{k:03d}.png" for k in (*range(1, 20, 2), *range(40, 60, 2))}
    assert "duplicates=drop_conflicts" in str(dropped.split)
    assert SplitSpec.parse(str(dropped.split)) == dropped.split


def test_part_holds_only_labelled_rows_and_their_positions(clinic):
    lines = rows()
    lines[4] = "004.png,,p2"
    d = load(clinic(lines))
    whole = d.part("label", "all")
    assert len(whole) == 39
    assert "004.png" not in whole.image_ids
    assert [d.image_ids[r] for r in whole.rows] == list(whole.image_ids)
    assert sum(len(d.part("label", s)) for s in ("train", "val", "test")) == 39
    assert d.counts("label")["train"] == {
        str(c): int((d.part("label", "train").labels == c).sum()) for c in (0, 1)
    }


def test_fingerprints_change_with_what_they_stand_for_and_with_nothing_else(clinic):
    root = clinic(rows())
    first = load(root)
    again = load(root, store=Store(root / "other_store"))
    assert first.image_fingerprint == again.image_fingerprint
    assert first.split_fingerprint == again.split_fingerprint
    assert load(root, split=SplitSpec("kfold")).split_fingerprint != first.split_fingerprint
    labels = root / "my_clinic" / "labels.csv"
    labels.write_text(labels.read_text().replace("000.png,0", "000.png,1"))
    changed = load(root)
    assert changed.label_fingerprint("label") != first.label_fingerprint("label")
    assert changed.image_fingerprint == first.image_fingerprint
    write_image(root / "my_clinic" / "images" / "000.png", 777)
    assert load(root).image_fingerprint != first.image_fingerprint


def test_a_data_root_one_folder_too_low_or_too_high_is_said_so(clinic):
    root = clinic(rows(), name="idrid")
    info = registry().dataset("idrid")
    with pytest.raises(DataError, match="too low.*--data-root " + str(root)):
        load_dataset(info, root / "idrid")
    with pytest.raises(DataError, match="too high.*--data-root " + str(root)):
        load_dataset(info, root.parent)
    shutil.copytree(root, root.parent / "far" / "above" / "data")
    with pytest.raises(
        DataError, match="too high.*--data-root " + str(root.parent / "far" / "above" / "data")
    ):
        load_dataset(info, root.parent / "far")
    with pytest.raises(DataError, match="too low.*--data-root " + str(root)):
        load_dataset(info, root / "idrid" / "images")
    with pytest.raises(DataError, match=r"holds: idrid/(.|\n)*bench data how-to papila"):
        load_dataset(registry().dataset("papila"), root)


def test_a_dataset_folder_under_another_name_or_none_is_said_so(tmp_path):
    info = registry().dataset("idrid")
    (tmp_path / "flat" / "B. Disease Grading").mkdir(parents=True)
    with pytest.raises(DataError, match="move them into the folder " + str(tmp_path / "flat" / "idrid")):
        load_dataset(info, tmp_path / "flat")
    (tmp_path / "odd" / "IDRiD").mkdir(parents=True)
    with pytest.raises(DataError, match=r"rename .*IDRiD to idrid"):
        load_dataset(info, tmp_path / "odd")


def test_unknown_options_and_choices_are_refused_with_the_nearest_word(clinic):
    info = registry().dataset("papila")
    (clinic(rows()) / "papila").mkdir()
    root = clinic(rows())
    with pytest.raises(SuiteError, match="did you mean 'suspect'"):
        load_dataset(info, root, options={"suspects": "drop"})
    with pytest.raises(SuiteError, match="class, drop, glaucoma"):
        load_dataset(info, root, options={"suspect": "maybe"})


def test_a_task_without_test_images_of_a_class_is_an_error_or_a_note(clinic):
    lines = [f"{k:03d}.png,{k % 3},p{k},{'test' if k > 30 and k % 3 else 'train'}" for k in range(40)]
    d = load(clinic(lines, "image,label,patient,split"))
    assert d.split.kind == "official"
    assert d.check_task("label", "train") == ()
    (note,) = d.check_task("label", "test")
    assert "no test image of 0" in note
    binary = [line.replace(",2,", ",1,") for line in lines]
    with pytest.raises(DataError, match="test split has no image of class '0'"):
        load(clinic(binary, "image,label,patient,split", "other"), "other").check_task("label", "test")


def test_a_split_that_leaves_the_test_part_empty_is_refused(clinic):
    with pytest.raises(DataError, match="leaves the test part empty"):
        load(clinic(["a.png,0,p", "b.png,1,p", "c.png,1,p"]))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("grade", 7.0, "grade is 7, outside the scheme"),
        ("grade", 0.5, "outside the scheme"),
        ("split", "holdout", "split is 'holdout'"),
        ("image_id", "train/IDRiD_001", "more than once"),
        ("path", "/nowhere/x.jpg", "image file is missing"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_refused_by_row(tmp_path, column, value, message):
    import dataclasses

    info = registry().dataset("idrid")
    write_image(tmp_path / "a.png", 0)

    def broken(root, options):
        import pandas as pd

        frame = pd.DataFrame(
            {
                "image_id": ["train/IDRiD_001", "test/IDRiD_001"],
                "path": [tmp_path / "a.png"] * 2,
                "patient_id": ["", ""],
                "eye": ["", ""],
                "split": ["train", "test"],
                "grade": [0.0, 1.0],
                "dme_risk": [0.0, np.nan],
            }
        ).astype({"path": object})
        frame.loc[1, column] = value
        return frame

    (tmp_path / "idrid").mkdir()
    with pytest.raises(DataError, match=message):
        load_dataset(dataclasses.replace(info, load=broken), tmp_path)
