"""OLIVES: B-scans of 96 eyes with sixteen biomarkers, mapped to the signatures they share with `oct_signatures`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import Problems, code, find_base, read_table, table, whole_number

if TYPE_CHECKING:
    import pandas as pd

TABLE = "Biomarker_Clinical_Data_Images.csv"
MARKERS = {
    "irf": ("Fluid (IRF)", "Intraretinal fluid"),
    "srf": ("Fluid (SRF)", "Subretinal fluid"),
    "ped": ("PED (serous)", "Serous pigment epithelium detachment"),
    "hrf": ("IR HRF", "Intraretinal hyperreflective foci"),
    "dme": ("DRT/ME", "Diffuse retinal thickening or macular oedema"),
    "ez_disruption": ("Disruption of EZ", "Disruption of the ellipsoid zone"),
    "rpe_disruption": ("Disruption of RPE", "Disruption of the pigment epithelium"),
    "atrophy": ("Atrophy / thinning of retinal layers", "Atrophy or thinning of retinal layers"),
    "vitreous_debris": ("Vitreous debris", "Vitreous debris"),
}
_PATH = "Path (Trial/Arm/Folder/Visit/Eye/Image Name)"
_PROVENANCE = "biomarkers read per B-scan by a trained grader (Prabhushankar et al. 2022)"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The labelled B-scans; the group is the patient, whose two eyes may both be in the trial."""
    base = find_base(root, [TABLE], "olives")
    frame = read_table(base / TABLE, (_PATH, "Patient_ID", *(c for c, _ in MARKERS.values())), "olives")
    problems = Problems("olives")
    records: list[dict[str, object]] = []
    for line, row in enumerate(frame.to_dict("records"), 2):
        where, relative = f"{TABLE}, line {line}", str(row[_PATH]).lstrip("/ ")
        path = next((p for p in (base / relative, base / "OLIVES" / relative) if p.is_file()), None)
        if path is None:
            problems.add(f"{where}: no image file {relative}")
            continue
        labels = {k: code(row[c], 2, problems, f"{where}: {c}") for k, (c, _) in MARKERS.items()}
        eye = next((e for e in ("OD", "OS") if e in path.parts), "")
        image_id = path.relative_to(base).with_suffix("").as_posix()
        patient = whole_number(str(row["Patient_ID"]), problems, f"{where}: Patient_ID")
        head = {"image_id": image_id, "path": path, "patient_id": patient, "eye": eye}
        records.append(head | labels)
    problems.stop(where=str(base))
    return table(records, list(MARKERS))


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic volumes in the layout of OLIVES."""
    from .synthetic.oct_layouts import write_olives

    write_olives(root, n, seed)


INFO = DatasetInfo(
    name="olives",
    title="OLIVES biomarkers",
    modality="oct",
    tasks=(
        Task(
            "biomarkers",
            "Biomarkers",
            "multilabel",
            tuple(title for _, title in MARKERS.values()),
            columns=tuple(MARKERS),
            provenance=_PROVENANCE,
        ),
        *(
            Task(name, title, "binary", ("absent", "present"), name, provenance=_PROVENANCE)
            for name, (_, title) in MARKERS.items()
        ),
    ),
    access=Access(
        route="Zenodo 7105232, https://zenodo.org/records/7105232 ; Hugging Face gOLIVES/OLIVES_Dataset",
        licence="CC BY 4.0 (Zenodo); the Hugging Face card states MIT",
        redistributable=True,
        steps=(
            "Download OLIVES.zip and the label archive from Zenodo (large: about 40 GB).",
            f"Put {TABLE} and the folders it names into <data root>/olives.",
        ),
        layout=f"olives/\n  {TABLE}\n  Prime_FULL/<folder>/<visit>/<eye>/<n>.png   TREX DME/...",
    ),
    citation="""@inproceedings{prabhushankar2022olives,
  author = {Prabhushankar, Mohit and Kokilepersaud, Kiran and Logan, Yash-yee and others},
  title = {{OLIVES} Dataset: Ophthalmic Labels for Investigating Visual Eye Semantics},
  booktitle = {NeurIPS Datasets and Benchmarks}, year = {2022}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 9408},
)
