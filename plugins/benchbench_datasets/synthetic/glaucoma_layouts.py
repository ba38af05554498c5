"""Synthetic photographs for glaucoma, four-class, many-class and table sets, in the genuine layouts."""

from __future__ import annotations

import io
import re
import uuid
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .anatomy import Camera, Findings, draw_person
from .dr_layouts import draw_dme
from .findings import HEALTHY_CUP, dr_findings, glaucoma_findings, seen_grade
from .fundus import render_fundus
from .seeds import exact_counts, generator
from .writing import save, start, write_csv

CAMERAS = {
    "papila": Camera(340, 256, 0.74, (150, 84, 48), (26, 20, 14), centre="between"),
    "glaucoma_fundus": Camera(
        240, 240, 2.6, (150, 88, 50), (30, 20, 14), centre="disc", sharpness=(0.6, 0.35)
    ),
    "origa": Camera(320, 256, 1.02, (158, 92, 60), (24, 18, 14), centre="between"),
    "retina4": Camera(320, 224, 0.70, (140, 76, 38), (30, 20, 14), centre="between"),
    "jsiec": Camera(300, 256, 0.92, (150, 78, 34), (32, 22, 14), centre="between"),
    "areds": Camera(288, 240, 0.90, (146, 74, 36), (30, 18, 12), haze=0.10),
    "brset": Camera(300, 240, 0.78, (134, 70, 36), (30, 20, 14), centre="between"),
    "retinamnist": Camera(224, 224, 0.96, (120, 66, 32), (30, 20, 14)),
}
_PAPILA_BALANCE = (333, 87, 68)  # healthy, glaucoma, suspect, in PAPILA's own codes


def photograph(
    dataset: str, patient: str, eye: str, image: str, findings: Findings, seed: int
) -> Image.Image:
    """One photograph with these findings; patient, eye and image each have their own random stream."""
    camera = CAMERAS[dataset]
    person = draw_person(camera, generator(seed, dataset, patient))
    return render_fundus(
        camera, person, eye, findings, generator(seed, dataset, patient, eye), generator(seed, dataset, image)
    )


def healthy_findings(rng: np.random.Generator) -> Findings:
    """A healthy eye."""
    return Findings(cup_to_disc=float(np.clip(rng.normal(*HEALTHY_CUP), 0.15, 0.7)))


def write_papila(root: Path, n: int | None, seed: int) -> None:
    """Both eyes per patient, two spreadsheets with three header rows, ids that skip numbers."""
    n = max(n or 120, 40)
    start(root, "papila", n, seed)
    patients = n // 2
    rng = generator(seed, "papila")
    codes = exact_counts(patients, _PAPILA_BALANCE, rng, at_least=3)
    numbers = 2 + np.cumsum(rng.integers(1, 4, patients))
    rows: dict[str, list[list[object]]] = {"OD": [], "OS": []}
    for p, number in enumerate(int(v) for v in numbers):
        own = generator(seed, "papila", "patient", number)
        shift = float(own.normal(0, 0.05))
        age, sex = int(np.clip(own.normal(58 + 10 * (codes[p] == 1), 11), 20, 90)), int(own.integers(2))
        for eye in ("OD", "OS"):
            # One patient in eight has different diagnoses in the two eyes.
            other = eye == "OS" and own.random() < 0.125
            diagnosis = int(own.integers(3)) if other else int(codes[p])
            findings = glaucoma_findings(diagnosis, shift, own)
            name = f"RET{number:03d}{eye}"
            save(
                photograph("papila", str(number), eye, name, findings, seed),
                root / "FundusImages" / f"{name}.jpg",
            )
            rows[eye].append(_clinical(number, age, sex, diagnosis, own))
    for eye, lines in rows.items():
        _write_sheet(root / "ClinicalData" / f"patient_data_{eye.lower()}.xlsx", lines)


def _clinical(number: int, age: int, sex: int, diagnosis: int, rng: np.random.Generator) -> list[object]:
    """A row of the spreadsheet; pressure and visual field depend on the diagnosis and are often empty."""

    def sparse(value: float, missing: float) -> float | None:
        return None if rng.random() < missing else round(float(value), 2)

    pressure = rng.normal((15, 20, 18)[diagnosis], 3)
    field = rng.normal((-0.5, -7.0, -1.5)[diagnosis], (0.9, 5.0, 1.5)[diagnosis])
    optics = [
        sparse(rng.normal(0, 2), 0.05),
        sparse(rng.normal(-0.6, 0.5), 0.05),
        sparse(rng.uniform(0, 180), 0.1),
    ]
    rest = [int(rng.integers(2)), sparse(pressure, 0.6), sparse(pressure + rng.normal(0, 1), 0.3)]
    body = [sparse(rng.normal(540, 30), 0.3), sparse(rng.normal(23.5, 1), 0.3), sparse(field, 0.5)]
    return [f"#{number:03d}", age, sex, diagnosis, *optics, *rest, *body]


_SHEET_COLUMNS = [
    "Age",
    "Gender",
    "Diagnosis",
    "dioptre_1",
    "dioptre_2",
    "astigmatism",
    "Phakic/Pseudophakic",
    "Pneumatic",
    "Perkins",
    "Pachymetry",
    "Axial_Length",
    "VF_MD",
]


