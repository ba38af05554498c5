"""Photograph sets whose label is the folder: Glaucoma Fundus, Retina (four classes), JSIEC-1000."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, Task
from benchbench.datasets.reading import find_base

from .folders import class_table, one_against_rest, read_class_folders

if TYPE_CHECKING:
    import pandas as pd

GLAUCOMA_FOLDERS = {"normal_control": 0, "early_glaucoma": 1, "advanced_glaucoma": 2}
RETINA_FOLDERS = {"1_normal": 0, "2_cataract": 1, "2_glaucoma": 2, "3_retina_disease": 3}
JSIEC_FOLDERS = (
    "0.0.Normal",
    "0.1.Tessellated fundus",
    "0.2.Large optic cup",
    "0.3.DR1",
    "1.0.DR2",
    "1.1.DR3",
    "2.0.BRVO",
    "2.1.CRVO",
    "3.RAO",
    "4.Rhegmatogenous RD",
    "5.0.CSCR",
    "5.1.VKH disease",
    "6.Maculopathy",
    "7.ERM",
    "8.MH",
    "9.Pathological myopia",
    "10.0.Possible glaucoma",
    "10.1.Optic atrophy",
    "11.Severe hypertensive retinopathy",
    "12.Disc swelling and elevation",
    "13.Dragged Disc",
    "14.Congenital disc abnormality",
    "15.0.Retinitis pigmentosa",
    "15.1.Bietti crystalline dystrophy",
    "16.Peripheral retinal degeneration and break",
    "17.Myelinated nerve fiber",
    "18.Vitreous particles",
    "19.Fundus neoplasm",
    "20.Massive hard exudates",
    "21.Yellow-white spots-flecks",
    "22.Cotton-wool spots",
    "23.Vessel tortuosity",
    "24.Chorioretinal atrophy-coloboma",
    "25.Preretinal hemorrhage",
    "26.Fibrosis",
    "27.Laser Spots",
    "28.Silicon oil in eye",
    "29.0.Blur fundus without PDR",
    "29.1.Blur fundus with suspected PDR",
)
_NUMBER = re.compile(r"^[\d.]+\.")
JSIEC_CLASSES = tuple(_NUMBER.sub("", name) for name in JSIEC_FOLDERS)


def load_glaucoma_fundus(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """Three class folders."""
    base = find_base(root, [*GLAUCOMA_FOLDERS], "glaucoma_fundus")
    return class_table(read_class_folders(base, GLAUCOMA_FOLDERS, "glaucoma_fundus"))


def load_retina4(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """Four class folders by their full names: two of them start with ``2_``."""
    base = find_base(root, [*RETINA_FOLDERS], "retina4")
    return class_table(read_class_folders(base, RETINA_FOLDERS, "retina4"))


def load_jsiec(root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    """39 class folders whose names hold dots; files end in ``..JPG``."""
    base = find_base(root, [JSIEC_FOLDERS[0], JSIEC_FOLDERS[-1]], "jsiec")
    return class_table(read_class_folders(base, {name: k for k, name in enumerate(JSIEC_FOLDERS)}, "jsiec"))


def _simulate_glaucoma_fundus(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_glaucoma_fundus

    write_glaucoma_fundus(root, n, seed)


def _simulate_retina4(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_retina4

    write_retina4(root, n, seed)


def _simulate_jsiec(root: Path, n: int | None, seed: int) -> None:
    from .synthetic.glaucoma_layouts import write_jsiec

    write_jsiec(root, n, seed)


_GF = "optic disc and visual field, Kim's Eye Hospital (Ahn et al. 2018)"
GLAUCOMA_FUNDUS = DatasetInfo(
    name="glaucoma_fundus",
    title="Glaucoma Fundus (Kim's Eye Hospital)",
    modality="cfp",
    tasks=(
        Task(
            "grade",
            "Normal, early, advanced",
            "ordinal",
            ("normal", "early", "advanced"),
            "label",
            provenance=_GF,
        ),
        Task(
            "glaucoma",
            "Glaucoma, early or advanced",
            "binary",
            ("normal", "glaucoma"),
            "label",
            positive=(1, 2),
            provenance=_GF,
        ),
        Task(
            "early",
            "Early glaucoma against normal",
            "binary",
            ("normal", "early glaucoma"),
            "label",
            positive=(1,),
            exclude=(2,),
            provenance=_GF,
        ),
    ),
    access=Access(
        route="Harvard Dataverse, doi:10.7910/DVN/1YRRAC",
        licence="CC0 1.0 (as catalogued; check the page)",
        redistributable=True,
        steps=("Download the archive from Harvard Dataverse.", "Unpack it into <data root>/glaucoma_fundus."),
        layout="glaucoma_fundus/\n  normal_control/  early_glaucoma/  advanced_glaucoma/    (1,544 disc crops)",
    ),
    citation="""@article{ahn2018glaucoma,
  author = {Ahn, Jin Mo and Kim, Sangsoo and Ahn, Kwang-Sung and Cho, Sung-Hoon and Lee, Kwan Bok and Kim, Ungsoo},
  title = {A deep learning model for the detection of both advanced and early glaucoma using fundus photography},
  journal = {PLoS ONE}, volume = {13}, number = {11}, pages = {e0207982}, year = {2018}}""",
    load=load_glaucoma_fundus,
    simulate=_simulate_glaucoma_fundus,
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 1544},
)

_R4 = "folder of the repository; who labelled is not stated"
_R4_CLASSES = ("normal", "cataract", "glaucoma", "retina disease")
RETINA4 = DatasetInfo(
    name="retina4",
    title="Retina, four classes",
    modality="cfp",
    tasks=(
        Task("disease", "Disease class", "multiclass", _R4_CLASSES, "label", provenance=_R4),
        *one_against_rest(_R4_CLASSES, _R4),
    ),
    access=Access(
        route="Kaggle dataset jr2ngb/cataractdataset (also GitHub yiweichen04/retina_dataset)",
        licence="none stated: all rights reserved",
        redistributable=False,
        steps=("Download the archive.", "Unpack it into <data root>/retina4; the folder dataset/ may stay."),
        layout="retina4/\n  dataset/  1_normal/  2_cataract/  2_glaucoma/  3_retina_disease/    (601 files)",
    ),
    citation=r"""@misc{retina4,
  title = {Retina dataset: normal, cataract, glaucoma and retina disease},
  howpublished = {GitHub repository yiweichen04/retina\_dataset; Kaggle dataset jr2ngb/cataractdataset},
  note = {no paper and no licence are given}}""",
    load=load_retina4,
    simulate=_simulate_retina4,
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 601, **{f"label={k}": n for k, n in enumerate((300, 100, 101, 100))}},
)

_JSIEC = "two graders and a senior specialist, Joint Shantou International Eye Centre (Cen et al. 2021)"
JSIEC = DatasetInfo(
    name="jsiec",
    title="JSIEC-1000",
    modality="cfp",
    tasks=(
        Task("disease", "39 fundus classes", "multiclass", JSIEC_CLASSES, "label", provenance=_JSIEC),
        Task(
            "normal",
            "Normal against all others",
            "binary",
            ("other", "normal"),
            "label",
            positive=(0,),
            provenance=_JSIEC,
        ),
    ),
    access=Access(
        route="Zenodo 3477553, https://zenodo.org/records/3477553 ; Kaggle dataset linchundan/fundusimage1000",
        licence="other (open); copyright JSIEC",
        redistributable=False,
        steps=("Download the archive.", "Unpack it into <data root>/jsiec; the folder 1000images/ may stay."),
        layout="jsiec/\n  1000images/  0.0.Normal/<uuid>..JPG  ...  29.1.Blur fundus with suspected PDR/",
    ),
    citation="""@article{cen2021jsiec,
  author = {Cen, Ling-Ping and Ji, Jie and Lin, Jian-Wei and others},
  title = {Automatic detection of 39 fundus diseases and conditions in retinal photographs using deep neural networks},
  journal = {Nature Communications}, volume = {12}, pages = {4828}, year = {2021}}""",
    load=load_jsiec,
    simulate=_simulate_jsiec,
    paired_eyes=True,
    default_split="grouped_stratified",
    expected={"total": 1000},
)
