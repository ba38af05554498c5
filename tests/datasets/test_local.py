"""Your own folder: labels.csv makes a dataset without code."""

from __future__ import annotations

import os

import pytest

from benchbench.datasets import load_dataset
from benchbench.datasets.local import local_dataset, local_names, with_local_datasets
from benchbench.errors import DataError
from benchbench.plugins import registry

from .conftest import rows, write_image


def test_a_folder_with_a_labels_csv_is_a_dataset_under_its_own_name(clinic):
    root = clinic(rows())
    assert local_names(registry(), root) == ["my_clinic"]
    info, task = with_local_datasets(registry(), root, ["my_clinic"]).task("my_clinic/label")
    assert (task.kind, task.classes, info.cluster, info.default_split) == (
        "binary",
        ("0", "1"),
        "patient_id",
        "grouped_stratified",
    )
    d = load_dataset(info, root)
    assert (d.frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_words_are_classes_and_the_negative_one_comes_first(clinic):
    words = [r.replace(",0,", ",healthy,").replace(",1,", ",glaucoma,") for r in rows()]
    info = local_dataset(clinic(words) / "my_clinic")
    assert info.tasks[0].classes == ("healthy", "glaucoma")


def test_a_card_makes_a_column_ordinal_and_names_its_classes(clinic):
    root = clinic([f"{k:03d}.png,{k % 3},p{k}" for k in range(30)])
    (root / "my_clinic" / "dataset.yaml").write_text(
        "title: My clinic\ntasks:\n  label: {kind: ordinal, classes: [none, mild, severe]}\n"
    )
    d = load_dataset(local_dataset(root / "my_clinic"), root)
    assert d.info.title == "My clinic"
    assert d.info.tasks[0].kind == "ordinal"
    assert sum(d.counts("label")["train"].values()) + sum(d.counts("label")["test"].values()) > 20


def test_several_columns_are_several_tasks_and_free_text_is_none(clinic):
    lines = [f"{k:03d}.png,{k % 2},{'ab'[k % 2]},note {k} {'x' * k}" for k in range(45)]
    info = local_dataset(clinic(lines, "image,referable,grade,remark") / "my_clinic")
    assert [t.name for t in info.tasks] == ["referable", "grade"]


def test_images_are_found_without_suffix_and_beside_the_table(clinic):
    root = clinic(rows(20))
    folder = root / "my_clinic"
    write_image(folder / "extra.JPG", 5)
    text = (folder / "labels.csv").read_text().replace("000.png", "000") + "extra,1,p99\n"
    (folder / "labels.csv").write_text(text)
    assert len(load_dataset(local_dataset(folder), root)) == 21


@pytest.mark.parametrize("header", ["patient_id", "Patient", "Patient ID", "PATIENTID", "Subject_ID"])
def test_the_patient_column_is_known_under_its_usual_headers_and_never_becomes_a_task(clinic, header):
    root = clinic(rows(), f"Image,label,{header}")
    info = local_dataset(root / "my_clinic")
    assert local_names(registry(), root) == ["my_clinic"]
    assert [t.name for t in info.tasks] == ["label"]
    assert info.cluster == "patient_id"
    d = load_dataset(info, root)
    assert d.patients == 20
    assert (d.frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_a_column_that_may_hold_the_patients_is_asked_about_instead_of_ignored(clinic):
    with pytest.raises(DataError, match="'hospital_patient_key' may hold the patients"):
        local_dataset(clinic(rows(), "image,label,hospital_patient_key") / "my_clinic")
    beside = [f"{k:03d}.png,{k % 2},p{k // 2},{k % 2}" for k in range(40)]
    info = local_dataset(clinic(beside, "image,label,patient,patient_smokes", "other") / "other")
    assert [t.name for t in info.tasks] == ["label", "patient_smokes"]


def test_none_is_a_class_among_words_and_not_labelled_among_numbers(clinic):
    words = [r.replace(",0,", ",none,").replace(",1,", ",severe,") for r in rows()]
    root = clinic(words)
    d = load_dataset(local_dataset(root / "my_clinic"), root)
    assert d.info.tasks[0].classes == ("none", "severe")
    assert sum(c["none"] for c in d.counts("label").values()) == 20
    numbers = [r.replace(",0,", ",none,") if k < 4 else r for k, r in enumerate(rows())]
    root = clinic(numbers, name="other")
    d = load_dataset(local_dataset(root / "other"), root)
    assert d.info.tasks[0].classes == ("0", "1")
    assert int(d.frame["label"].isna().sum()) == 2


@pytest.mark.parametrize(
    ("first", "second", "classes"),
    [("normal", "referable", ("Normal", "referable")), ("1", "2", ("1", "2")), ("1.0", "2.0", ("1", "2"))],
)
def test_one_class_in_two_spellings_is_one_and_codes_need_not_start_at_zero(clinic, first, second, classes):
    lines = [f"{k:03d}.png,{(first, second)[(k // 2) % 2]},p{k // 2}" for k in range(40)]
    lines[0] = lines[0].replace("normal", "Normal").replace("1.0,", "1,")
    root = clinic(lines)
    d = load_dataset(local_dataset(root / "my_clinic"), root)
    assert (d.info.tasks[0].kind, d.info.tasks[0].classes) == ("binary", classes)
    assert d.frame["label"].value_counts().to_dict() == {0.0: 20, 1.0: 20}


def test_codes_of_classes_that_the_card_names_are_understood_as_well(clinic):
    root = clinic([f"{k:03d}.png,{float(k % 3)},p{k}" for k in range(30)])
    (root / "my_clinic" / "dataset.yaml").write_text("tasks:\n  label: {classes: [none, mild, severe]}\n")
    d = load_dataset(local_dataset(root / "my_clinic"), root)
    assert d.frame["label"].tolist() == [float(k % 3) for k in range(30)]


def test_case_of_suffixes_and_of_the_images_folder_does_not_matter(clinic):
    root = clinic(rows())
    folder = root / "my_clinic"
    (folder / "images").rename(folder / "Images")
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("000.png", "000.PNG").replace("001.png", "Images\\001.png"))
    assert len(load_dataset(local_dataset(folder), root)) == 40


def test_a_unicode_export_of_excel_is_found_and_read(clinic):
    root = clinic(rows())
    path = root / "my_clinic" / "labels.csv"
    path.write_bytes(path.read_text().replace(",", "\t").encode("utf-16"))
    assert local_names(registry(), root) == ["my_clinic"]
    assert len(load_dataset(local_dataset(root / "my_clinic"), root)) == 40


@pytest.mark.parametrize(
    "card", ["tasks: {label: ordinal}", "tasks: {label: {classes: normal}}", "modality: fundus"]
)
def test_a_card_that_says_something_else_than_it_may_is_refused_with_an_example(clinic, card):
    root = clinic(rows())
    (root / "my_clinic" / "dataset.yaml").write_text(card + "\n")
    with pytest.raises(DataError, match="kind: "):
        local_dataset(root / "my_clinic")


def test_every_fault_of_the_table_is_named_with_its_line(clinic):
    root = clinic(rows(12), "image,label,patient")
    folder = root / "my_clinic"
    text = (folder / "labels.csv").read_text().replace("003.png", "gone.png") + "../../etc/passwd,1,p\n"
    (folder / "labels.csv").write_text(text)
    with pytest.raises(DataError) as error:
        load_dataset(local_dataset(folder), root)
    assert "labels.csv, line 5: no image file for 'gone.png'" in str(error.value)
    assert "line 14: no image file for '../../etc/passwd'" in str(error.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [("picture,label", "call the column with the file names `image`"), ("image,patient", "no label column")],
)
def test_a_table_without_images_or_labels_is_refused(clinic, header, message):
    root = clinic([f"{k:03d}.png,{k}" for k in range(60)], header)
    with pytest.raises(DataError, match=message):
        local_dataset(root / "my_clinic")


def test_a_card_with_an_unknown_key_is_refused(clinic):
    root = clinic(rows())
    (root / "my_clinic" / "dataset.yaml").write_text("titel: x\n")
    with pytest.raises(DataError, match="title"):
        local_dataset(root / "my_clinic")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\ntitle: [*b, *b]\n", "aliases"),
        ("title: " + "[" * 5000, "nested"),
        ("title: 2001-99-99\n", "2001-99-99"),
        ("tasks:\n  label: {classes: 3}\n", "classes"),
        ("tasks:\n  label: {kind: nominal}\n", "kind"),
        ("- title\n", "understood"),
        ("title: !!python/object/apply:os.getcwd []\n", "tags"),
    ],
)
def test_a_broken_or_hostile_card_is_one_plain_error(clinic, card, said):
    root = clinic(rows())
    (root / "my_clinic" / "dataset.yaml").write_text(card)
    with pytest.raises(DataError, match=said) as error:
        local_dataset(root / "my_clinic")
    assert "dataset.yaml" in error.value.where


