"""Reading label files and folders: what is refused by name instead of becoming a class, a patient or nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchbench.datasets.reading import (
    Problems,
    code,
    find_base,
    find_image,
    image_files,
    read_table,
    whole_number,
)
from benchbench.errors import DataError

from .conftest import write_image


@pytest.mark.parametrize("cell", ["inf", "-inf", "+nan", "-nan", "1.5", "-1", "5", "two", "NULL"])
def test_a_cell_that_is_no_code_is_a_problem_and_never_a_crash(cell):
    problems = Problems("x")
    assert math.isnan(code(cell, 5, problems, "line 2"))
    assert len(problems.lines) == 1


def test_a_mapping_is_asked_before_a_word_counts_as_empty():
    problems = Problems("x")
    assert code("None", {"none": 0, "mild": 1}, problems, "line 2") == 0.0
    assert math.isnan(code("none", {"mild": 1}, problems, "line 3"))
    assert problems.lines == []


def test_a_word_in_another_case_is_known_and_an_unknown_one_is_named_with_the_known():
    problems = Problems("x")
    assert code("adequate", {"Adequate": 0, "Inadequate": 1}, problems, "line 2") == 0.0
    code("fair", {"Adequate": 0, "Inadequate": 1}, problems, "line 3")
    assert problems.lines == ["line 3: 'fair' is none of Adequate, Inadequate"]


def test_a_patient_number_keeps_all_digits_and_text_is_a_problem():
    problems = Problems("x")
    assert whole_number("12345678.0", problems, "line 2") == "12345678"
    assert whole_number("", problems, "line 3") == whole_number("anna", problems, "line 4") == ""
    assert len(problems.lines) == 2


def test_two_files_of_one_name_are_refused_instead_of_one_vanishing(tmp_path):
    write_image(tmp_path / "1.png", 0)
    write_image(tmp_path / "1.jpg", 1)
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png"):
        image_files(tmp_path)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".ppm", ".TIF", ".jpeg"])
def test_the_usual_image_formats_are_seen(tmp_path, suffix):
    write_image(tmp_path / f"x{suffix}", 0)
    assert find_image(image_files(tmp_path), "x") == tmp_path / f"x{suffix}"


@pytest.mark.parametrize(
    ("text", "message"), [("image,label\n", "no row"), ("image,image\na,b\n", "image twice"), ("", "empty")]
)
def test_a_table_without_rows_or_with_a_column_twice_is_refused(tmp_path: Path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "labels.csv", ("image",), "x")


def test_a_set_that_lies_too_deep_is_an_error_that_says_to_move_it_up(tmp_path: Path):
    base = tmp_path / "a" / "b" / "c" / "d"
    (base / "images").mkdir(parents=True)
    assert find_base(tmp_path, ["images"], "x") == base
    deeper = tmp_path / "top"
    deeper.mkdir()
    (tmp_path / "a").rename(deeper / "a")
    with pytest.raises(DataError, match="deeper than 4 folders: move it up"):
        find_base(tmp_path, ["images"], "x")


def test_the_nearest_of_several_folders_is_the_set(tmp_path: Path):
    (tmp_path / "a" / "a" / "a" / "images").mkdir(parents=True)
    (tmp_path / "z" / "images").mkdir(parents=True)
    assert find_base(tmp_path, ["images"], "x") == tmp_path / "z"


def test_a_tree_of_patients_is_not_walked_to_its_ends(tmp_path: Path, monkeypatch):
    from benchbench.datasets import reading

    for patient in range(30):
        for visit in range(6):
            (tmp_path / "set" / "images" / f"p{patient}" / f"v{visit}").mkdir(parents=True)
    looked = []
    folders = reading._folders
    monkeypatch.setattr(reading, "_folders", lambda f: looked.append(f) or folders(f))
    with pytest.raises(DataError, match="not found: labels"):
        find_base(tmp_path, ["labels.csv", "images"], "x")
    assert len(looked) <= 3
