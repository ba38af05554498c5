"""RETFound's released splits: ImageFolder archives with ``train``, ``val`` and ``test``, already cropped.

Class folders carry the letters a to e so that their order is the order of the classes, with spellings that differ
between the archives (``anodr``, ``anoDR``; ``eproliferativedr``, ``eproDR``; ``ddretina_disease``). They are read by
name, not by order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench_encoders.citations import RETFOUND

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import Problems, find_base, find_entry

from .class_sets import JSIEC_CLASSES, JSIEC_FOLDERS
from .dr import GRADE_NAMES, dr_tasks
from .folders import class_table, one_against_rest, read_class_folders

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = ("train", "val", "test")
_PAPILA = {"anormal": 0, "bsuspectglaucoma": 1, "cglaucoma": 2}
_GLAUCOMA = {"anormal_control": 0, "bearly_glaucoma": 1, "cadvanced_glaucoma": 2}
_RETINA = {"anormal": 0, "bcataract": 1, "cglaucoma": 2, "ddretina_disease": 3, "dretina_disease": 3}
_OCTID = {"ANormal": 0, "ARMD": 1, "CSR": 2, "Diabetic_retinopathy": 3, "Macular_Hole": 4}
_JSIEC = {name: k for k, name in enumerate(JSIEC_FOLDERS)}


def load(
    root: Path, options: Mapping[str, str], name: str = "", spellings: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """The images of the three folders; ids are ``test/cmoderatedr/<file>``."""
    spellings = spellings or {}
    base = find_base(root, list(_SPLITS), name)
    known = {k.casefold(): v for k, v in spellings.items()}
    problems = Problems(name)
    records: list[dict[str, object]] = []
    for split in _SPLITS:
        folder = find_entry(base, split)
        assert folder is not None
        present: dict[str, int] = {}
        for inner in sorted(p for p in folder.iterdir() if p.is_dir()):
            if inner.name.casefold() not in known:
                problems.add(f"{split}/{inner.name}: no class of this name; known are {', '.join(spellings)}")
                continue
            present[inner.name] = known[inner.name.casefold()]
        lacking = set(known.values()) - set(present.values())
        if lacking:
            names = [next(k for k, v in spellings.items() if v == c) for c in sorted(lacking)]
            problems.add(f"{split}: the class folder(s) {', '.join(names)} are missing")
        records += read_class_folders(folder, present, name, "label", split=split, prefix=f"{split}/")
    problems.stop(where=str(base))
    return class_table(records)


def _simulate(root: Path, n: int | None, seed: int, name: str = "") -> None:
    from .synthetic.retfound_layouts import write_retfound

    write_retfound(root, n, seed, name)


def _info(
    name: str,
    title: str,
    folder: str,
    spellings: Mapping[str, int],
    tasks: tuple[Task, ...],
    counts: tuple[int, int, int],
    origin: str,
    modality: str = "cfp",
) -> DatasetInfo:
    listed = " ".join(dict.fromkeys(spellings))
    return DatasetInfo(
        name=name,
        title=title,
        modality="oct" if modality == "oct" else "cfp",
        tasks=tasks,
        access=Access(
            route="links in BENCHMARK.md of the GitHub repository rmaphoh/RETFound",
            licence=f"that of {origin}",
            redistributable=False,
            steps=(
                "Follow the link of the data set in BENCHMARK.md and download the archive.",
                f"Unpack it into <data root>/{name}; the folder {folder} may stay.",
            ),
            layout=f"{name}/\n  {folder}/  train/ val/ test/    each with {listed}",
        ),
        citation=RETFOUND,
        load=partial(load, name=name, spellings=dict(spellings)),
        simulate=partial(_simulate, name=name),
        paired_eyes=origin in ("messidor2", "papila", "glaucoma_fundus", "octid", "retina4", "jsiec"),
        default_split="official",
        expected={"total": sum(counts), **dict(zip(_SPLITS, counts, strict=True))},
        derived_from=(origin,),
    )


_DR_NAMES = {k: v for k, v in GRADE_NAMES.items() if k[0] in "abcde" and k.endswith(("dr", "DR"))}
_FROM = "labels of the original set, in RETFound's released folders"
_SETS = (
    ("aptos2019", "APTOS-2019, RETFound's split", "APTOS2019", _DR_NAMES, (2048, 514, 1100)),
    ("idrid", "IDRiD, RETFound's split", "IDRiD_data", _DR_NAMES, (329, 84, 103)),
    ("messidor2", "MESSIDOR-2, RETFound's split", "MESSIDOR2", _DR_NAMES, (972, 246, 526)),
)
_GRADED = ("healthy", "suspect", "glaucoma")
_STAGED = ("normal", "early", "advanced")
_RETINA_CLASSES = ("normal", "cataract", "glaucoma", "retina disease")
_OCT_CLASSES = ("Normal", "AMD", "CSR", "DR", "Macular hole")


def _class_tasks(classes: tuple[str, ...], *, binary: bool = True) -> tuple[Task, ...]:
    whole = Task("disease", "Class", "multiclass", classes, "label", provenance=_FROM)
    return (whole, *(one_against_rest(classes, _FROM) if binary else ()))


def _stage_tasks(classes: tuple[str, ...]) -> tuple[Task, ...]:
    return (
        Task("grade", ", ".join(classes), "ordinal", classes, "label", provenance=_FROM),
        Task(
            "healthy",
            f"{classes[0]} against the rest",
            "binary",
            ("other", classes[0]),
            "label",
            (0,),
            provenance=_FROM,
        ),
    )


INFOS: tuple[DatasetInfo, ...] = (
    *(
        _info(f"retfound_{origin}", title, folder, names, dr_tasks(_FROM, "label"), counts, origin)
        for origin, title, folder, names, counts in _SETS
    ),
    _info(
        "retfound_papila",
        "PAPILA, RETFound's split",
        "PAPILA",
        _PAPILA,
        _stage_tasks(_GRADED),
        (311, 79, 98),
        "papila",
    ),
    _info(
        "retfound_glaucoma_fundus",
        "Glaucoma Fundus, RETFound's split",
        "Glaucoma_fundus",
        _GLAUCOMA,
        _stage_tasks(_STAGED),
        (861, 218, 465),
        "glaucoma_fundus",
    ),
    _info(
        "retfound_retina",
        "Retina, RETFound's split",
        "Retina",
        _RETINA,
        _class_tasks(_RETINA_CLASSES),
        (336, 84, 181),
        "retina4",
    ),
    _info(
        "retfound_octid",
        "OCTID, RETFound's split",
        "OCTID",
        _OCTID,
        _class_tasks(_OCT_CLASSES),
        (316, 82, 174),
        "octid",
        "oct",
    ),
    _info(
        "retfound_jsiec",
        "JSIEC, RETFound's split",
        "JSIEC",
        _JSIEC,
        _class_tasks(JSIEC_CLASSES, binary=False),
        (534, 150, 316),
        "jsiec",
    ),
)
