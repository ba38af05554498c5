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


def test_every_card_says_how_to_get_the_data_and_who_labelled_it():
    for info in registry().datasets.values():
        assert info.access.steps, info.name
        assert info.name in info.access.layout
        assert all(t.provenance for t in info.tasks), info.name
        assert len({t.name for t in info.tasks}) == len(info.tasks)
