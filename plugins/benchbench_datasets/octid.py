"""OCTID: 572 B-scans in five classes, the class in the file's name; no patients.

RETFound's copy has class folders of other names; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import IMAGE_SUFFIXES, Problems, table

from .folders import one_against_rest

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("Normal", "AMD", "CSR", "DR", "Macular hole")
_PREFIXES = {"normal": 0, "amrd": 1, "armd": 1, "csr": 2, "dr": 3, "mh": 4}
_PROVENANCE = "diagnosis at Sankara Nethralaya, Chennai (Gholami et al. 2020)"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """All images below the folder; the letters before the number say the class."""
    problems = Problems("octid")
    records: list[dict[str, object]] = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        letters = path.stem.rstrip("0123456789 ()_-").casefold()
        if letters not in _PREFIXES:
            problems.add(f"{path.relative_to(root)}: the name starts with none of {', '.join(_PREFIXES)}")
            continue
        records.append({"image_id": path.stem, "path": path, "label": float(_PREFIXES[letters])})
    for k, name in enumerate(CLASSES):
        if not any(r["label"] == k for r in records):
            problems.add(f"no image of the class {name}")
    problems.stop(where=str(root))
    return table(records, ["label"])


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic B-scans in OCTID's layout."""
    from .synthetic.oct_layouts import write_octid

    write_octid(root, n, seed)


INFO = DatasetInfo(
    name="octid",
    title="OCTID",
    modality="oct",
    tasks=(
        Task("disease", "Disease class", "multiclass", CLASSES, "label", provenance=_PROVENANCE),
        *one_against_rest(CLASSES, _PROVENANCE),
    ),
    access=Access(
        route="Borealis Dataverse OCTID, https://borealisdata.ca/dataverse/OCTID",
        licence="CC0 1.0",
        redistributable=True,
        steps=(
            "Download the five archives (NORMAL, AMRD, CSR, DR, MH).",
            "Unpack them below <data root>/octid.",
        ),
        layout="octid/\n  NORMAL/NORMAL1.jpeg ...  AMRD/  CSR/  DR/  MH/",
    ),
    citation="""@article{gholami2020octid,
  author = {Gholami, Peyman and Roy, Priyanka and Parthasarathy, Mohana Kuppuswamy and Lakshminarayanan, Vasudevan},
  title = {{OCTID}: Optical coherence tomography image database},
  journal = {Computers and Electrical Engineering}, volume = {81}, pages = {106532}, year = {2020}}""",
    load=load,
    simulate=simulate,
    cluster=None,
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 572},
)
