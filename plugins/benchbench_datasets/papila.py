"""PAPILA: both eyes of 244 patients with glaucoma, suspicion of it, or neither.

What is odd: two spreadsheets (right and left eyes) with three header rows, ids like ``#002`` that skip numbers, and
sparse clinical columns; the diagnosis is per eye. Published work treats suspects in three ways, hence the option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from benchbench.api import Access, DatasetInfo, DatasetOption, Task
from benchbench.datasets.reading import (
    Problems,
    code,
    find_base,
    find_entry,
    find_image,
    image_files,
    report_rowless,
    table,
)

if TYPE_CHECKING:
    import pandas as pd

_SHEETS = {"OD": "ClinicalData/patient_data_od.xlsx", "OS": "ClinicalData/patient_data_os.xlsx"}
_ID = re.compile(r"^#?\s*(\d+)$")
_DIAGNOSIS = 3
_COLUMNS = {"age": 1, "sex": 2, "diagnosis": _DIAGNOSIS, "iop": 9, "vf_md": 12}
_PROVENANCE = (
    "clinical diagnosis per eye, Hospital General Universitario Reina Sofia, Murcia (Kovalyk et al. 2022)"
)
_CLASSES = ("healthy", "suspect", "glaucoma")
_CODES = {0: 0.0, 1: 2.0, 2: 1.0}  # the sheets' healthy, glaucoma, suspect, put in clinical order


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """Both eyes of every patient; ``class`` 0 healthy, 1 suspect, 2 glaucoma; ``glaucoma`` after the option."""
    base = find_base(root, ["FundusImages", *_SHEETS.values()], "papila")
    folder = find_entry(base, "FundusImages")
    assert folder is not None
    found = image_files(folder)
    problems = Problems("papila")
    records: list[dict[str, object]] = []
    named: set[Path] = set()
    for eye, sheet in _SHEETS.items():
        path = find_entry(base, sheet)
        assert path is not None
        rows = read_sheet(path, problems)
        for line, patient, cells in rows:
            where = f"{path.name}, row {line}"
            image = find_image(found, f"RET{patient:03d}{eye}")
            if image is None:
                problems.add(f"{where}: no image file RET{patient:03d}{eye}.jpg in FundusImages")
                continue
            named.add(image)
            diagnosis = code(cells["diagnosis"], 3, problems, f"{where}: diagnosis")
            if diagnosis != diagnosis:
                problems.add(f"{where}: the diagnosis is empty")
                continue
            ordered = _CODES[int(diagnosis)]
            record: dict[str, object] = {
                "image_id": image.stem,
                "path": image,
                "patient_id": f"{patient:03d}",
                "eye": eye,
                "class": ordered,
                "glaucoma": {0.0: 0.0, 2.0: 1.0}.get(
                    ordered, 1.0 if options["suspect"] == "glaucoma" else float("nan")
                ),
            }
            records.append(record | {k: _number(cells[k]) for k in ("age", "sex", "iop", "vf_md")})
    report_rowless(found, named, base / "ClinicalData", problems)
    problems.stop(where=str(base))
    if options["suspect"] == "drop":
        records = [r for r in records if r["class"] != 1.0]
    return table(records, ["class", "glaucoma", "age", "sex", "iop", "vf_md"])


def read_sheet(path: Path, problems: Problems) -> list[tuple[int, int, dict[str, str]]]:
    """(row number, patient, cells) of the rows below the three header rows; columns go by position.

    A sheet that cannot be opened, whose diagnosis is not where it should be, or that has a row without a patient
    number is noted in `problems`.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, OSError, ValueError, InvalidFileException) as error:
        problems.add(f"{path.name} is no complete spreadsheet ({error}); download it again")
        return []
    lines = [
        ["" if c is None else str(c).strip() for c in r]
        for r in book.worksheets[0].iter_rows(values_only=True)
    ]
    book.close()
    first = next((i for i, cells in enumerate(lines) if cells and _ID.match(cells[0])), len(lines))
    if first == len(lines):
        problems.add(f"{path.name}: no row starts with a patient number such as #002")
    elif not any(
        c.casefold() == "diagnosis" for cells in lines[:first] for c in cells[_DIAGNOSIS : _DIAGNOSIS + 1]
    ):
        problems.add(f"{path.name}: column D is not headed Diagnosis; the columns of the sheet were changed")
        return []
    rows = []
    for line, cells in enumerate(lines[first:], first + 1):
        match = _ID.match(cells[0])
        if match:
            rows.append(
                (line, int(match[1]), {k: cells[c] if c < len(cells) else "" for k, c in _COLUMNS.items()})
            )
        elif any(cells):
            problems.add(f"{path.name}, row {line}: {cells[0]!r} is no patient number such as #002")
    return rows


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic photographs of both eyes, with the spreadsheets."""
    from .synthetic.glaucoma_layouts import write_papila

    write_papila(root, n, seed)


INFO = DatasetInfo(
    name="papila",
    title="PAPILA",
    modality="cfp",
    tasks=(
        Task("grade", "Healthy, suspect, glaucoma", "ordinal", _CLASSES, "class", provenance=_PROVENANCE),
        Task("glaucoma", "Glaucoma", "binary", ("healthy", "glaucoma"), "glaucoma", provenance=_PROVENANCE),
        Task(
            "healthy",
            "Healthy against suspect or glaucoma",
            "binary",
            ("suspect or glaucoma", "healthy"),
            "class",
            positive=(0,),
            provenance=_PROVENANCE,
        ),
    ),
    access=Access(
        route="figshare 14798004, https://figshare.com/articles/dataset/PAPILA/14798004",
        licence="CC BY 4.0",
        redistributable=True,
        steps=(
            "Download the archive from figshare.",
            "Unpack it into <data root>/papila; the wrapper folder may stay.",
        ),
        layout="""papila/
  ClinicalData/   patient_data_od.xlsx  patient_data_os.xlsx
  FundusImages/   RET002OD.jpg  RET002OS.jpg ...   (488 files)""",
    ),
    citation="""@article{kovalyk2022papila,
  author = {Kovalyk, Oleksandr and Morales-S{\\'a}nchez, Juan and Verd{\\'u}-Monedero, Rafael and others},
  title = {{PAPILA}: Dataset with fundus images and clinical data of both eyes of the same patient for glaucoma
           assessment},
  journal = {Scientific Data}, volume = {9}, pages = {291}, year = {2022}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
    options=(
        DatasetOption(
            "suspect",
            ("class", "drop", "glaucoma"),
            "class",
            "suspects are a class of their own and are left out of the task glaucoma (class), are left out of the "
            "whole set (drop), or count as glaucoma in the task glaucoma (glaucoma)",
        ),
    ),
    expected={"total": 488, "patients": 244, "class=0": 333, "class=1": 68, "class=2": 87},
)
