"""OCT2017 (Kermany et al.): 84,484 B-scans in four classes, with a split that leaks.

What is odd: the top folder of the Kaggle copy ends in a blank; a file name may occur in two splits with different
pixels, so ids carry the split; patients (the middle number of the name) and identical files cross the splits, so
the default is a new split by patient.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import Problems, find_base, find_entry

from .folders import class_table, one_against_rest, read_class_folders

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("NORMAL", "CNV", "DME", "DRUSEN")
_PROVENANCE = "tiered grading by students, ophthalmologists and retina specialists (Kermany et al. 2018)"
_NAME = re.compile(r"[A-Z]+-(\d+)-\d+", re.IGNORECASE)


def _patient(stem: str) -> str:
    match = _NAME.match(stem)
    return match[1] if match else ""


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """Every B-scan; ids are ``test/CNV/CNV-1016042-1``."""
    # Mendeley's archive holds X-rays in `train` and `test` as well, in a folder beside the B-scans.
    base = find_base(root, ["train/CNV|train/DME|train/DRUSEN", "test"], "oct2017")
    problems = Problems("oct2017")
    records: list[dict[str, object]] = []
    for split in ("train", "val", "test"):
        folder = find_entry(base, split)
        present = {c: k for k, c in enumerate(CLASSES) if folder is not None and find_entry(folder, c)}
        if folder is None or not present:
            continue  # Mendeley's archive has no val, and small copies lack classes: `verify` counts them
        records += read_class_folders(
            folder, present, "oct2017", split=split, prefix=f"{split}/", patient=_patient
        )
    for record in records:
        if not record["patient_id"]:
            problems.add(
                f"{record['image_id']}: the name does not follow CLASS-patient-number, so its patient is unknown"
            )
    problems.stop(where=str(base))
    return class_table(records)


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic B-scans in Kaggle's layout, leaks included."""
    from .synthetic.oct_layouts import write_oct2017

    write_oct2017(root, n, seed)


INFO = DatasetInfo(
    name="oct2017",
    title="OCT2017 (Kermany)",
    modality="oct",
    tasks=(
        Task("disease", "Disease class", "multiclass", CLASSES, "label", provenance=_PROVENANCE),
        Task(
            "cnv_vs_normal",
            "CNV against normal",
            "binary",
            ("normal", "CNV"),
            "label",
            positive=(1,),
            exclude=(2, 3),
            provenance=_PROVENANCE,
        ),
        Task(
            "urgent",
            "Urgent referral (CNV or DME)",
            "binary",
            ("not urgent", "urgent"),
            "label",
            positive=(1, 2),
            provenance=_PROVENANCE,
        ),
        *one_against_rest(CLASSES, _PROVENANCE),
    ),
    access=Access(
        route="Mendeley Data rscbjbr9sj, https://data.mendeley.com/datasets/rscbjbr9sj ; "
        "Kaggle dataset paultimothymooney/kermany2018",
        licence="CC BY 4.0 (some copies state CC BY-NC-SA 4.0: check the Mendeley page)",
        redistributable=True,
        steps=(
            "Download the archive from Mendeley or Kaggle.",
            "Unpack it into <data root>/oct2017; the folder 'OCT2017 ' with its blank does no harm.",
        ),
        layout="""oct2017/
  OCT2017 /
    train/  CNV/ DME/ DRUSEN/ NORMAL/   <CLASS>-<patient>-<number>.jpeg
    val/    (Kaggle's copy only)
    test/""",
    ),
    citation="""@article{kermany2018,
  author = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  title = {Identifying medical diagnoses and treatable diseases by image-based deep learning},
  journal = {Cell}, volume = {172}, number = {5}, pages = {1122--1131}, year = {2018}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
    aliases=("kermany", "OCT2017"),
    expected={"total": (84484, 109309)},  # Kaggle's copy; version 2 on Mendeley
)
