"""MESSIDOR-2: 874 examinations with both eyes, graded by adjudication.

Images and pairs come from ADCIS, grades from Google's adjudicated table. What is odd: the pairs file uses
semicolons; the grades name ``.jpg`` where the files are ``.JPG``; four rows are ungradable and have no grade.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
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
)

from .dr import dr_tasks

if TYPE_CHECKING:
    import pandas as pd

_DR = "three retina specialists with adjudication (Krause et al. 2018), scale 0 to 4"
_DME = "referable macular oedema, three retina specialists with adjudication (Krause et al. 2018)"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The gradable images; the patient is the examination of the pairs file."""
    wanted = ["messidor_data.csv", "messidor-2.csv", "IMAGES|images"]
    base = find_base(root, wanted, "messidor2")
    labels_path, pairs_path, folder = (find_entry(base, w.split("|")[0]) for w in wanted)
    assert labels_path is not None
    assert pairs_path is not None
    assert folder is not None
    found = image_files(folder)
    patients = _patients(pairs_path)
    required = ("image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable")
    problems = Problems("messidor2")
    named: set[Path] = set()
    records: list[dict[str, object]] = []
    for line, row in enumerate(read_table(labels_path, required, "messidor2").to_dict("records"), 2):
        name = str(row["image_id"])
        where = f"{labels_path.name}, line {line} ({name})"
        path = find_image(found, name)
        if path is not None:
            named.add(path)
        if code(row["adjudicated_gradable"], 2, problems, f"{where}: adjudicated_gradable") == 0:
            continue
        stem = Path(name).stem.casefold()
        if path is None:
            problems.add(f"{where}: no image file for {name!r} in {folder.name}")
            continue
        if stem not in patients:
            problems.add(f"{where}: {name!r} is in no pair of {pairs_path.name}")
            continue
        grade = code(row["adjudicated_dr_grade"], 5, problems, f"{where}: adjudicated_dr_grade")
        if grade != grade:
            problems.add(f"{where}: {name!r} counts as gradable but has no grade")
        patient, eye = patients[stem]
        records.append(
            {
                "image_id": path.stem,
                "path": path,
                "patient_id": patient,
                "eye": eye,
                "grade": grade,
                "dme": code(row["adjudicated_dme"], 2, problems, f"{where}: adjudicated_dme"),
            }
        )
    report_rowless(found, named, labels_path, problems)
    problems.stop(where=str(base))
    return table(records, ["grade", "dme"])


def _patients(path: Path) -> dict[str, tuple[str, str]]:
    """Lower-case stem -> (examination, eye) from the pairs file."""
    pairs = read_table(path, ("left", "right"), "messidor2")
    return {
        Path(str(row[side])).stem.casefold(): (f"exam{number:04d}", eye)
        for number, row in enumerate(pairs.to_dict("records"), 1)
        for side, eye in (("left", "OS"), ("right", "OD"))
        if row[side]
    }


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic photographs in the layout of ADCIS with the adjudicated grades."""
    from .synthetic.dr_layouts import write_messidor2

    write_messidor2(root, n, seed)


INFO = DatasetInfo(
    name="messidor2",
    title="MESSIDOR-2, adjudicated grades",
    modality="cfp",
    tasks=(
        *dr_tasks(_DR),
        Task("dme", "Referable macular oedema", "binary", ("no DME", "DME"), "dme", provenance=_DME),
    ),
    access=Access(
        route="images: ADCIS, https://www.adcis.net/en/third-party/messidor2/ ; "
        "grades: Kaggle dataset google-brain/messidor2-dr-grades",
        licence="research use by request, no redistribution",
        redistributable=False,
        steps=(
            "Fill in the request form of ADCIS and download IMAGES and messidor-2.csv.",
            "Download messidor_data.csv from the Kaggle dataset google-brain/messidor2-dr-grades.",
            "Put both tables and the folder IMAGES into <data root>/messidor2.",
        ),
        layout="""messidor2/
  IMAGES/               1,058 *_PP.png and 690 IM*.JPG
  messidor-2.csv        left;right    (the two eyes of one examination)
  messidor_data.csv     image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable""",
    ),
    citation="""@article{decenciere2014messidor,
  author = {Decenci{\\`e}re, Etienne and Zhang, Xiwei and Cazuguel, Guy and others},
  title = {Feedback on a publicly distributed image database: the {Messidor} database},
  journal = {Image Analysis and Stereology}, volume = {33}, number = {3}, pages = {231--234}, year = {2014}}
@article{krause2018grader,
  author = {Krause, Jonathan and Gulshan, Varun and Rahimy, Ehsan and others},
  title = {Grader variability and the importance of reference standards for evaluating machine learning models
           for diabetic retinopathy},
  journal = {Ophthalmology}, volume = {125}, number = {8}, pages = {1264--1272}, year = {2018}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={
        "total": 1744,
        **{f"grade={g}": n for g, n in enumerate((1017, 270, 347, 75, 35))},
        "dme=0": 1593,
        "dme=1": 151,
    },
)
