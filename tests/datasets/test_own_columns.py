"""What a table made by hand means: every column is understood, or said to be left alone and why."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchbench.audit import audit
from benchbench.cli import bench
from benchbench.datasets import load_dataset
from benchbench.datasets.columns import read_labels
from benchbench.datasets.local import find_dataset, local_dataset
from benchbench.datasets.reading import read_table
from benchbench.errors import BenchError, DataError, PluginError
from benchbench.plugins import registry

from .conftest import rows, write_image


def own(root: Path, name: str = "my_clinic"):
    return local_dataset(root / name)


def column(*cells: str, name: str = "label"):
    return read_labels(name, list(cells))


def test_grades_in_words_need_their_order(clinic):
    words = ("none", "severe", "mild", "moderate")
    root = clinic([f"{k:03d}.png,{words[k % 4]},p{k}" for k in range(40)])
    card = root / "my_clinic" / "dataset.yaml"
    card.write_text("tasks:\n  label: {kind: ordinal}\n")
    with pytest.raises(DataError, match="order is not known") as error:
        own(root)
    assert "label: {kind: ordinal, classes: [none, mild, moderate, severe]}" in error.value.fix
    card.write_text("tasks:\n  label: {kind: ordinal, classes: [none, mild, moderate, severe]}\n")
    assert own(root).tasks[0].classes == ("none", "mild", "moderate", "severe")


def test_numbers_are_grades_without_being_named(clinic):
    root = clinic([f"{k:03d}.png,{k % 4},p{k}" for k in range(40)])
    (root / "my_clinic" / "dataset.yaml").write_text("tasks:\n  label: {kind: ordinal}\n")
    assert own(root).tasks[0].kind == "ordinal"


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("NoDR", "DR"),
        ("nodr", "dr"),
        ("Non-glaucoma", "Glaucoma"),
        ("Nein", "Ja"),
        ("healthy control", "AMD"),
        ("-", "+"),
        ("Not referable", "Referable"),
        ("a", "B"),
        ("normal", "Normal tension glaucoma"),
        ("no", "nodule"),
    ],
)
def test_the_positive_class_depends_neither_on_case_nor_on_the_first_row(negative, positive):
    assert column(negative, positive).classes == (negative, positive)
    assert column(positive, negative).classes == (negative, positive)


def test_the_positive_class_of_words_is_said(clinic):
    root = clinic([r.replace(",0,", ",healthy control,").replace(",1,", ",AMD,") for r in rows()])
    d = load_dataset(own(root), root)
    assert any("positive class is 'AMD'" in n for n in d.notes)
    output = CliRunner().invoke(bench, ["data", "verify", "my_clinic", "--data-root", str(root)]).output
    assert "positive class is 'AMD'" in output


@pytest.mark.parametrize("header", ["PID", "MRN", "Pat_ID", "Case", "Fall-Nr", "CaseID"])
def test_more_names_of_the_patient_column_are_known(clinic, header):
    info = own(clinic(rows(), f"image,label,{header}"))
    assert info.cluster == "patient_id"
    assert [t.name for t in info.tasks] == ["label"]


def test_case_or_control_is_a_label(clinic):
    info = own(
        clinic([f"{k:03d}.png,{('case', 'control')[k % 2]},p{k // 2}" for k in range(40)], "image,case,pid")
    )
    assert [t.name for t in info.tasks] == ["case"]
    assert info.cluster == "patient_id"


def test_a_table_without_patients_is_warned_about(clinic):
    root = clinic([f"{k:03d}.png,{k % 2}" for k in range(40)], "image,label")
    found = audit([load_dataset(own(root), root)], [], [])
    assert [f.severity for f in found if "every image counts as a patient" in f.message] == ["warning"]
    root = clinic(rows(), name="named")
    assert not [
        f for f in audit([load_dataset(own(root, "named"), root)], [], []) if f.code == "no_patient_ids"
    ]


def test_a_column_left_alone_is_listed_with_its_reason_and_may_be_the_patients(clinic):
    lines = [
        f"{k:03d}.png,{k % 2},s{k // 2},19{40 + k // 2}-05-03,{k * 1.7:.1f},{k / 7:.2f}" for k in range(40)
    ]
    d = own(clinic(lines, "image,label,who,born,IOP mmHg,ratio"))
    assert [t.name for t in d.tasks] == ["label"]
    notes = {n.split("'")[1]: n for n in d.notes}
    assert set(notes) == {"who", "born", "IOP mmHg", "ratio"}
    assert "(20 different values): its values look like identifiers" in notes["who"]
    assert "call the column `patient`" in notes["who"]
    assert "dates" in notes["born"]
    assert "measurements such as" in notes["IOP mmHg"]


def test_only_columns_that_cannot_be_tasks_are_an_error_with_their_reasons(clinic):
    root = clinic([f"{k:03d}.png,DR,{k * 1.5}" for k in range(40)], "image,label,IOP mmHg")
    with pytest.raises(DataError, match="can be a task") as error:
        own(root)
    assert any("every label is 'DR'" in line for line in error.value.details)
    assert any("measurements" in line for line in error.value.details)


@pytest.mark.parametrize(
    "cells", [[f"{k},5" for k in range(30)], [f"{k}.5" for k in range(30)], ["1", "2,5", "3,5"]]
)
def test_measurements_are_no_classes_with_a_comma_either(cells):
    assert "measurements" in column(*cells).why


@pytest.mark.parametrize("mark", ["-", "#N/A", "NULL", "?", "missing", "."])
def test_marks_of_a_missing_label_are_no_class(clinic, mark):
    assert column("0", "1", mark).classes == ("0", "1")
    lines = [r.replace(",1,", f",{mark},") if k < 4 else r for k, r in enumerate(rows())]
    d = load_dataset(own(root := clinic(lines)), root)
    assert int(d.frame["label"].isna().sum()) == 2


def test_a_word_beside_numbers_is_a_class_and_is_doubted(clinic):
    labels = column("0", "1", "ungradable")
    assert labels.classes == ("0", "1", "ungradable")
    assert "'ungradable' beside numbers" in labels.doubt
    lines = [r.replace(",1,", ",ungradable,") if k < 4 else r for k, r in enumerate(rows())]
    assert any("ungradable" in n for n in own(clinic(lines)).notes)


def test_a_declared_column_that_is_no_task_does_not_vanish(clinic):
    root = clinic([f"{k:03d}.png,{k % 2},{k * 1.5},p{k}" for k in range(40)], "image,label,iop,patient")
    card = root / "my_clinic" / "dataset.yaml"
    card.write_text("tasks: {label: {}, iop: {}}\n")
    with pytest.raises(
        DataError, match=r"'iop', which dataset\.yaml declares, cannot be a task: measurements"
    ):
        own(root)
    card.write_text("tasks: {iop: {kind: regression}}\n")
    with pytest.raises(DataError, match="measurements are not judged"):
        own(root)


def test_a_header_with_a_slash_is_left_alone_and_said(clinic):
    root = clinic([f"{k:03d}.png,{k % 2},{k % 2},p{k}" for k in range(40)], "image,label,AMD/DR,patient")
    info = own(root)
    assert [t.name for t in info.tasks] == ["label"]
    assert any("'AMD/DR' is left alone" in n and "rename the column" in n for n in info.notes)


def test_a_set_that_is_all_for_testing_is_a_test_set(clinic):
    lines = [f"{r},test" for r in rows()]
    root = clinic(lines, "image,label,patient,split")
    d = load_dataset(own(root), root)
    assert (d.split.kind, set(d.frame["split"])) == ("official", {"test"})
    with pytest.raises(DataError, match="train split has no labelled image"):
        d.check_task("label", "train")
    assert d.check_task("label", "test") == ()
    assert CliRunner().invoke(bench, ["data", "verify", "my_clinic", "--data-root", str(root)]).exit_code == 0


@pytest.mark.parametrize("header", ["Partition", "Set", "which half"])
def test_a_split_under_another_name_is_the_split(clinic, header):
    lines = [f"{r},{'Test' if k >= 30 else 'Training'}" for k, r in enumerate(rows())]
    root = clinic(lines, f"image,label,patient,{header}")
    info = own(root)
    assert [t.name for t in info.tasks] == ["label"]
    d = load_dataset(info, root)
    assert d.frame["split"].value_counts().to_dict() == {"train": 30, "test": 10}


def test_a_word_that_is_no_part_of_a_split_is_named(clinic):
    lines = [f"{r},{'holdout' if k >= 30 else 'train'}" for k, r in enumerate(rows())]
    root = clinic(lines, "image,label,patient,Partition")
    with pytest.raises(DataError, match="line 32 and 9 more: split 'holdout' is none of train, val, test"):
        load_dataset(own(root), root)


def test_many_classes_without_patients_may_be_the_patients(clinic):
    lines = [f"{k:03d}.png,{k % 2},{'abcdefghijklmnopqrst'[k // 2]}" for k in range(40)]
    notes = own(clinic(lines, "image,label,person")).notes
    assert any(
        "'person' became a task of 20 classes" in n and "call the column `patient`" in n for n in notes
    )


def test_a_set_column_of_other_words_is_a_label(clinic):
    lines = [f"{k:03d}.png,{'AB'[k % 2]},p{k}" for k in range(20)]
    assert [t.name for t in own(clinic(lines, "image,set,patient")).tasks] == ["set"]


def test_rows_without_a_split_are_counted(clinic):
    lines = [f"{r},{'' if k < 6 else 'test' if k >= 30 else 'train'}" for k, r in enumerate(rows())]
    root = clinic(lines, "image,label,patient,split")
    output = CliRunner().invoke(bench, ["data", "verify", "my_clinic", "--data-root", str(root)]).output
    assert "6 images are in no part of the split official" in output


def test_the_split_says_by_which_column_it_is_balanced_and_the_card_may_choose(clinic):
    lines = [f"{k:03d}.png,{k % 2},{k // 20},p{k},195{k // 4}-01-0{1 + k % 4}" for k in range(40)]
    root = clinic(lines, "image,sex,label,patient,birth")
    card = root / "my_clinic" / "dataset.yaml"

    def provenance() -> str:
        found = audit([load_dataset(own(root), root)], [], [])
        return next(f.message for f in found if f.code == "split_provenance")

    assert "balanced by 'sex'" in provenance()
    card.write_text("balance: label\n")
    assert "balanced by 'label'" in provenance()
    shares = load_dataset(own(root), root).counts("label")["test"]
    assert abs(shares["0"] - shares["1"]) <= 1
    card.write_text("balance: birth\n")
    with pytest.raises(DataError, match="balances the split by 'birth', which is no task"):
        own(root)


def test_a_beginner_is_told_where_the_folder_should_be(clinic):
    root = clinic(rows())
    folder = root / "my_clinic"

    def said(data_root: Path | None, name: str = "my_clinic") -> str:
        with pytest.raises(PluginError) as error:
            find_dataset(registry(), name, data_root)
        return error.value.fix

    assert "--data-root D or BENCHBENCH_DATA=D" in said(None)
    assert f"too deep: use --data-root {root}" in said(folder)
    assert f"use --data-root {root}" in said(root.parent)
    assert "now holds: my_clinic/" in said(root, "my_clinics")
    (folder / "labels.csv").rename(folder / "labels.xlsx")
    assert f"save {folder / 'labels.xlsx'} as CSV" in said(root)
    (folder / "labels.xlsx").unlink()
    assert f"write the table {folder / 'labels.csv'}; the folder holds: images/" in said(root)


def test_the_suite_that_asks_for_it_says_the_same(clinic, tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [my_clinic/label]\nprotocols: [linear_probe]\n"
    )
    root = clinic(rows())
    with pytest.raises(BenchError, match="too deep: use --data-root"):
        CliRunner().invoke(
            bench,
            ["plan", str(suite), "--data-root", str(root / "my_clinic")],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_the_table_may_be_in_capitals_and_own_sets_and_suites_are_shown(clinic, tmp_path, monkeypatch):
    root = clinic(rows())
    path = root / "my_clinic" / "labels.csv"
    path.rename(path.with_name("Labels.CSV"))
    monkeypatch.setenv("BENCHBENCH_DATA", str(root))
    assert "my_clinic/label" in CliRunner().invoke(bench, ["show", "dataset", "my_clinic"]).output
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [my_clinic/label]\nprotocols: [linear_probe]\n"
    )
    output = CliRunner().invoke(bench, ["show", "suite", str(suite)]).output
    assert "primary metric" in output
    assert "No dataset" not in output


def test_no_simulation_is_advised_for_a_broken_folder_of_one_s_own(clinic, tmp_path):
    root = clinic(rows())
    (root / "my_clinic" / "images" / "003.png").unlink()
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [my_clinic/label]\nprotocols: [linear_probe]\n"
    )
    output = CliRunner().invoke(bench, ["plan", str(suite), "--data-root", str(root)]).output
    assert "no image file for '003.png'" in output
    assert "--demo" not in output


def test_a_set_that_is_all_for_testing_is_opened_whole_as_a_target(clinic, tmp_path):
    clinic(rows(), name="home")
    root = clinic([f"{r.replace(',p', ',q')},test" for r in rows()], "image,label,patient,split", "far")
    suite = tmp_path / "s.yaml"
    text = (
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [home/label, far/label]\nprotocols:\n"
        "  - {protocol: transfer, config: {sources: [home]}}\n"
    )
    suite.write_text(text)
    arguments = ["plan", str(suite), "--data-root", str(root)]
    result = CliRunner().invoke(bench, arguments)
    assert "1 to run, 0 cached, 0 with missing inputs" in result.output
    assert len(load_dataset(own(root, "far"), root).part("label", "test")) == 40
    suite.write_text(text.replace("[home]", "[home, far]"))
    output = CliRunner().invoke(bench, arguments).output
    assert "far/label: the train split has no labelled image to train on" in output
    assert "the whole set is for testing" in output
    assert "--demo" not in output


def test_files_are_found_however_their_accents_are_stored(clinic):
    root = clinic(rows(20))
    folder = root / "my_clinic"
    name = "Müller_01.png"
    write_image(folder / "images" / unicodedata.normalize("NFD", name), 77)
    text = (folder / "labels.csv").read_text()
    for asked in (name, name.removesuffix(".png"), unicodedata.normalize("NFD", name)):
        (folder / "labels.csv").write_text(f"{text}{unicodedata.normalize('NFC', asked)},1,p99\n")
        assert len(load_dataset(own(root), root)) == 21


def test_a_path_that_leads_into_the_folder_is_followed_and_one_that_does_not_is_explained(clinic):
    root = clinic(rows(20))
    folder = root / "my_clinic"
    text = (folder / "labels.csv").read_text()
    for asked in (
        str(folder / "images" / "000.png"),
        "my_clinic/images/000.png",
        r"C:\data\my_clinic\images\000.png",
    ):
        (folder / "labels.csv").write_text(text.replace("000.png", asked))
        assert len(load_dataset(own(root), root)) == 20
    for outside in ("/elsewhere/000.png", r"D:\scans\000.png"):
        (folder / "labels.csv").write_text(text.replace("000.png", outside))
        with pytest.raises(DataError, match="write it relative to") as error:
            load_dataset(own(root), root)
        assert str(folder / "images") in str(error.value)


def test_lines_are_counted_as_an_editor_counts_them_and_a_row_twice_is_named_by_line(clinic):
    root = clinic(rows(20))
    path = root / "my_clinic" / "labels.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "", *lines[3:], "000,1,p0", "gone.png,1,p1"]) + "\n")
    with pytest.raises(DataError) as error:
        load_dataset(own(root), root)
    assert "line 23: '000' is the image of line 2 again" in str(error.value)
    assert "line 24: no image file for 'gone.png'" in str(error.value)


def test_the_separator_that_excel_writes_first_is_read(tmp_path):
    path = tmp_path / "t.csv"
    for first in ("sep=;\r\n", '"sep=;"\r\n'):
        path.write_bytes(first.encode() + b"a;b\r\n1;2,5\r\n")
        assert read_table(path).to_dict("records") == [{"a": "1", "b": "2,5"}]


def test_eyes_are_read_in_their_usual_spellings_and_others_are_named_once(clinic):
    spellings = ("RE", "LE", "O.D.", "O.S.", "right", "Left eye")
    lines = [f"{k:03d}.png,{k % 2},p{k},{spellings[k % 6]}" for k in range(24)]
    root = clinic(lines, "image,label,patient,eye")
    assert load_dataset(own(root), root).frame["eye"].tolist() == ["OD", "OS"] * 12
    path = root / "my_clinic" / "labels.csv"
    path.write_text(path.read_text().replace("O.D.", "OU"))
    with pytest.raises(DataError) as error:
        load_dataset(own(root), root)
    assert str(error.value).count("'OU' is none of OD, OS") == 1
    assert "line 4 and 3 more" in str(error.value)


def test_patients_that_differ_in_case_or_in_a_decimal_are_named(clinic):
    lines = rows()
    lines[0] = lines[0].replace("p0", "P0")
    assert any("'P0' and 'p0' count as different persons" in n for n in own(clinic(lines)).notes)
    long = [f"{k:03d}.png,{k % 2},{12345678901234500 + k}" for k in range(40)]
    assert not [n for n in own(clinic(long), "my_clinic").notes if "different persons" in n]
    numbers = [f"{k:03d}.png,{(k // 2) % 2},{k // 2}{'.0' * (k % 2)}" for k in range(40)]
    notes = own(clinic(numbers, name="other"), "other").notes
    assert any("'0' and '0.0'" in n and "(20 such cases)" in n for n in notes)


def test_unquoted_yes_and_no_in_a_card_are_explained(clinic):
    root = clinic(rows())
    (root / "my_clinic" / "dataset.yaml").write_text("tasks: {label: {classes: [no, yes]}}\n")
    with pytest.raises(DataError, match="put them in quotes"):
        own(root)


def test_a_table_sorted_anew_is_the_same_dataset(clinic):
    root = clinic(rows())
    path = root / "my_clinic" / "labels.csv"
    before = load_dataset(own(root), root)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(lines)]) + "\n")
    after = load_dataset(own(root), root)
    for of in (
        lambda d: d.image_fingerprint,
        lambda d: d.split_fingerprint,
        lambda d: d.label_fingerprint("label"),
    ):
        assert of(before) == of(after)
    assert before.labels("label").tolist() == after.labels("label").tolist()


@pytest.mark.slow
def test_a_demo_of_what_is_complete_is_said_to_be_needless(clinic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = clinic(rows(24))
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [my_clinic/label]\nprotocols: [linear_probe]\n"
    )
    arguments = ["run", str(suite), "--data-root", str(root), "--device", "cpu", "--demo"]
    assert "Nothing is missing here" in CliRunner().invoke(bench, arguments).output