def _write_sheet(path: Path, rows: list[list[object]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(
        ["", "Demographics", "", "Diagnosis", "Refractive error", "", "", "", "IOP", "", "", "", "Field"]
    )
    sheet.append(["", *_SHEET_COLUMNS])
    sheet.append(["ID"])
    for row in rows:
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_without_clock(buffer.getvalue()))


def _without_clock(book: bytes) -> bytes:
    """The same spreadsheet without the moment of writing, so that one seed gives one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2022-01-01T00:00:00Z", content)
            new.writestr(zipfile.ZipInfo(name), content)  # a ZipInfo of its own has the date 1980-01-01
    return out.getvalue()


def write_glaucoma_fundus(root: Path, n: int | None, seed: int) -> None:
    """Disc crops in three class folders."""
    n = max(n or 120, 45)
    start(root, "glaucoma_fundus", n, seed)
    codes = exact_counts(n, (788, 289, 467), generator(seed, "glaucoma_fundus"), at_least=10)
    stages = {"normal_control": 0, "early_glaucoma": 2, "advanced_glaucoma": 1}
    for c, (folder, diagnosis) in enumerate(stages.items()):
        for k in range(int((codes == c).sum())):
            name = f"{folder}_{k + 1}"
            own = generator(seed, "glaucoma_fundus", "findings", name)
            eye = ("OD", "OS")[int(own.integers(2))]
            picture = photograph(
                "glaucoma_fundus", name, eye, name, glaucoma_findings(diagnosis, 0.0, own), seed
            )
            save(picture, root / folder / f"{k + 1}.png")


def write_origa(root: Path, n: int | None, seed: int) -> None:
    """``OrigaList.csv`` and numbered JPG files."""
    n = max(n or 100, 40)
    start(root, "origa", n, seed)
    labels = exact_counts(n, (482, 168), generator(seed, "origa"), at_least=8)
    rows = []
    for k, label in enumerate(int(v) for v in labels):
        name = f"{k + 1:03d}.jpg"
        own = generator(seed, "origa", "findings", name)
        findings = glaucoma_findings(label, 0.0, own)
        eye = ("OD", "OS")[k % 2]
        save(photograph("origa", name, eye, name, findings, seed), root / "Images" / name)
        rows.append([eye, name, "A", "", round(findings.cup_to_disc, 4), label])
    write_csv(root / "OrigaList.csv", ["Eye", "Filename", "Set", "ExpCDR", "CDR", "Glaucoma"], rows)


def disease_findings(rng: np.random.Generator) -> Findings:
    """A mixture of retinal diseases."""
    kind = int(rng.integers(4))
    if kind == 0:
        grade = int(rng.integers(2, 5))
        return dr_findings(grade, draw_dme(grade, rng), rng)
    if kind == 1:
        return replace(healthy_findings(rng), drusen=int(rng.integers(20, 60)))
    if kind == 2:
        return replace(healthy_findings(rng), geographic_atrophy=float(rng.uniform(0.08, 0.25)))
    return replace(
        healthy_findings(rng), cotton_wool=int(rng.integers(3, 9)), haemorrhages=int(rng.integers(10, 40))
    )


def write_retina4(root: Path, n: int | None, seed: int) -> None:
    """Four class folders below ``dataset``, two of which start with ``2_``."""
    n = max(n or 120, 48)
    start(root, "retina4", n, seed)
    folders = (
        ("1_normal", "NL"),
        ("2_cataract", "cataract"),
        ("2_glaucoma", "Glaucoma"),
        ("3_retina_disease", "Retina"),
    )
    codes = exact_counts(n, (300, 100, 101, 100), generator(seed, "retina4"), at_least=10)
    for c, (folder, stem) in enumerate(folders):
        for k in range(int((codes == c).sum())):
            name = f"{stem}_{k + 1:03d}"
            own = generator(seed, "retina4", "findings", name)
            if c == 1:
                findings = replace(healthy_findings(own), cataract=float(own.uniform(0.15, 0.9)))
            elif c == 2:
                findings = glaucoma_findings(1, 0.0, own)
            else:
                findings = disease_findings(own) if c == 3 else healthy_findings(own)
            eye = ("OD", "OS")[int(own.integers(2))]
            save(
                photograph("retina4", name, eye, name, findings, seed),
                root / "dataset" / folder / f"{name}.png",
            )


def write_jsiec(root: Path, n: int | None, seed: int) -> None:
    """39 class folders with dots in their names; files end in ``..JPG``."""
    from ..class_sets import JSIEC_FOLDERS

    n = max(n or 195, 5 * len(JSIEC_FOLDERS))
    start(root, "jsiec", n, seed)
    weights = tuple(38 if k == 0 else 5 + (7 * k) % 40 for k in range(len(JSIEC_FOLDERS)))
    codes = exact_counts(n, weights, generator(seed, "jsiec"), at_least=4)
    for c, folder in enumerate(JSIEC_FOLDERS):
        for k in range(int((codes == c).sum())):
            own = generator(seed, "jsiec", folder, k)
            name = str(uuid.UUID(bytes=own.bytes(16), version=4))
            findings = healthy_findings(own) if c == 0 else _of_class(c, own)
            eye = ("OD", "OS")[int(own.integers(2))]
            save(
                photograph("jsiec", name, eye, name, findings, seed),
                root / "1000images" / folder / f"{name}..JPG",
            )


def _of_class(c: int, rng: np.random.Generator) -> Findings:
    """Findings that belong together for one of JSIEC's classes: a fixed mixture per class, varied per image."""
    mixture = generator(0, "jsiec class", c)
    cup = 0.75 if mixture.random() < 0.2 else 0.4
    many = {name: int(size * mixture.random() * (mixture.random() < 0.35)) for name, size in _SIZES.items()}
    counts: dict[str, Any] = {name: int(rng.poisson(size)) for name, size in many.items()}
    return Findings(
        **counts,
        exudates_at_macula=bool(mixture.random() < 0.5),
        cup_to_disc=float(np.clip(rng.normal(cup, 0.08), 0.15, 0.9)),
        atrophy=0.5 if mixture.random() < 0.2 else 0.0,
        cataract=float(rng.uniform(0.3, 0.7)) if mixture.random() < 0.15 else 0.0,
        geographic_atrophy=float(rng.uniform(0.1, 0.25)) if mixture.random() < 0.25 else 0.0,
        preretinal=bool(mixture.random() < 0.15),
        new_vessels=bool(mixture.random() < 0.15),
        beading=1.0 if mixture.random() < 0.2 else 0.0,
    )


_SIZES = {
    "microaneurysms": 90,
    "haemorrhages": 60,
    "exudates": 300,
    "cotton_wool": 10,
    "laser": 70,
    "drusen": 60,
}


def write_areds(root: Path, n: int | None, seed: int) -> None:
    """A table of one's own: image, patient, eye, grade 0 to 3."""
    n = max(n or 120, 48)
    start(root, "areds", n, seed)
    grades = exact_counts(n // 2, (40, 20, 25, 15), generator(seed, "areds"), at_least=4)
    rows = []
    for p, grade in enumerate(int(g) for g in grades):
        for eye in ("OD", "OS"):
            name = f"{50000 + p}_{eye}.jpg"
            own = generator(seed, "areds", "findings", name)
            drusen = (
                int(own.integers(0, 3)),
                int(own.integers(6, 18)),
                int(own.integers(18, 50)),
                int(own.integers(10, 50)),
            )
            findings = replace(healthy_findings(own), drusen=drusen[grade])
            if grade == 3:
                findings = replace(findings, geographic_atrophy=float(own.uniform(0.08, 0.22)))
            save(photograph("areds", str(p), eye, name, findings, seed), root / "images" / name)
            rows.append([name, 50000 + p, eye, grade])
    write_csv(root / "labels.csv", ["image", "patient", "eye", "grade"], rows)


def write_brset(root: Path, n: int | None, seed: int) -> None:
    """``labels.csv`` with its codes (1 and 2, ``bv``, yes and no) and empty cells, two eyes per patient."""
    n = max(n or 160, 80)
    start(root, "brset", n, seed)
    patients = n // 2
    rng = generator(seed, "brset")
    grades = exact_counts(patients, (70, 8, 10, 5, 7), rng, at_least=5)
    rows, count = [], 0
    for p in range(patients):
        own = generator(seed, "brset", "patient", p)
        diabetes = bool(grades[p]) or own.random() < 0.15
        for eye in ("OD", "OS"):
            count += 1
            name = f"img{count:05d}"
            grade = int(grades[p])
            seen = seen_grade(grade, own)
            dme = draw_dme(seen, own)
            findings = dr_findings(seen, dme, own)
            glaucomatous, drusen, dull = own.random() < 0.12, own.random() < 0.10, own.random() < 0.12
            if glaucomatous:
                findings = replace(findings, cup_to_disc=float(own.uniform(0.65, 0.9)))
            if drusen:
                findings = replace(findings, drusen=int(own.integers(20, 60)))
            if dull:
                findings = replace(findings, cataract=float(own.uniform(0.3, 0.8)))
            picture = photograph("brset", str(p), eye, name, findings, seed)
            save(picture, root / "fundus_photos" / f"{name}.jpg")
            disc = "bv" if own.random() < 0.01 else 1 + int(glaucomatous)
            insulin = "" if not diabetes else ("yes" if own.random() < 0.3 else "no")
            person = [name, p + 1, 1 if eye == "OD" else 2, "yes" if diabetes else "no", insulin]
            signs = [disc, 1 + int(seen >= 3), 1 + int(dme == 2 or drusen), int(grade > 0), int(dme == 2)]
            rows.append([*person, *signs, int(drusen), "Inadequate" if dull else "Adequate", grade])
    header = ["image_id", "patient_id", "exam_eye", "diabetes", "insuline", "optic_disc", "vessels", "macula"]
    write_csv(
        root / "labels.csv",
        [*header, "diabetic_retinopathy", "macular_edema", "amd", "quality", "DR_ICDR"],
        rows,
    )
