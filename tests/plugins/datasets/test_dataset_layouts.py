"""Every dataset as it is really distributed: what a naive reader gets wrong is read right, or refused by name."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchbench.datasets import load_dataset, resolve_options
from benchbench.errors import DataError
from benchbench.plugins import registry

SIMULATED = [
    "idrid",
    "aptos2019",
    "messidor2",
    "papila",
    "oct2017",
    "octdl",
    "octid",
    "retina4",
    "retfound_idrid",
    "jsiec",
    "brset",
    "oct_signatures",
    "origa",
    "areds",
    "olives",
    "oct5k",
    "retinamnist",
    "retfound_retina",
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("originals")
    for name in SIMULATED:
        info = registry().datasets[name]
        assert info.simulate is not None
        info.simulate(root / name, 40, 0)
    return root


@pytest.fixture
def copy(originals, tmp_path):
    """copy(name): a private data root with one simulated dataset."""

    def make(name: str) -> Path:
        shutil.copytree(originals / name, tmp_path / name)
        return tmp_path

    return make


def table_of(root: Path, name: str, **options):
    info = registry().datasets[name]
    return info.load(root / name, resolve_options(info, options))


def test_idrid_reads_labels_that_a_naive_reader_misses(copy):
    root = copy("idrid")
    folder = root / "idrid" / "B. Disease Grading" / "2. Groundtruths"
    train = (folder / "a. IDRiD_Disease Grading_Training Labels.csv").read_bytes()
    with (folder / "a. IDRiD_Disease Grading_Training Labels.csv").open(newline="") as stream:
        naive = list(csv.DictReader(stream))
    assert "Risk of macular edema" not in naive[0]  # the column ends in a blank
    assert train.endswith(b",,,,,,,,,\r\n")
    frame = table_of(root, "idrid")
    assert frame["dme_risk"].notna().all()
    stems = frame["image_id"].str.split("/").str[1]
    assert stems.duplicated().any()  # stems repeat between the splits
    assert not frame["image_id"].duplicated().any()
    assert set(frame["split"]) == {"train", "test"}


def test_idrid_survives_wrappers_upper_case_suffixes_and_a_bom(copy):
    root = copy("idrid")
    before = table_of(root, "idrid")
    (root / "idrid" / "B. Disease Grading").rename(root / "idrid" / "B.%20Disease%20Grading")
    inner = root / "idrid" / "download"
    inner.mkdir()
    shutil.move(root / "idrid" / "B.%20Disease%20Grading", inner)
    images = inner / "B.%20Disease%20Grading" / "1. Original Images" / "a. Training Set"
    (images / "IDRiD_003.jpg").rename(images / "IDRiD_003.JPG")
    labels = images.parents[1] / "2. Groundtruths" / "b. IDRiD_Disease Grading_Testing Labels.csv"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())
    after = table_of(root, "idrid")
    assert list(after["image_id"]) == list(before["image_id"])
    assert np.array_equal(after["grade"], before["grade"])


@pytest.mark.parametrize(
    ("name", "wrappers"),
    [
        ("brset", "physionet.org/files/brazilian-ophthalmological/1.0.1"),
        ("origa", "archive/glaucoma-datasets/ORIGA"),
        ("oct2017", "ZhangLabData/CellData/OCT"),
    ],
)
def test_a_set_is_found_below_the_folders_that_mirrors_and_archives_wrap_it_in(copy, name, wrappers):
    root = copy(name)
    before = table_of(root, name)
    content = [*((root / name / "OCT2017 ") if name == "oct2017" else root / name).iterdir()]
    base = root / name / wrappers
    base.mkdir(parents=True)
    for path in content:
        shutil.move(path, base)
    if name == "oct2017":  # Mendeley's archive brings X-rays in folders of the same names
        for part in ("train", "test"):
            (base.parent / "chest_xray" / part / "NORMAL").mkdir(parents=True)
            (base.parent / "CHEST" / part / "NORMAL").mkdir(parents=True)
    after = table_of(root, name)
    assert list(after["image_id"]) == list(before["image_id"])


def test_a_half_downloaded_idrid_names_every_missing_file(copy):
    root = copy("idrid")
    images = root / "idrid" / "B. Disease Grading" / "1. Original Images" / "b. Testing Set"
    (images / "IDRiD_002.jpg").unlink()
    (images / "IDRiD_005.jpg").unlink()
    with pytest.raises(DataError, match=r"(?s)IDRiD_002.*IDRiD_005"):
        table_of(root, "idrid")


@pytest.mark.parametrize(
    ("name", "label_file"),
    [
        ("idrid", "B. Disease Grading/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv"),
        ("aptos2019", "train.csv"),
        ("messidor2", "messidor_data.csv"),
        ("papila", "ClinicalData/patient_data_os.xlsx"),
        ("octdl", "OCTDL_labels.csv"),
        ("brset", "labels.csv"),
        ("oct_signatures", "labels.csv"),
    ],
)
def test_a_missing_label_file_is_an_error_and_never_a_zero(copy, name, label_file):
    root = copy(name)
    (root / name / label_file).unlink()
    with pytest.raises(DataError) as error:
        table_of(root, name)
    assert Path(label_file).name in str(error.value)


def test_a_label_outside_the_scheme_is_refused_with_file_line_and_value(copy):
    root = copy("aptos2019")
    path = root / "aptos2019" / "train.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].split(",")[0] + ",7"
    lines[9] = lines[9].split(",")[0] + ",mild"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        table_of(root, "aptos2019")
    ids = [lines[3].split(",")[0], lines[9].split(",")[0]]
    first = f"train.csv, line 4 ({ids[0]}): diagnosis: '7' is not a whole number from 0 to 4"
    assert first in str(error.value)
    assert f"train.csv, line 10 ({ids[1]}): diagnosis: 'mild'" in str(error.value)


def test_aptos_class_folders_and_the_resplit_form_give_the_same_grades(copy, tmp_path):
    root = copy("aptos2019")
    before = table_of(root, "aptos2019").set_index("image_id")["grade"]
    folders = tmp_path / "folders" / "colored_images"
    names = ("No_DR", "Mild", "Moderate", "Severe", "Proliferate_DR")
    for image_id, grade in before.items():
        target = folders / names[int(grade)]
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / "aptos2019" / "train_images" / f"{image_id}.png", target / f"{image_id}.png")
    after = registry().datasets["aptos2019"].load(tmp_path / "folders", {}).set_index("image_id")["grade"]
    assert after.to_dict() == before.to_dict()

    mirror = tmp_path / "mirror"  # Kaggle's archive doubles the folder and has the table beside it
    for inner in ("gaussian_filtered_images", "colored_images"):
        shutil.copytree(folders, mirror / inner / inner / inner)
        shutil.copyfile(root / "aptos2019" / "train.csv", mirror / inner / "train.csv")
        after = registry().datasets["aptos2019"].load(mirror / inner, {}).set_index("image_id")["grade"]
        assert after.to_dict() == before.to_dict()

    resplit = tmp_path / "resplit"
    parts = {"train": ("train_1.csv", "train_images"), "val": ("valid.csv", "val_images")}
    parts["test"] = ("test.csv", "test_images")
    for k, (label_file, images) in enumerate(parts.values()):
        (resplit / images).mkdir(parents=True)
        chosen = before.iloc[k::3]
        (resplit / label_file).write_text(
            chosen.reset_index()[["image_id", "grade"]]
            .astype({"grade": int})
            .rename(columns={"image_id": "id_code", "grade": "diagnosis"})
            .to_csv(index=False)
        )
        for image_id in chosen.index:
            name = f"{image_id}.png"
            shutil.copyfile(root / "aptos2019" / "train_images" / name, resplit / images / name)
    again = registry().datasets["aptos2019"].load(resplit, {}).set_index("image_id")
    assert again["grade"].to_dict() == before.to_dict()
    assert again["split"].to_dict() == {
        i: ("train", "val", "test")[k % 3] for k, i in enumerate(before.index)
    }


def test_messidor_finds_upper_case_files_pairs_eyes_and_leaves_ungradable_rows_out(copy):
    root = copy("messidor2")
    folder = root / "messidor2"
    with (folder / "messidor_data.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    naive_missing = [r["image_id"] for r in rows if not (folder / "IMAGES" / r["image_id"]).exists()]
    assert naive_missing
    assert all(n.endswith(".jpg") for n in naive_missing)  # the files are .JPG
    frame = table_of(root, "messidor2")
    assert len(frame) == len(rows) - 4
    assert frame["grade"].notna().all()
    assert (folder / "messidor-2.csv").read_text().startswith("left;right\n")
    assert set(frame.groupby("patient_id").size()) <= {1, 2}
    assert (
        frame[frame["patient_id"].duplicated(keep=False)]
        .groupby("patient_id")["eye"]
        .agg(set)
        .eq({"OD", "OS"})
        .all()
    )


def test_papila_reads_below_three_header_rows_and_groups_both_eyes(copy):
    import pandas as pd

    root = copy("papila")
    sheet = pd.read_excel(root / "papila" / "ClinicalData" / "patient_data_od.xlsx")
    assert "Diagnosis" not in [str(c) for c in sheet.columns][4:]
    assert "Age" not in sheet.columns  # a naive reader sees the first of three header rows
    frame = table_of(root, "papila")
    assert (frame.groupby("patient_id").size() == 2).all()
    assert set(frame["class"]) == {0.0, 1.0, 2.0}
    assert frame["vf_md"].isna().any()


def test_papila_suspects_follow_the_option(copy):
    root = copy("papila")
    whole = table_of(root, "papila")
    suspects = int((whole["class"] == 1).sum())
    assert suspects > 0
    assert int(whole["glaucoma"].isna().sum()) == suspects
    assert len(table_of(root, "papila", suspect="drop")) == len(whole) - suspects
    folded = table_of(root, "papila", suspect="glaucoma")
    assert folded["glaucoma"].notna().all()
    assert int(folded["glaucoma"].sum()) == int((whole["class"] >= 1).sum())


def test_oct2017_has_ids_that_do_not_collide_and_patients_from_the_names(copy):
    root = copy("oct2017")
    assert (root / "oct2017" / "OCT2017 ").is_dir()  # the blank of Kaggle's copy
    frame = table_of(root, "oct2017")
    names = frame["path"].map(lambda p: Path(p).name)
    assert names.duplicated().any()
    assert not frame["image_id"].duplicated().any()
    assert (frame["patient_id"] != "").all()
    crossing = frame.groupby("patient_id")["split"].nunique() > 1
    assert crossing.any()
    loaded = load_dataset(registry().datasets["oct2017"], root)
    assert (loaded.frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_oct2017_refuses_a_name_without_a_patient(copy):
    root = copy("oct2017")
    folder = root / "oct2017" / "OCT2017 " / "test" / "CNV"
    first = sorted(folder.iterdir())[0]
    first.rename(folder / "scan 17.jpeg")
    with pytest.raises(DataError, match="scan 17"):
        table_of(root, "oct2017")


def test_retina4_keeps_the_two_folders_that_share_a_number_apart(copy):
    root = copy("retina4")
    prefixes = [p.name[0] for p in (root / "retina4" / "dataset").iterdir()]
    assert sorted(prefixes) == ["1", "2", "2", "3"]
    frame = table_of(root, "retina4")
    assert set(frame["label"]) == {0.0, 1.0, 2.0, 3.0}
    assert frame[frame["image_id"].str.contains("2_glaucoma")]["label"].eq(2).all()


def test_jsiec_reads_double_dots_and_39_classes(copy):
    root = copy("jsiec")
    frame = table_of(root, "jsiec")
    assert frame["path"].map(lambda p: Path(p).name.endswith("..JPG")).all()
    assert set(frame["label"]) == set(map(float, range(39)))
    assert registry().datasets["jsiec"].task("disease").classes[0] == "Normal"


def test_retfound_folders_are_read_by_their_spelling_and_unknown_ones_refused(copy):
    root = copy("retfound_idrid")
    frame = table_of(root, "retfound_idrid")
    assert frame[frame["image_id"].str.contains("eproDR")]["label"].eq(4).all()
    assert set(frame["split"]) == {"train", "val", "test"}
    (root / "retfound_idrid" / "IDRiD_data" / "val" / "eproDR").rename(
        root / "retfound_idrid" / "IDRiD_data" / "val" / "fproDR"
    )
    with pytest.raises(DataError, match="val/fproDR"):
        table_of(root, "retfound_idrid")


def test_an_empty_signature_cell_is_not_labelled_instead_of_absent(copy):
    root = copy("oct_signatures")
    path = root / "oct_signatures" / "labels.csv"
    with path.open() as stream:
        empty = sum(r["srf"] == "" for r in csv.DictReader(stream))
    lines = path.read_text().splitlines()
    header = lines[0].split(",")
    cells = lines[5].split(",")
    cells[header.index("srf")] = ""
    lines[5] = ",".join(cells)
    path.write_text("\n".join(lines))
    frame = table_of(root, "oct_signatures")
    assert np.isnan(frame["srf"][4])
    assert int(frame["srf"].isna().sum()) in (empty, empty + 1)
    d = load_dataset(registry().datasets["oct_signatures"], root)
    assert len(d.part("srf", "all")) == len(d) - int(frame["srf"].isna().sum())
    assert len(d.part("signatures", "all")) == len(d)


def test_brset_codes_one_and_two_are_classes_and_bv_is_unknown(copy):
    root = copy("brset")
    path = root / "brset" / "labels.csv"
    lines = path.read_text().splitlines()
    header = lines[0].split(",")
    cells = lines[1].split(",")
    cells[header.index("optic_disc")] = "bv"
    lines[1] = ",".join(cells)
    path.write_text("\n".join(lines))
    frame = table_of(root, "brset")
    assert np.isnan(frame["optic_disc"][0])
    assert set(frame["macula"]) == {0.0, 1.0}
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_brset_fold_0_has_the_published_numbers_of_patients():
    from benchbench_datasets.table_sets import green_fold_positions

    train, test = green_fold_positions(8524)
    assert (len(train), len(test)) == (6819, 1705)
    assert train.isdisjoint(test)


def test_the_seven_outputs_of_the_retfound_green_paper_are_tasks():
    grades = np.arange(5.0)
    import pandas as pd

    frame = pd.DataFrame({"grade": grades, "dme_risk": [0, 1, 2, 0, np.nan]})
    info = registry().datasets["idrid"]
    wanted = {
        "grade_0": [1, 0, 0, 0, 0],
        "grade_1": [0, 1, 0, 0, 0],
        "grade_2": [0, 0, 1, 0, 0],
        "grade_3": [0, 0, 0, 1, 0],
        "pdr": [0, 0, 0, 0, 1],
        "any_dr": [0, 1, 1, 1, 1],
        "referable": [0, 0, 1, 1, 1],
    }
    for name, expected in wanted.items():
        assert info.task(name).labels(frame).tolist() == expected
    assert info.task("any_dme").labels(frame)[:4].tolist() == [0, 1, 1, 0]
    assert np.isnan(info.task("any_dme").labels(frame)[4])


def test_a_half_downloaded_papila_sheet_is_named_instead_of_a_crash(copy):
    root = copy("papila")
    sheet = root / "papila" / "ClinicalData" / "patient_data_os.xlsx"
    sheet.write_bytes(sheet.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"patient_data_os\.xlsx is no complete spreadsheet"):
        table_of(root, "papila")


def test_papila_with_another_column_before_the_diagnosis_is_refused(copy):
    import openpyxl

    root = copy("papila")
    sheet = root / "papila" / "ClinicalData" / "patient_data_od.xlsx"
    book = openpyxl.load_workbook(sheet)
    book.active.insert_cols(2)
    book.save(sheet)
    with pytest.raises(DataError, match="column D is not headed Diagnosis"):
        table_of(root, "papila")


def test_a_papila_row_without_a_patient_number_is_named_instead_of_dropped(copy):
    import openpyxl

    root = copy("papila")
    sheet = root / "papila" / "ClinicalData" / "patient_data_od.xlsx"
    book = openpyxl.load_workbook(sheet)
    book.active["A6"] = "P004"
    book.save(sheet)
    with pytest.raises(DataError, match=r"row 6: 'P004' is no patient number"):
        table_of(root, "papila")


@pytest.mark.parametrize(
    ("name", "label_file"),
    [
        ("aptos2019", "train.csv"),
        ("messidor2", "messidor_data.csv"),
        ("octdl", "OCTDL_labels.csv"),
        ("brset", "labels.csv"),
        ("origa", "OrigaList.csv"),
    ],
)
def test_a_label_table_cut_in_half_is_refused_and_names_the_images_without_a_row(copy, name, label_file):
    root = copy(name)
    path = root / name / label_file
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    with pytest.raises(DataError, match=f"has no row in {label_file}"):
        table_of(root, name)


@pytest.mark.parametrize(
    ("name", "label_file", "column"),
    [("brset", "labels.csv", "patient_id"), ("olives", "Biomarker_Clinical_Data_Images.csv", "Patient_ID")],
)
@pytest.mark.parametrize("cell", ["", "anna"])
def test_a_patient_that_is_no_number_is_named_with_its_line(copy, name, label_file, column, cell):
    root = copy(name)
    change_cell(root / name / label_file, 1, column, cell)
    with pytest.raises(DataError, match=rf"line 2.*{column}: '{cell}' is not a whole number"):
        table_of(root, name)


def change_cell(path: Path, line: int, column: str, value: str) -> None:
    lines = path.read_text().splitlines()
    cells = lines[line].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[line] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("fold_ids", ["positions", "published"])
def test_brset_diabetics_keep_the_part_that_the_paper_s_fold_gives_all_patients(copy, fold_ids):
    root = copy("brset")
    whole = table_of(root, "brset", fold_ids=fold_ids).set_index("image_id")
    diabetics = table_of(root, "brset", fold_ids=fold_ids, patients="diabetic").set_index("image_id")
    assert 0 < len(diabetics) < len(whole)
    assert diabetics["split"].to_dict() == whole.loc[diabetics.index, "split"].to_dict()


def test_brset_published_fold_takes_positions_for_ids_as_the_paper_did(copy):
    from sklearn.model_selection import KFold

    root = copy("brset")
    frame = table_of(root, "brset", fold_ids="published")
    ids = frame["patient_id"].astype(int)
    train, test = next(iter(KFold(5, shuffle=True, random_state=42).split(np.unique(ids))))
    assert (ids[frame["split"] == "test"].isin(test)).all()
    assert (ids[frame["split"] == "train"].isin(train)).all()
    # Ids count from 1 and positions from 0, so the last patient is in no part.
    assert set(ids[frame["split"] == ""]) == {int(ids.max())}


@pytest.mark.parametrize("suite", ["retfound_green_paper", "retfound_green_transport"])
def test_the_suites_of_the_retfound_green_paper_test_on_its_own_patients(copy, suite):
    from sklearn.model_selection import KFold

    from benchbench.suite import load_suite

    frame = table_of(copy("brset"), "brset", **load_suite(suite).suite.datasets["brset"].options)
    ids = frame["patient_id"].astype(int)
    _, test = next(iter(KFold(5, shuffle=True, random_state=42).split(np.unique(ids))))
    assert set(ids[frame["split"] == "test"]) == set(test) - {0}


def test_octid_has_a_number_that_a_folder_is_held_against():
    assert registry().datasets["octid"].expected["total"] == 206 + 55 + 102 + 107 + 102


def test_octid_files_are_jpeg_in_full_where_a_naive_pattern_finds_none(copy):
    root = copy("octid")
    assert not [*(root / "octid").rglob("*.jpg"), *(root / "octid").rglob("*.png")]
    assert set(table_of(root, "octid")["label"]) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_octdl_names_without_suffix_are_found(copy):
    root = copy("octdl")
    with (root / "octdl" / "OCTDL_labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert not any((root / "octdl" / "OCTDL" / r["disease"] / r["file_name"]).exists() for r in rows)
    frame = table_of(root, "octdl")
    assert len(frame) == len(rows)
    assert frame["patient_id"].tolist() == [r["patient_id"] for r in rows]


def test_origa_takes_the_diagnosis_and_neither_the_set_nor_the_cup(copy):
    root = copy("origa")
    with (root / "origa" / "OrigaList.csv").open() as stream:
        rows = {Path(r["Filename"]).stem: r for r in csv.DictReader(stream)}
    assert {r["Set"] for r in rows.values()} == {"A"}
    frame = table_of(root, "origa").set_index("image_id")
    assert {i: str(int(v)) for i, v in frame["label"].items()} == {i: r["Glaucoma"] for i, r in rows.items()}
    assert frame["eye"].to_dict() == {i: r["Eye"] for i, r in rows.items()}


def test_olives_paths_start_with_a_slash_and_two_eyes_are_one_patient(copy):
    root = copy("olives")
    with (root / "olives" / "Biomarker_Clinical_Data_Images.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    column = "Path (Trial/Arm/Folder/Visit/Eye/Image Name)"
    assert not any((root / "olives" / r[column]).exists() for r in rows)  # "/" makes them absolute
    frame = table_of(root, "olives")
    assert len(frame) == len(rows)
    assert frame["patient_id"].nunique() < len({r["Eye_ID"] for r in rows})


def test_oct5k_scans_without_a_box_are_not_labelled_instead_of_healthy(copy):
    root = copy("oct5k")
    with (root / "oct5k" / "Detection" / "all_bounding_boxes.csv").open() as stream:
        boxed = {Path(r["image"]).stem for r in csv.DictReader(stream)}
    frame = table_of(root, "oct5k")
    there = frame["path"].map(lambda p: Path(p).stem in boxed)
    assert 0 < there.sum() < len(frame)
    assert frame["drusen"][~there].isna().all()
    assert frame["drusen"][there].notna().all()
    assert frame["label"].notna().all()


def test_an_archive_that_may_only_be_read_is_unpacked_in_the_store(copy, tmp_path, monkeypatch):
    root = copy("retinamnist")
    shutil.rmtree(root / "retinamnist/unpacked_224", ignore_errors=True)
    before = sorted((root / "retinamnist").iterdir())
    monkeypatch.setenv("BENCHBENCH_STORE", str(tmp_path / "a store"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    frame = table_of(root, "retinamnist")
    assert sorted((root / "retinamnist").iterdir()) == before
    assert all((tmp_path / "a store") in Path(p).parents for p in frame["path"])
    assert all(Path(p).is_file() for p in frame["path"])


def test_medmnist_arrays_keep_their_three_parts_and_ids_that_do_not_collide(copy):
    root = copy("retinamnist")
    frame = table_of(root, "retinamnist")
    with np.load(root / "retinamnist" / "retinamnist_224.npz") as arrays:
        for part in ("train", "val", "test"):
            assert (
                frame[frame["split"] == part]["label"].tolist() == arrays[f"{part}_labels"].ravel().tolist()
            )
    assert frame["image_id"].str.split("/").str[1].duplicated().any()
    assert not frame["image_id"].duplicated().any()


def test_retfound_retina_reads_the_folder_that_is_misspelled_in_the_archive(copy):
    root = copy("retfound_retina")
    folders = {p.name for p in (root / "retfound_retina").rglob("*") if p.is_dir()}
    assert "ddretina_disease" in folders
    frame = table_of(root, "retfound_retina")
    assert frame[frame["image_id"].str.contains("ddretina_disease")]["label"].eq(3).all()
    assert set(frame["label"]) == {0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize(
    ("name", "label_file"),
    [
        ("aptos2019", "train.csv"),
        ("messidor2", "messidor_data.csv"),
        ("messidor2", "messidor-2.csv"),
        ("origa", "OrigaList.csv"),
        ("areds", "labels.csv"),
        ("brset", "labels.csv"),
        ("octdl", "OCTDL_labels.csv"),
        ("olives", "Biomarker_Clinical_Data_Images.csv"),
        ("oct5k", "Detection/all_bounding_boxes.csv"),
        ("oct_signatures", "labels.csv"),
    ],
)
def test_a_bom_and_crlf_change_nothing_in_any_label_table(copy, name, label_file):
    root = copy(name)
    before = table_of(root, name)
    path = root / name / label_file
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert table_of(root, name).equals(before)


@pytest.mark.parametrize(
    "name",
    ["aptos2019", "messidor2", "papila", "oct2017", "octdl", "octid", "origa", "retina4", "brset", "jsiec"],
)
def test_upper_case_suffixes_change_nothing(copy, name):
    root = copy(name)
    before = table_of(root, name)
    for path in [p for p in (root / name).rglob("*") if p.suffix in (".jpg", ".jpeg", ".png")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    after = table_of(root, name)
    assert after.drop(columns="path").equals(before.drop(columns="path"))


def test_every_card_says_how_to_get_the_data_and_who_labelled_it():
    for info in registry().datasets.values():
        assert info.access.steps, info.name
        assert info.name in info.access.layout
        assert all(t.provenance for t in info.tasks), info.name
        assert len({t.name for t in info.tasks}) == len(info.tasks)
