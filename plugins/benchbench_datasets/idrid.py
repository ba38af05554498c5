"""IDRiD, part "B. Disease Grading": 413 training and 103 test photographs from one Indian clinic.

What is odd about the files: stems repeat between training and test, one column name ends in a blank, the training
table has nine empty columns, lines end in CRLF, and image names have no suffix.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
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

from .dr import DME_RISKS, dr_tasks

if TYPE_CHECKING:
    import pandas as pd

IMAGES = {"train": "1. Original Images/a. Training Set", "test": "1. Original Images/b. Testing Set"}
LABELS = {
    "train": "2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv",
}
_DR = "graded by medical experts for the IDRiD challenge on the international scale (Porwal et al. 2018)"
_DME = "distance of hard exudates from the macula centre, by the IDRiD graders (Porwal et al. 2018)"


def load(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """The table of the grading set; ids are ``train/IDRiD_001`` because the stems repeat."""
    base = find_base(root, [*IMAGES.values(), *LABELS.values()], "idrid")
    problems = Problems("idrid")
    records: list[dict[str, object]] = []
    for split in IMAGES:
        label_path = find_entry(base, LABELS[split])
        folder = find_entry(base, IMAGES[split])
        assert label_path is not None
        assert folder is not None
        labels = read_table(label_path, ("Image name", "Retinopathy grade", "Risk of macular edema"), "idrid")
        found = image_files(folder)
        named: set[Path] = set()
        for line, row in enumerate(labels.to_dict("records"), 2):
            name = str(row["Image name"])
            where = f"{label_path.name}, line {line} ({name})"
            path = find_image(found, name)
            if path is None:
                problems.add(f"{where}: no image file for {name!r} in {folder.name}")
                continue
            named.add(path)
            records.append(
                {
                    "image_id": f"{split}/{path.stem}",
                    "path": path,
                    "split": split,
                    "grade": code(row["Retinopathy grade"], 5, problems, f"{where}: Retinopathy grade"),
                    "dme_risk": code(
                        row["Risk of macular edema"], 3, problems, f"{where}: Risk of macular edema"
                    ),
                }
            )
        report_rowless(found, named, label_path, problems)
    problems.stop(where=str(base))
    return table(records, ["grade", "dme_risk"])


def checksums() -> Mapping[str, str]:
    """sha256 of every original file (4288 x 2848 pixels), by its path in the archive."""
    text = (files(__package__) / "checksums" / "idrid.txt").read_text(encoding="utf-8")
    return {path: digest for digest, path in (line.split("  ", 1) for line in text.splitlines())}


def simulate(root: Path, n: int | None, seed: int) -> None:
    """Synthetic photographs in IDRiD's layout."""
    from .synthetic.dr_layouts import write_idrid

    write_idrid(root, n, seed)


def _dme_tasks() -> tuple[Task, ...]:
    def binary(name: str, title: str, classes: tuple[str, str], positive: tuple[int, ...]) -> Task:
        return Task(name, title, "binary", classes, "dme_risk", positive=positive, provenance=_DME)

    return (
        Task("dme_risk", "Risk of macular oedema", "ordinal", DME_RISKS, "dme_risk", provenance=_DME),
        binary("any_dme", "Any risk of macular oedema", ("no exudate", "any exudate"), (1, 2)),
        *(
            binary(
                f"dme_risk_{k}", f"Macular oedema risk {k} against the others", ("other", DME_RISKS[k]), (k,)
            )
            for k in range(3)
        ),
    )


INFO = DatasetInfo(
    name="idrid",
    title="IDRiD, disease grading",
    modality="cfp",
    tasks=(*dr_tasks(_DR), *_dme_tasks()),
    access=Access(
        route="IEEE DataPort, 'Indian Diabetic Retinopathy Image Dataset (IDRiD)', "
        "https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
        licence="CC BY 4.0",
        redistributable=True,
        steps=(
            "Make a free IEEE account and open the page above.",
            'Download "B. Disease Grading.zip" (about 200 MB).',
            "Unpack it below <data root>/idrid; a wrapper folder does no harm.",
            'Leave "A. Segmentation" out: it shows the same patients under other numbers.',
        ),
        layout="""idrid/
  B. Disease Grading/
    1. Original Images/
      a. Training Set/  IDRiD_001.jpg ... IDRiD_413.jpg
      b. Testing Set/   IDRiD_001.jpg ... IDRiD_103.jpg
    2. Groundtruths/
      a. IDRiD_Disease Grading_Training Labels.csv
      b. IDRiD_Disease Grading_Testing Labels.csv""",
    ),
    citation="""@article{porwal2018idrid,
  author = {Porwal, Prasanna and Pachade, Samiksha and Kamble, Ravi and Kokare, Manesh and Deshmukh, Girish and
            Sahasrabuddhe, Vivek and Meriaudeau, Fabrice},
  title = {Indian Diabetic Retinopathy Image Dataset ({IDRiD})},
  journal = {Data}, volume = {3}, number = {3}, pages = {25}, year = {2018}}""",
    load=load,
    simulate=simulate,
    cluster=None,
    paired_eyes=False,
    default_split="official",
    expected={
        "total": 516,
        "train": 413,
        "test": 103,
        **{f"train/grade={g}": n for g, n in enumerate((134, 20, 136, 74, 49))},
        **{f"test/grade={g}": n for g, n in enumerate((34, 5, 32, 19, 13))},
        **{f"train/dme_risk={g}": n for g, n in enumerate((177, 41, 195))},
        **{f"test/dme_risk={g}": n for g, n in enumerate((45, 10, 48))},
    },
    checksums=checksums,
)
