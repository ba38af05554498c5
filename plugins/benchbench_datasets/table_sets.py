"""Photograph sets with one label table: ORIGA-light, AREDS (a table of one's own), BRSET."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, DatasetOption, Task
from benchbench.datasets.reading import (
    Problems,
    code,
    find_base,
    find_entry,
    find_image,
    image_files,
    read_table,
    report_rowless,
    table,
    whole_number,
)

from .dr import dr_tasks

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, str]
_AMD_GRADES = ("no AMD", "early AMD", "intermediate AMD", "advanced AMD")


def _read(
    base: Path,
    label_file: str,
    folder_name: str,
    image_column: str,
    required: tuple[str, ...],
    dataset: str,
    fields: Callable[[Row, Problems, str], dict[str, object]],
    *,
    own: bool = False,
) -> list[dict[str, object]]:
    """Records of a label table: the image file by its name, and what `fields` makes of the row.

    A published table names every image, so one that does not was cut short; one's `own` may leave images out.
    """
    label_path, folder = find_entry(base, label_file), find_entry(base, folder_name)
    assert label_path is not None
    assert folder is not None
    found = image_files(folder)
    problems = Problems(dataset)
    records: list[dict[str, object]] = []
    named: set[Path] = set()
    frame = read_table(label_path, (image_column, *required), dataset)
    for line, row in enumerate(frame.to_dict("records"), 2):
        where = f"{label_path.name}, line {line} ({row[image_column]})"
        path = find_image(found, str(row[image_column]))
        if path is None:
            problems.add(f"{where}: no image file for {row[image_column]!r} in {folder.name}")
            continue
        named.add(path)
        text = {str(k): str(v) for k, v in row.items()}
        records.append({"image_id": path.stem, "path": path} | fields(text, problems, where))
    if not own:
        report_rowless(found, named, label_path, problems)
    problems.stop(where=str(base))
    return records


def load_origa(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """``OrigaList.csv`` and ``Images``; the eye is in the table where the release has it."""
    base = find_base(root, ["OrigaList.csv", "Images"], "origa")
    eyes = {"od": "OD", "os": "OS"}

    def fields(row: Row, problems: Problems, where: str) -> dict[str, object]:
        label = code(row["Glaucoma"], 2, problems, f"{where}: Glaucoma")
        return {"label": label, "eye": eyes.get(row.get("Eye", "").casefold(), "")}

    return table(
        _read(base, "OrigaList.csv", "Images", "Filename", ("Glaucoma",), "origa", fields), ["label"]
    )


def load_areds(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """``labels.csv`` (image, patient, grade 0 to 3) and ``images``, made by whoever has access to dbGaP."""
    base = find_base(root, ["labels.csv", "images"], "areds")

    def fields(row: Row, problems: Problems, where: str) -> dict[str, object]:
        if not row["patient"]:
            problems.add(
                f"{where}: the patient is empty; AREDS follows patients for years, so a split needs it"
            )
        grade = code(row["grade"], 4, problems, f"{where}: grade")
        return {"patient_id": row["patient"], "eye": row.get("eye", "").upper(), "grade": grade}

    return table(
        _read(base, "labels.csv", "images", "image", ("patient", "grade"), "areds", fields, own=True),
        ["grade"],
    )


_BRSET_LABELS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    # column of labels.csv: (label column, words or codes that mean 0 and 1)
    "macula": ("macula", {"1": 0, "2": 1}),
    "optic_disc": ("optic_disc", {"1": 0, "2": 1, "bv": float("nan")}),
    "vessels": ("vessels", {"1": 0, "2": 1}),
    "diabetic_retinopathy": ("diabetic_retinopathy", {"0": 0, "1": 1}),
    "amd": ("amd", {"0": 0, "1": 1}),
    "macular_edema": ("macular_edema", {"0": 0, "1": 1}),
    "quality": ("quality", {"Adequate": 0, "Inadequate": 1}),
    "insuline": ("insulin", {"no": 0, "yes": 1, "0": 0, "1": 1}),
    "diabetes": ("diabetes", {"no": 0, "yes": 1, "0": 0, "1": 1}),
}
_BRSET_FOLDS, _BRSET_SEED = 5, 42


def green_fold_positions(n_patients: int) -> tuple[set[int], set[int]]:
    """Positions of the training and test patients in RETFound-Green's split: fold 0 of 5, shuffled with seed 42."""
    import numpy as np
    from sklearn.model_selection import KFold

    folds = KFold(_BRSET_FOLDS, shuffle=True, random_state=_BRSET_SEED)
    train, test = next(iter(folds.split(np.arange(n_patients))))
    return {int(i) for i in train}, {int(i) for i in test}


