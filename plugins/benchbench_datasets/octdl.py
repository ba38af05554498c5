"""OCTDL: 2,064 B-scans in seven classes, with patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import (
    Problems,
    find_base,
    find_entry,
    find_image,
    image_files,
    read_table,
    report_rowless,
    table,
    whole_number,
)

from .folders import one_against_rest

if TYPE_CHECKING:
    import pandas as pd

CODES = {"NO": 0, "AMD": 1, "DME": 2, "ERM": 3, "RAO": 4, "RVO": 5, "VID": 6}
CLASSES = ("Normal", "AMD", "DME", "ERM", "RAO", "RVO", "VID")
_PROVENANCE = "seven specialists and a senior review (Kulyabin et al. 2024)"
_EYES = {"od": "OD", "os": "OS"}


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The images of ``OCTDL_labels.csv``; file names carry no suffix there."""
    base = find_base(root, ["OCTDL_labels.csv", "OCTDL|AMD"], "octdl")
    images = find_entry(base, "OCTDL") or base
    frame = read_table(base / "OCTDL_labels.csv", ("file_name", "disease", "patient_id"), "octdl")
    found = {c: image_files(f) if (f := find_entry(images, c)) else {} for c in CODES}
    problems = Problems("octdl")
    records: list[dict[str, object]] = []
    named: set[Path] = set()
    for line, row in enumerate(frame.to_dict("records"), 2):
        where, disease = f"OCTDL_labels.csv, line {line}", str(row["disease"])
        if disease not in CODES:
            problems.add(f"{where}: {disease!r} is none of {', '.join(CODES)}")
            continue
        path = find_image(found[disease], str(row["file_name"]))
        if path is None:
            problems.add(f"{where}: no image file for {row['file_name']!r} in {disease}")
            continue
        named.add(path)
        eye = _EYES.get(str(row.get("eye", "")).casefold(), "")
        patient = whole_number(str(row["patient_id"]), problems, f"{where}: patient_id")
        record = {
            "image_id": path.stem,
            "path": path,
            "patient_id": patient,
            "eye": eye,
            "label": CODES[disease],
        }
        records.append(record)
    for files in found.values():
        report_rowless(files, named, base / "OCTDL_labels.csv", problems)
    problems.stop(where=str(base))
    return table(records, ["label"])


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic B-scans in OCTDL's layout."""
    from .synthetic.oct_layouts import write_octdl

    write_octdl(root, n, seed)


INFO = DatasetInfo(
    name="octdl",
    title="OCTDL",
    modality="oct",
    tasks=(
        Task("disease", "Disease class", "multiclass", CLASSES, "label", provenance=_PROVENANCE),
        *one_against_rest(CLASSES, _PROVENANCE),
    ),
    access=Access(
        route="Mendeley Data sncdhf53xc, https://data.mendeley.com/datasets/sncdhf53xc",
        licence="CC BY 4.0",
        redistributable=True,
        steps=("Download the archive (version 4).", "Unpack it into <data root>/octdl."),
        layout="""octdl/
  OCTDL_labels.csv   file_name,disease,...,patient_id,...
  OCTDL/             AMD/ DME/ ERM/ NO/ RAO/ RVO/ VID/""",
    ),
    citation="""@article{kulyabin2024octdl,
  author = {Kulyabin, Mikhail and Zhdanov, Aleksei and Nikiforova, Anastasia and others},
  title = {{OCTDL}: Optical coherence tomography dataset for image-based deep learning methods},
  journal = {Scientific Data}, volume = {11}, pages = {365}, year = {2024}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 2064, **{f"label={k}": n for k, n in enumerate((332, 1231, 147, 155, 22, 101, 76))}},
)