def test_a_broken_folder_beside_it_does_not_disturb_the_dataset_that_is_asked_for(clinic):
    root = clinic(rows())
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "labels.csv")  # reading it would never end
    (root / "broken").mkdir()
    (root / "broken" / "labels.csv").write_text("image,label\n")
    assert "my_clinic" in with_local_datasets(registry(), root, ["my_clinic"]).datasets
    assert "pipe" not in local_names(registry(), root)


@pytest.mark.parametrize("name", ["..", ".", "", "../data/my_clinic"])
def test_a_name_that_is_a_path_is_no_dataset(clinic, name):
    root = clinic(rows())
    (root.parent / "labels.csv").write_text("image,label\n")
    assert name not in with_local_datasets(registry(), root, [name]).datasets


def test_a_cell_without_end_and_an_infinite_label_are_named(clinic):
    root = clinic([row.replace(",p", ",inf,p") for row in rows()], "image,label,reading,patient")
    path = root / "my_clinic" / "labels.csv"
    assert [t.name for t in local_dataset(root / "my_clinic").tasks] == ["label"]
    path.write_text(path.read_text() + '"' + "x" * 200_000)
    with pytest.raises(DataError, match="not a table"):
        local_dataset(root / "my_clinic")


def test_two_columns_of_one_name_and_a_name_no_file_can_have_are_refused_in_plain_words(clinic):
    root = clinic(rows())
    path = root / "my_clinic" / "labels.csv"
    good = path.read_text()
    path.write_text(good.replace("image,label,patient", "image,label,label"))
    with pytest.raises(DataError, match="two columns of the same name: label"):
        local_dataset(root / "my_clinic")
    path.write_text(good + "x" * 5000 + ",1,p\n")
    with pytest.raises(DataError, match="no image file"):
        load_dataset(local_dataset(root / "my_clinic"), root)


def test_excel_exports_with_semicolons_and_a_bom_are_read(clinic):
    root = clinic(rows())
    path = root / "my_clinic" / "labels.csv"
    text = path.read_text().replace(",", ";").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert local_names(registry(), root) == ["my_clinic"]
    assert len(load_dataset(local_dataset(root / "my_clinic"), root)) == 40