def load_brset(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """``labels.csv`` and ``fundus_photos``; the official split is fold 0 of the RETFound-Green paper."""
    base = find_base(root, ["labels.csv", "fundus_photos"], "brset")
    eyes = {"1": "OD", "2": "OS"}

    def fields(row: Row, problems: Problems, where: str) -> dict[str, object]:
        record: dict[str, object] = {
            "patient_id": whole_number(row["patient_id"], problems, f"{where}: patient_id"),
            "eye": eyes.get(row.get("exam_eye", ""), ""),
            "grade": code(row["DR_ICDR"], 5, problems, f"{where}: DR_ICDR"),
        }
        for column, (name, words) in _BRSET_LABELS.items():
            text = row.get(column, "").removesuffix(".0")
            record[name] = code(text, words, problems, f"{where}: {column}")
        return record

    required = ("patient_id", "DR_ICDR", "macula", "optic_disc", "vessels", "quality", "diabetes")
    records = _read(base, "labels.csv", "fundus_photos", "image_id", required, "brset", fields)
    # The fold is the paper's over all patients, whichever of them are then asked for.
    patients = list(dict.fromkeys(r["patient_id"] for r in records))
    train, test = green_fold_positions(len(patients))
    if options["fold_ids"] == "published":
        part = {str(i): "train" for i in train} | {str(i): "test" for i in test}
    else:
        part = {str(p): "test" if i in test else "train" for i, p in enumerate(patients)}
    for record in records:
        record["split"] = part.get(str(record["patient_id"]), "")
    if options["patients"] == "diabetic":
        records = [r for r in records if r["diabetes"] == 1]
    return table(records, ["grade", *(name for name, _ in _BRSET_LABELS.values())])


def _simulate_origa(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_origa

    write_origa(root, n, seed)


def _simulate_areds(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_areds

    write_areds(root, n, seed)


def _simulate_brset(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_brset

    write_brset(root, n, seed)


_ORIGA = "clinical diagnosis in the Singapore Malay Eye Study (Zhang et al. 2010)"
ORIGA = DatasetInfo(
    name="origa",
    title="ORIGA-light",
    modality="cfp",
    tasks=(Task("glaucoma", "Glaucoma", "binary", ("normal", "glaucoma"), "label", provenance=_ORIGA),),
    access=Access(
        route="figshare 24549217; Kaggle dataset arnavjain1/glaucoma-datasets (folder ORIGA)",
        licence="unclear (figshare copy: CC BY 4.0)",
        redistributable=False,
        steps=("Download the archive.", "Put OrigaList.csv and the folder Images into <data root>/origa."),
        layout="origa/\n  OrigaList.csv   Eye,Filename,...,Glaucoma\n  Images/         001.jpg ... 650.jpg",
    ),
    citation="""@inproceedings{zhang2010origa,
  author = {Zhang, Zhuo and Yin, Feng Shou and Liu, Jiang and others},
  title = {{ORIGA}-light: An online retinal fundus image database for glaucoma analysis and research},
  booktitle = {IEEE EMBC}, pages = {3065--3068}, year = {2010}}""",
    load=load_origa,
    simulate=_simulate_origa,
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 650, "label=0": 482, "label=1": 168},
)

_AREDS = "reading centre, AREDS simplified severity reduced to four grades by the owner of the table"
AREDS = DatasetInfo(
    name="areds",
    title="AREDS (table of your own)",
    modality="cfp",
    tasks=(
        Task(
            "grade",
            "Age-related macular degeneration, four grades",
            "ordinal",
            _AMD_GRADES,
            "grade",
            provenance=_AREDS,
        ),
        Task(
            "any_amd",
            "Any AMD",
            "binary",
            ("no AMD", "any AMD"),
            "grade",
            positive=(1, 2, 3),
            provenance=_AREDS,
        ),
        Task(
            "advanced_amd",
            "Advanced AMD",
            "binary",
            ("not advanced", "advanced AMD"),
            "grade",
            positive=(3,),
            provenance=_AREDS,
        ),
    ),
    access=Access(
        route="dbGaP phs000001 (controlled access)",
        licence="controlled access, no redistribution",
        redistributable=False,
        steps=(
            "Apply for phs000001 at dbGaP.",
            "Put the photographs into <data root>/areds/images.",
            "Write labels.csv: image,patient,eye,grade. The eye is OD, OS or empty; the grade is 0 no, 1 early, "
            "2 intermediate, 3 advanced.",
        ),
        layout="areds/\n  labels.csv   image,patient,eye,grade\n  images/",
    ),
    citation="""@article{areds1999,
  author = {{Age-Related Eye Disease Study Research Group}},
  title = {The Age-Related Eye Disease Study (AREDS): design implications. AREDS report no. 1},
  journal = {Controlled Clinical Trials}, volume = {20}, pages = {573--600}, year = {1999}}""",
    load=load_areds,
    simulate=_simulate_areds,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
)

_BRSET = "ophthalmologists of two Brazilian centres (Nakayama et al. 2024)"


def _brset_binary(name: str, title: str, classes: tuple[str, str]) -> Task:
    return Task(name, title, "binary", classes, name, provenance=_BRSET)


BRSET = DatasetInfo(
    name="brset",
    title="BRSET",
    modality="cfp",
    tasks=(
        *dr_tasks(_BRSET),
        _brset_binary("macula", "Abnormal macula", ("normal", "abnormal")),
        _brset_binary("optic_disc", "Abnormal optic disc", ("normal", "abnormal")),
        _brset_binary("vessels", "Abnormal vessels", ("normal", "abnormal")),
        _brset_binary("diabetic_retinopathy", "Diabetic retinopathy, as coded", ("absent", "present")),
        _brset_binary("amd", "Age-related macular degeneration", ("absent", "present")),
        _brset_binary("macular_edema", "Macular oedema", ("absent", "present")),
        _brset_binary("quality", "Inadequate quality", ("adequate", "inadequate")),
        _brset_binary("insulin", "Insulin use", ("no", "yes")),
        _brset_binary("diabetes", "Diabetes", ("no", "yes")),
    ),
    access=Access(
        route="PhysioNet, https://physionet.org/content/brazilian-ophthalmological/1.0.1/",
        licence="PhysioNet credentialed health data licence 1.5.0",
        redistributable=False,
        steps=(
            "Get a credentialed PhysioNet account (CITI course) and sign the agreement.",
            "Download labels.csv and fundus_photos into <data root>/brset.",
        ),
        layout="brset/\n  labels.csv      image_id,patient_id,...\n  fundus_photos/  img00001.jpg ...   (16,266 files)",
    ),
    citation="""@article{nakayama2024brset,
  author = {Nakayama, Luis Filipe and Restrepo, David and Matos, Jo{\\~a}o and others},
  title = {{BRSET}: A {Brazilian} Multilabel Ophthalmological Dataset of Retina Fundus Photos},
  journal = {PLOS Digital Health}, volume = {3}, number = {7}, pages = {e0000454}, year = {2024}}""",
    load=load_brset,
    simulate=_simulate_brset,
    cluster="patient_id",
    paired_eyes=True,
    default_split="official",
    options=(
        DatasetOption(
            "patients", ("all", "diabetic"), "all", "all patients, or photographs of diabetics only"
        ),
        DatasetOption(
            "fold_ids",
            ("positions", "published"),
            "positions",
            "positions: fold 0 over the patients in file order; published: RETFound-Green's notebooks take the "
            "positions themselves for patient ids, which leaves one patient out",
        ),
    ),
    expected={"total": 16266, "patients": 8524},
)
