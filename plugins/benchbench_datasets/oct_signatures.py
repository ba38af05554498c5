"""Eight signatures of disease in OCT B-scans, as a plain table: the contract for one's own set.

``labels.csv`` has the columns ``image``, ``split``, ``patient_id`` (and ``volume_id`` where known) and the eight
labels as 0, 1 or empty; empty means that nobody looked, and such a cell is left out of its task, never taken for 0.
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
    table,
)

if TYPE_CHECKING:
    import pandas as pd

SIGNATURES = {
    "healthy": "Healthy",
    "foveal_scan": "Foveal scan",
    "srf": "Subretinal fluid",
    "irf": "Intraretinal fluid",
    "drusen": "Drusen",
    "ped": "Pigment epithelium detachment",
    "hdots": "Hyperreflective dots",
    "hfoci": "Hyperreflective foci",
}
_PROVENANCE = "manual marking of B-scans by the owner of the set"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "test": "test", "": ""}


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The table; the group is the patient, or the volume where no patient is given."""
    base = find_base(root, ["labels.csv", "images"], "oct_signatures")
    folder = find_entry(base, "images")
    assert folder is not None
    frame = read_table(base / "labels.csv", ("image", "split", *SIGNATURES), "oct_signatures")
    found = image_files(folder)
    problems = Problems("oct_signatures")
    records: list[dict[str, object]] = []
    for line, row in enumerate(frame.to_dict("records"), 2):
        name = str(row["image"])
        where = f"labels.csv, line {line} ({name})"
        path = find_image(found, name)
        if path is None:
            problems.add(f"{where}: no image file for {name!r} in images")
            continue
        split = str(row["split"]).casefold()
        if split not in _SPLITS:
            problems.add(f"{where}: split {row['split']!r} is none of train, val, test")
        patient = str(row.get("patient_id", "") or row.get("volume_id", "") or "")
        labels = {s: code(row[s], 2, problems, f"{where}: {s}") for s in SIGNATURES}
        head = {"image_id": path.stem, "path": path, "patient_id": patient, "split": _SPLITS.get(split, "")}
        records.append(head | labels)
    problems.stop(where=str(base))
    return table(records, list(SIGNATURES))


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic volumes of neighbouring B-scans; 1,770 images have the published counts of every label and part."""
    from .synthetic.oct_counted import FULL_SIZE, write_counted
    from .synthetic.oct_layouts import write_oct_signatures

    if n == FULL_SIZE:
        write_counted(root, seed)
    else:
        write_oct_signatures(root, n, seed)


INFO = DatasetInfo(
    name="oct_signatures",
    title="OCT signatures (eight labels per B-scan)",
    modality="oct",
    tasks=(
        Task(
            "signatures",
            "Eight signatures",
            "multilabel",
            tuple(SIGNATURES.values()),
            columns=tuple(SIGNATURES),
            provenance=_PROVENANCE,
        ),
        *(
            Task(name, title, "binary", ("absent", "present"), name, provenance=_PROVENANCE)
            for name, title in SIGNATURES.items()
        ),
    ),
    access=Access(
        route="no public set has these labels; bring your own B-scans, or use olives and oct5k",
        licence="that of your own data",
        redistributable=False,
        steps=(
            "Put the B-scans into <data root>/oct_signatures/images.",
            "Write labels.csv with one row per B-scan; leave a cell empty where nobody looked.",
            "Give every B-scan of a volume the same patient_id (or volume_id): neighbours look alike.",
        ),
        layout="""oct_signatures/
  images/      any names
  labels.csv   image,patient_id,split,healthy,foveal_scan,srf,irf,drusen,ped,hdots,hfoci""",
    ),
    citation="""@misc{oct_signatures,
  title = {OCT B-scans with eight labelled signatures},
  note = {unpublished set in a layout of this project; cite the origin of your own images instead}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=True,
    default_split="official",
    version="2",
)
