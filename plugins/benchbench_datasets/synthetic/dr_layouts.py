"""Synthetic diabetic retinopathy sets in the layouts of IDRiD, APTOS-2019 and MESSIDOR-2.

Each set has its own camera (a real domain shift), its own class balance, and the oddities of the original: exact
duplicates, duplicates with conflicting grades, a duplicate across training and test, ungradable rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from .anatomy import Camera, draw_person
from .findings import dr_findings, seen_grade
from .fundus import render_fundus
from .seeds import exact_counts, generator
from .writing import copy, save, start, write_csv

CAMERAS = {
    "idrid": Camera(386, 256, 0.80, (162, 79, 26), (25, 18, 14), notch=True),
    "aptos2019": Camera(
        320, 240, 0.86, (118, 68, 24), (34, 22, 14), centre="between", haze=0.10, framing=0.03
    ),
    "messidor2": Camera(
        336, 224, 0.64, (139, 66, 30), (26, 17, 12), centre="between", sharpness=(0.30, 0.25)
    ),
}
BALANCE = {
    "idrid": ((134, 20, 136, 74, 49), (34, 5, 32, 19, 13)),
    "aptos2019": ((1805, 370, 999, 193, 295),),
    "messidor2": ((1017, 270, 347, 75, 35),),
}
_DME_GIVEN_DR = (0.09, 0.16, 0.75)  # risk 0, 1, 2 among IDRiD images of grade 2 or more


def dr_photograph(
    dataset: str, patient: str, eye: str, image: str, grade: int, dme_risk: int, seed: int
) -> Image.Image:
    """One photograph; patient, eye and image each have their own random stream."""
    camera = CAMERAS[dataset]
    person = draw_person(camera, generator(seed, dataset, patient))
    own = generator(seed, dataset, patient, eye)
    findings = dr_findings(grade, dme_risk, own)
    findings = replace(
        findings, cup_to_disc=float(np.clip(findings.cup_to_disc + person.cup_shift, 0.15, 0.7))
    )
    return render_fundus(camera, person, eye, findings, own, generator(seed, dataset, image))


def draw_dme(grade: int, rng: np.random.Generator) -> int:
    """Macular oedema risk given the grade."""
    return int(rng.choice(3, p=_DME_GIVEN_DR)) if grade >= 2 else 0


def _quality(rng: np.random.Generator) -> int:
    return int(rng.integers(80, 96))


def write_idrid(root: Path, n: int | None, seed: int) -> None:
    """IDRiD, "B. Disease Grading": both label files with their blanks, empty columns and CRLF."""
    n = max(n or 120, 40)
    start(root, "idrid", n, seed)
    base = root / "B. Disease Grading"
    n_test = round(n * 103 / 516)
    grades: dict[str, list[int]] = {}
    risks: dict[str, list[int]] = {}
    for split, size, shares in zip(("train", "test"), (n - n_test, n_test), BALANCE["idrid"], strict=True):
        rng = generator(seed, "idrid", split)
        grades[split] = [int(g) for g in exact_counts(size, shares, rng, at_least=1)]
        risks[split] = [draw_dme(g, rng) for g in grades[split]]
    folders = {
        "train": base / "1. Original Images" / "a. Training Set",
        "test": base / "1. Original Images" / "b. Testing Set",
    }
    twins = _idrid_twins(n - n_test, n_test)
    for split, folder in folders.items():
        for i, (grade, risk) in enumerate(zip(grades[split], risks[split], strict=True), 1):
            path = folder / f"IDRiD_{i:03d}.jpg"
            if (split, i) in twins:
                copy(folders[twins[split, i][0]] / f"IDRiD_{twins[split, i][1]:03d}.jpg", path)
                continue
            name = f"{split}/{i}"
            rng = generator(seed, "idrid", "label", name)
            eye = ("OD", "OS")[int(rng.integers(2))]
            seen = seen_grade(grade, rng)
            picture = dr_photograph("idrid", name, eye, name, seen, risk if seen >= 2 else 0, seed)
            save(picture, path, _quality(rng))
    _idrid_labels(base, grades, risks)


def _idrid_twins(n_train: int, n_test: int) -> dict[tuple[str, int], tuple[str, int]]:
    """Copy -> original: six pairs, the last across training and test, as in the original."""
    pairs = {("train", n_train - k): ("train", 2 + 3 * k) for k in range(5)}
    return {**pairs, ("test", n_test): ("train", 1)}


def _idrid_labels(base: Path, grades: dict[str, list[int]], risks: dict[str, list[int]]) -> None:
    # Of the five pairs inside training two agree; the others and the pair across the split may conflict.
    n_train, n_test = len(grades["train"]), len(grades["test"])
    for k in range(5):
        original, twin = 2 + 3 * k - 1, n_train - k - 1
        grades["train"][twin] = grades["train"][original] if k < 2 else (grades["train"][original] + 1) % 5
        risks["train"][twin] = risks["train"][original]
    grades["test"][n_test - 1], risks["test"][n_test - 1] = (grades["train"][0] + 3) % 5, 0
    folder = base / "2. Groundtruths"
    header = ["Image name", "Retinopathy grade", "Risk of macular edema "]
    for split, letter, word, empty in (("train", "a", "Training", 9), ("test", "b", "Testing", 0)):
        rows = [
            [f"IDRiD_{i:03d}", grade, risk, *[""] * empty]
            for i, (grade, risk) in enumerate(zip(grades[split], risks[split], strict=True), 1)
        ]
        path = folder / f"{letter}. IDRiD_Disease Grading_{word} Labels.csv"
        write_csv(path, [*header, *[""] * empty], rows, newline="\r\n")


def _codes(n: int, digits: int, rng: np.random.Generator) -> list[str]:
    """`n` different hexadecimal names, sorted."""
    found: set[str] = set()
    while len(found) < n:
        found.add(rng.bytes(digits // 2).hex())
    return sorted(found)


def write_aptos(root: Path, n: int | None, seed: int) -> None:
    """APTOS-2019 as Kaggle distributes it; one image in fifteen is a copy of another, some with another grade."""
    n = max(n or 150, 40)
    start(root, "aptos2019", n, seed)
    rng = generator(seed, "aptos2019")
    n_test = n // 5
    codes = _codes(n + n_test, 12, rng)
    order = rng.permutation(len(codes))
    train, test = sorted(codes[i] for i in order[:n]), sorted(codes[i] for i in order[n:])
    grades = [int(g) for g in exact_counts(n, BALANCE["aptos2019"][0], rng, at_least=4)]
    n_pairs = max(2, n // 30)
    chosen = [int(i) for i in rng.permutation(n)[: 2 * n_pairs]]
    pairs = dict(zip(chosen[:n_pairs], chosen[n_pairs:], strict=True))
    for k, (twin, original) in enumerate(pairs.items()):
        grades[twin] = (grades[original] + 1) % 5 if k % 4 == 0 else grades[original]
    for i, (code, grade) in enumerate(zip(train, grades, strict=True)):
        if i not in pairs:
            own = generator(seed, "aptos2019", "label", code)
            seen = seen_grade(grade, own)
            eye = ("OD", "OS")[int(own.integers(2))]
            picture = dr_photograph("aptos2019", code, eye, code, seen, draw_dme(seen, own), seed)
            save(picture, root / "train_images" / f"{code}.png")
    for twin, original in pairs.items():
        copy(root / "train_images" / f"{train[original]}.png", root / "train_images" / f"{train[twin]}.png")
    for k, code in enumerate(test):
        # A part of the public test images are copies of training images; their labels were never released.
        if k % 8 == 0:
            copy(root / "train_images" / f"{train[k]}.png", root / "test_images" / f"{code}.png")
        else:
            own = generator(seed, "aptos2019", "label", code)
            seen = int(exact_counts(1, BALANCE["aptos2019"][0], own)[0])
            save(
                dr_photograph("aptos2019", code, "OD", code, seen, draw_dme(seen, own), seed),
                root / "test_images" / f"{code}.png",
            )
    write_csv(root / "train.csv", ["id_code", "diagnosis"], zip(train, grades, strict=True))
    write_csv(root / "test.csv", ["id_code"], ([c] for c in test))
    write_csv(root / "sample_submission.csv", ["id_code", "diagnosis"], ([c, 0] for c in test))


def write_messidor2(root: Path, n: int | None, seed: int) -> None:
    """MESSIDOR-2: PNG and JPG files, the pairs file, and the adjudicated grades with four ungradable rows."""
    n = 2 * (max(n or 150, 60) // 2)
    start(root, "messidor2", n, seed)
    rng = generator(seed, "messidor2")
    grades = _eye_pairs([int(g) for g in exact_counts(n, BALANCE["messidor2"][0], rng, at_least=3)])
    ungradable = {3, n // 3, n // 2, n - 2}
    table, pairs = [], []
    for exam in range(n // 2):
        names = []
        for side, eye in enumerate(("OD", "OS")):
            i = 2 * exam + side
            png = exam < 0.6 * (n // 2)
            name = (
                f"20{51 + exam % 9:02d}{exam:04d}_{i:05d}_{exam:04d}_PP.png" if png else f"IM{i + 1:06d}.JPG"
            )
            own = generator(seed, "messidor2", "label", name)
            seen = seen_grade(grades[i], own)
            dme = int(draw_dme(seen, own) == 2 and own.random() < 0.5)
            picture = dr_photograph("messidor2", f"exam{exam}", eye, name, seen, 2 * dme, seed)
            save(picture, root / "IMAGES" / name, _quality(own))
            names.append(name)
            # The grades name the JPG files in lower case, unlike the files.
            label = name.replace(".JPG", ".jpg")
            table.append([label, "", "", 0] if i in ungradable else [label, grades[i], dme, 1])
        pairs.append(names)
    write_csv(root / "messidor-2.csv", ["left", "right"], ([b, a] for a, b in pairs), separator=";")
    header = ["image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable"]
    write_csv(root / "messidor_data.csv", header, table)


def _eye_pairs(grades: Sequence[int]) -> list[int]:
    """The same grades, ordered so that most patients have similar grades in both eyes."""
    ordered = sorted(grades)
    rng = np.random.Generator(np.random.PCG64(len(grades)))
    pairs = [ordered[i : i + 2] for i in range(0, len(ordered), 2)]
    # One pair in five exchanges an eye with the next pair in a random order.
    loose = [int(i) for i in rng.permutation(len(pairs))[: len(pairs) // 5]]
    for a, b in zip(loose[::2], loose[1::2], strict=False):
        pairs[a][0], pairs[b][0] = pairs[b][0], pairs[a][0]
    return [g for i in rng.permutation(len(pairs)) for g in pairs[int(i)]]
