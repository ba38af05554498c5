"""APTOS-2019 Blindness Detection: 3,662 graded photographs from rural India.

The files are Kaggle's (``train.csv``, ``train_images/<id_code>.png``). Two further forms circulate and are read as
well: class folders of 224 px images, and the re-split form with three tables and three folders. The 1,928 test
images have no public labels and stay out. 251 training images in 123 sets are byte-identical, 30 of these sets with
conflicting grades; there are no patient identifiers, so identical files are the only groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo
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

from .dr import GRADE_NAMES, dr_tasks

if TYPE_CHECKING:
    import pandas as pd

_RESPLIT = {
    "train": ("train_1.csv", "train_images"),
    "val": ("valid.csv", "val_images"),
    "test": ("test.csv", "test_images"),
}
_RESIZED = ("colored_images", "gaussian_filtered_images")
_CLASS_FOLDERS = ("No_DR", "Mild", "Moderate", "Severe", "Proliferate_DR")
_PROVENANCE = "one clinician per image, Aravind Eye Hospital, for the APTOS-2019 challenge (scale 0 to 4)"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The graded images, from whichever of the three forms is there."""
    base = find_base(root, ["|".join(("train.csv", "train_1.csv", "No_DR", *_RESIZED))], "aptos2019")
    if find_entry(base, "train_1.csv"):
        return _read_tables(base, _RESPLIT)
    if find_entry(base, "train.csv"):
        folders = [f for f in ("train_images", "train") if find_entry(base, f)]
        if folders:
            return _read_tables(base, {"": ("train.csv", folders[0])})
    for inner in (
        ".",
        *_RESIZED,
        *(f"{name}/{name}" for name in _RESIZED),
    ):  # Kaggle's archives double the folder
        folder = find_entry(base, inner)
        if folder is not None and find_entry(folder, "No_DR"):
            return _read_folders(folder)
    base = find_base(base, ["train.csv", "train_images"], "aptos2019")
    return _read_tables(base, {"": ("train.csv", "train_images")})


def _read_tables(base: Path, parts: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    problems = Problems("aptos2019")
    records: list[dict[str, object]] = []
    for split, (label_name, folder_name) in parts.items():
        label_path, folder = find_entry(base, label_name), find_entry(base, folder_name)
        if label_path is None or folder is None:
            problems.add(f"not found: {label_name if label_path is None else folder_name}")
            continue
        found = image_files(folder / folder_name if (folder / folder_name).is_dir() else folder)
        named: set[Path] = set()
        labels = read_table(label_path, ("id_code", "diagnosis"), "aptos2019")
        for line, row in enumerate(labels.to_dict("records"), 2):
            where = f"{label_path.name}, line {line} ({row['id_code']})"
            path = find_image(found, str(row["id_code"]))
            if path is None:
                problems.add(f"{where}: no image file for {row['id_code']!r} in {folder.name}")
                continue
            grade = code(row["diagnosis"], 5, problems, f"{where}: diagnosis")
            named.add(path)
            records.append({"image_id": path.stem, "path": path, "split": split, "grade": grade})
        report_rowless(found, named, label_path, problems)
    problems.stop(where=str(base), fix="the download may be unfinished; see `bench data how-to aptos2019`")
    return table(records, ["grade"])


def _read_folders(base: Path) -> pd.DataFrame:
    records: list[dict[str, object]] = []
    problems = Problems("aptos2019")
    for name in _CLASS_FOLDERS:
        folder = find_entry(base, name)
        if folder is None:
            problems.add(f"not found: the class folder {name}")
            continue
        grade = float(GRADE_NAMES[name])
        records += [{"image_id": p.stem, "path": p, "grade": grade} for p in image_files(folder).values()]
    problems.stop(where=str(base))
    return table(sorted(records, key=lambda r: str(r["image_id"])), ["grade"])


def checksums() -> Mapping[str, str]:
    """sha256 of Kaggle's files, by their path."""
    text = (files(__package__) / "checksums" / "aptos2019.txt").read_text(encoding="utf-8")
    return {path: digest for digest, path in (line.split("  ", 1) for line in text.splitlines())}


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic photographs in Kaggle's layout."""
    from .synthetic.dr_layouts import write_aptos

    write_aptos(root, n, seed)


INFO = DatasetInfo(
    name="aptos2019",
    title="APTOS-2019 Blindness Detection",
    modality="cfp",
    tasks=dr_tasks(_PROVENANCE),
    access=Access(
        route="Kaggle competition aptos2019-blindness-detection, "
        "https://www.kaggle.com/competitions/aptos2019-blindness-detection",
        licence="competition rules: no redistribution",
        redistributable=False,
        steps=(
            "Make a Kaggle account, open the page above and accept the rules.",
            "kaggle competitions download -c aptos2019-blindness-detection",
            "Unpack the archive into <data root>/aptos2019 (about 10 GB).",
        ),
        layout="""aptos2019/
  train.csv                     id_code,diagnosis
  train_images/<id_code>.png    3,662 files
  test.csv, test_images/        1,928 files without labels; not used""",
    ),
    citation="""@misc{aptos2019,
  author = {{Asia Pacific Tele-Ophthalmology Society}},
  title = {{APTOS} 2019 Blindness Detection}, howpublished = {Kaggle competition}, year = {2019}}""",
    load=load,
    simulate=simulate,
    cluster=None,
    paired_eyes=False,
    default_split="grouped_stratified",
    expected={"total": 3662, **{f"grade={g}": n for g, n in enumerate((1805, 370, 999, 193, 295))}},
    checksums=checksums,
)
