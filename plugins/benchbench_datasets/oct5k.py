"""OCT5k: B-scans (taken from OCT2017) with boxes around lesions, turned into one label per image.

Only images that the box table names were looked at for lesions: on all others the signatures are unknown, not
absent. The disease class comes from the folder and is known for every image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import IMAGE_SUFFIXES, Problems, find_base, find_entry, read_table, table

if TYPE_CHECKING:
    import pandas as pd

TABLE = "Detection/all_bounding_boxes.csv"
DISEASES = {"normal": 0, "amd": 1, "dme": 2}
SIGNS = {
    "drusen": ("Drusen", ("softdrusen", "harddrusen", "reticulardrusen", "softdrusenped")),
    "ped": ("Drusenoid pigment epithelium detachment", ("softdrusenped",)),
    "fluid": ("Fluid", ("fluid",)),
    "hyperreflective": ("Hyperreflective spots", ("hyperfluorescentspots",)),
    "photoreceptor_loss": ("Disruption of the photoreceptor layer", ("prlayerdisruption",)),
    "geographic_atrophy": ("Geographic atrophy", ("geographicatrophy",)),
}
_BOXES = "boxes drawn by graders (OCT5k), turned into present or absent per image"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """Every image below ``Images``; the group is the scan's folder."""
    base = find_base(root, ["Images", TABLE], "oct5k")
    images = find_entry(base, "Images")
    assert images is not None
    problems = Problems("oct5k")
    known = {c for _, names in SIGNS.values() for c in names} | {"choroidalfolds"}
    boxes: dict[str, set[str]] = {}
    table_path = find_entry(base, TABLE)
    assert table_path is not None
    for line, row in enumerate(read_table(table_path, ("image", "class"), "oct5k").to_dict("records"), 2):
        sign = str(row["class"]).replace(" ", "").casefold()
        if sign not in known:
            problems.add(f"{table_path.name}, line {line}: {row['class']!r} is no known class of box")
        boxes.setdefault(_key(str(row["image"])), set()).add(sign)
    records: list[dict[str, object]] = []
    seen = set()
    for path in sorted(p for p in images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        relative = path.relative_to(images)
        disease = next((d for d in DISEASES if relative.parts[0].casefold().startswith(d)), None)
        if disease is None:
            problems.add(f"{relative}: the folder names none of {', '.join(DISEASES)}")
            continue
        key = _key(relative.as_posix())
        seen.add(key)
        present = boxes.get(key)
        labels = {
            s: float("nan") if present is None else float(bool(present & set(n)))
            for s, (_, n) in SIGNS.items()
        }
        head = {"image_id": relative.with_suffix("").as_posix(), "path": path, "label": DISEASES[disease]}
        records.append(head | {"patient_id": relative.parent.as_posix()} | labels)
    for key in sorted(set(boxes) - seen):
        problems.add(f"{table_path.name} names an image that is not there: {key}")
    problems.stop(where=str(base))
    return table(records, ["label", *SIGNS])


def _key(name: str) -> str:
    """Last two parts of a path without suffix, as the box table and the folders share them."""
    parts = Path(name.replace("\\", "/")).with_suffix("").parts
    return "/".join(parts[-2:]).casefold()


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic B-scans in the layout of OCT5k."""
    from .synthetic.oct_layouts import write_oct5k

    write_oct5k(root, n, seed)


INFO = DatasetInfo(
    name="oct5k",
    title="OCT5k",
    modality="oct",
    tasks=(
        Task(
            "disease", "Disease class", "multiclass", ("Normal", "AMD", "DME"), "label", provenance="OCT2017"
        ),
        *(
            Task(name, title, "binary", ("absent", "present"), name, provenance=_BOXES)
            for name, (title, _) in SIGNS.items()
        ),
    ),
    access=Access(
        route="UCL Research Data Repository, figshare 22128671",
        licence="CC0 (as catalogued; check the page)",
        redistributable=True,
        steps=("Download the archive.", "Unpack it into <data root>/oct5k."),
        layout=f"oct5k/\n  Images/<disease>/<scan>/<file>.png\n  {TABLE}   image,xmin,ymin,xmax,ymax,class",
    ),
    citation="""@article{arikan2025oct5k,
  title = {{OCT5k}: A dataset of multi-disease and multi-graded annotations for retinal layers},
  author = {Arikan, Mustafa and Willoughby, James and Ongun, Sevim and others},
  journal = {Scientific Data}, volume = {12}, year = {2025}}""",
    load=load,
    simulate=simulate,
    cluster="patient_id",
    paired_eyes=False,
    default_split="grouped_stratified",
    expected={"total": 1672},
    derived_from=("oct2017",),
)
