"""Synthetic OCT sets: volumes with the eight signatures, and the class sets of Kermany, OCTID, OCTDL and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .oct import SIGNATURES, Scanner, Signs, draw_volume, render_bscan
from .seeds import exact_counts, generator
from .writing import copy, save, start, write_csv

SCANNERS = {
    "oct_signatures": Scanner(256, 256),
    "oct2017": Scanner(256, 248, looks=3.0),
    "octid": Scanner(250, 250, looks=6.0, gain=1.1),
    "octdl": Scanner(300, 220, looks=5.0),
    "olives": Scanner(256, 248, looks=7.0, gain=1.05),
    "oct5k": Scanner(256, 248, looks=3.0),
}
_VOLUME_RATES = {
    # signature: (share of diseased eyes, share of their slices). Together with `_HEALTHY` these give the base rates
    # of 1,360 training images: srf 89, irf 69, drusen 227, ped 220, hfoci 40.
    "srf": (0.24, 0.40),
    "irf": (0.19, 0.40),
    "drusen": (0.44, 0.55),
    "ped": (0.42, 0.56),
    "hfoci": (0.11, 0.40),
}
_HEALTHY = 0.31  # 420 of 1,360
_DOTS = 0.62  # 840 of 1,360; as frequent in healthy eyes
_SLICES = 13
OLIVES_COLUMNS = (
    "Atrophy / thinning of retinal layers",
    "Disruption of EZ",
    "DRIL",
    "IR hemorrhages",
    "IR HRF",
    "Partially attached vitreous face",
    "Fully attached vitreous face",
    "Preretinal tissue/hemorrhage",
    "Vitreous debris",
    "VMT",
    "DRT/ME",
    "Fluid (IRF)",
    "Fluid (SRF)",
    "Disruption of RPE",
    "PED (serous)",
    "SHRM",
)


def draw_lesions(eyes: Sequence[int], rng: np.random.Generator) -> dict[int, set[str]]:
    """Which of the diseased `eyes` have which lesion; every lesion occurs at least once."""
    found: dict[int, set[str]] = {e: set() for e in eyes}
    for name, (share, _) in _VOLUME_RATES.items():
        wanted = min(len(eyes), max(1, round(share * len(eyes))))
        for e in rng.permutation(list(eyes))[:wanted]:
            found[int(e)].add(name)
    return found


def signature_volume(
    seed: int, patient: str, slices: int, lesions: set[str], dots: bool, healthy: bool
) -> list[Signs]:
    """Signatures of the slices of one eye: each lesion covers a run of neighbouring slices."""
    rng = generator(seed, "volume", patient)
    runs = {name: (rng.uniform(-0.8, 0.8), _VOLUME_RATES[name][1]) for name in sorted(lesions)}
    central = slices // 2
    found = []
    for k in range(slices):
        z = 2 * k / max(slices - 1, 1) - 1
        present = {name: abs(z - middle) <= covered * 1.05 for name, (middle, covered) in runs.items()}
        nearest = max((1 - abs(z - m) / (c * 1.05) for m, c in runs.values()), default=0.0)
        thinning = 0.0 if healthy or any(present.values()) else 0.9
        foveal = abs(k - central) <= (0 if slices < 20 else 1)
        found.append(
            Signs(
                foveal_scan=foveal,
                hdots=dots,
                thinning=thinning,
                extent=float(np.clip(nearest, 0, 1)),
                **present,
            )
        )
    return found


def write_slice(dataset: str, patient: str, k: int, slices: int, signs: Signs, seed: int, path: Path) -> None:
    """Draw and save slice `k` of a patient's volume as the dataset's scanner sees it."""
    volume = draw_volume(generator(seed, dataset, patient))
    position = 2 * k / max(slices - 1, 1) - 1
    save(render_bscan(SCANNERS[dataset], volume, signs, position, generator(seed, dataset, patient, k)), path)


def write_oct_signatures(root: Path, n: int | None, seed: int) -> None:
    """``images/`` and ``labels.csv`` with patient, split and the eight labels; some cells are empty (not labelled)."""
    n = max(n or 24 * _SLICES, 8 * _SLICES)
    start(root, "oct_signatures", n, seed)
    patients = round(n / _SLICES)
    rng = generator(seed, "oct_signatures")
    healthy = exact_counts(patients, (1 - _HEALTHY, _HEALTHY), rng, at_least=1)
    dots = exact_counts(patients, (1 - _DOTS, _DOTS), rng, at_least=1)
    n_test = max(3, round(0.25 * patients))
    # Healthy and diseased eyes are in both parts, whatever the size; so is every lesion.
    order = [int(i) for i in np.argsort(healthy, kind="stable")]
    test = set(order[:: max(1, patients // n_test)][:n_test])
    lesions: dict[int, set[str]] = {}
    for part in (test, set(order) - test):
        lesions |= draw_lesions(sorted(p for p in part if not healthy[p]), rng)
    rows = []
    for p in range(patients):
        patient, well = f"P{p + 1:03d}", bool(healthy[p])
        signs_of = signature_volume(seed, patient, _SLICES, lesions.get(p, set()), bool(dots[p]), well)
        for k, signs in enumerate(signs_of):
            name = f"{patient}_{k:02d}.png"
            write_slice("oct_signatures", patient, k, _SLICES, signs, seed, root / "images" / name)
            values = {s: int(getattr(signs, s)) for s in SIGNATURES[1:]}
            values["healthy"] = int(well)
            cells: list[object] = [values[s] for s in SIGNATURES]
            if rng.random() < 0.04:
                cells[int(rng.integers(1, len(cells)))] = ""
            rows.append([name, patient, "test" if p in test else "train", *cells])
    write_csv(root / "labels.csv", ["image", "patient_id", "split", *SIGNATURES], rows)


def class_signs(kind: str, rng: np.random.Generator) -> Signs:
    """Signs of one scan of a disease class, as the class sets have them."""
    foveal = bool(rng.random() < 0.4)
    base = Signs(foveal_scan=foveal, hdots=bool(rng.random() < 0.15), extent=float(rng.uniform(0.4, 1.0)))
    match kind:
        case "cnv" | "amd":
            return replace(base, ped=True, srf=bool(rng.random() < 0.5), irf=bool(rng.random() < 0.3))
        case "dme" | "rvo":
            return replace(base, irf=True, srf=bool(rng.random() < 0.2), hdots=bool(rng.random() < 0.6))
        case "drusen":
            return replace(base, drusen=True)
        case "csr":
            return replace(base, srf=True)
        case "dr":
            return replace(base, hdots=True, hfoci=bool(rng.random() < 0.5))
        case "other":
            return replace(base, thinning=float(rng.uniform(0.5, 1.0)), hfoci=bool(rng.random() < 0.3))
    return replace(base, hdots=False)


def write_oct2017(root: Path, n: int | None, seed: int) -> None:
    """Kermany's folders: wrapper with a trailing blank, patients and files across splits, a name in both splits."""
    n = max(n or 160, 64)
    start(root, "oct2017", n, seed)
    base = root / "OCT2017 "
    classes = {
        "CNV": (0.40, "cnv"),
        "DME": (0.14, "dme"),
        "DRUSEN": (0.12, "drusen"),
        "NORMAL": (0.34, "normal"),
    }
    for index, (label, (share, kind)) in enumerate(classes.items()):
        rng = generator(seed, "oct2017", label)
        total = max(8, round(share * n))
        made = 0
        patient = 1000 * (index + 1)
        while made < total:
            patient += int(rng.integers(1, 40))
            slices = min(int(rng.integers(2, 9)), total - made)
            crossing = rng.random() < 0.2
            first = "test" if rng.random() < 0.25 or made < 2 else "train"
            for k in range(slices):
                other = "train" if first == "test" else "test"
                split = other if crossing and k == slices - 1 else first
                signs = class_signs(kind, generator(seed, "oct2017", label, patient))
                path = base / split / label / f"{label}-{patient}-{k + 1}.jpeg"
                write_slice("oct2017", f"{label}{patient}", k, slices, signs, seed, path)
                if k == 0 and made == 0:
                    copy(path, base / "train" / label / f"{label}-{patient}-{slices + 1}.jpeg")
                    again = base / "train" / label / path.name  # the same name in both splits, other pixels
                    write_slice("oct2017", f"{label}{patient}", slices + 2, slices, signs, seed, again)
            made += slices
    (base / "val").mkdir(exist_ok=True)


def write_octid(root: Path, n: int | None, seed: int) -> None:
    """Borealis: ``.jpeg`` files in one folder per class, the class in the name, no patients."""
    n = max(n or 100, 50)
    start(root, "octid", n, seed)
    names, kinds = ("NORMAL", "AMRD", "CSR", "DR", "MH"), ("normal", "drusen", "csr", "dr", "other")
    codes = exact_counts(n, (206, 55, 102, 107, 102), generator(seed, "octid"), at_least=5)
    for c, (label, kind) in enumerate(zip(names, kinds, strict=True)):
        for k in range(int((codes == c).sum())):
            name = f"{label}{k + 1}"
            signs = class_signs(kind, generator(seed, "octid", "signs", name))
            if label == "MH":
                signs = replace(signs, foveal_scan=True, irf=True, thinning=0.0)
            write_slice("octid", name, 0, 1, signs, seed, root / label / f"{name}.jpeg")


def write_octdl(root: Path, n: int | None, seed: int) -> None:
    """OCTDL: class folders and one table with patients."""
    n = max(n or 140, 84)
    start(root, "octdl", n, seed)
    classes = {
        "AMD": "amd",
        "DME": "dme",
        "ERM": "other",
        "NO": "normal",
        "RAO": "other",
        "RVO": "rvo",
        "VID": "other",
    }
    codes = exact_counts(n, (1231, 147, 155, 332, 22, 101, 76), generator(seed, "octdl"), at_least=8)
    rows = []
    patient = 0
    for c, (label, kind) in enumerate(classes.items()):
        total, made = int((codes == c).sum()), 0
        while made < total:
            patient += 1
            rng = generator(seed, "octdl", "signs", patient)
            slices = min(int(rng.integers(1, 5)), total - made)
            for k in range(slices):
                name = f"{label.lower()}_{1000 + 10 * patient + k}"
                write_slice(
                    "octdl",
                    f"{patient}",
                    k,
                    slices,
                    class_signs(kind, rng),
                    seed,
                    root / "OCTDL" / label / f"{name}.jpg",
                )
                rows.append([name, label, "", "", patient, "", "", "OD" if patient % 2 else "OS"])
            made += slices
    header = ["file_name", "disease", "subcategory", "condition", "patient_id", "sex", "year", "eye"]
    write_csv(root / "OCTDL_labels.csv", header, rows)


def write_olives(root: Path, n: int | None, seed: int) -> None:
    """OLIVES: the biomarker table with paths that start with a blank root, and the volumes it names."""
    n = max(n or 160, 60)
    start(root, "olives", n, seed)
    rows = []
    slices = 8
    eyes = max(8, round(n / slices))
    lesions = draw_lesions(range(eyes), generator(seed, "olives"))
    for p in range(eyes):
        dots = bool(generator(seed, "olives", p).random() < _DOTS)
        signs = signature_volume(seed, f"olives{p}", slices, lesions[p], dots, healthy=False)
        for k, s in enumerate(signs):
            relative = f"Prime_FULL/{p + 1:02d}/W0/{('OD', 'OS')[p % 2]}/{k + 1}.png"
            write_slice("olives", str(p), k, slices, s, seed, root / relative)
            marks = dict.fromkeys(OLIVES_COLUMNS, 0) | {
                "Fluid (IRF)": int(s.irf),
                "Fluid (SRF)": int(s.srf),
                "PED (serous)": int(s.ped),
                "IR HRF": int(s.hfoci or s.hdots),
                "Atrophy / thinning of retinal layers": int(s.thinning > 0),
                "DRT/ME": int(s.irf),
                "Disruption of EZ": int(s.ped or s.srf),
                "Disruption of RPE": int(s.ped or s.drusen),
                "Vitreous debris": int(p % 3 == 0),
            }
            rows.append([f"/{relative}", k + 1, *marks.values(), p + 1, 70, 300, p // 2 + 1])
    header = ["Path (Trial/Arm/Folder/Visit/Eye/Image Name)", "Scan (n/49)", *OLIVES_COLUMNS]
    write_csv(
        root / "Biomarker_Clinical_Data_Images.csv", [*header, "Eye_ID", "BCVA", "CST", "Patient_ID"], rows
    )


def write_oct5k(root: Path, n: int | None, seed: int) -> None:
    """OCT5k: images by disease, and one table of boxes for a part of them."""
    n = max(n or 90, 60)
    start(root, "oct5k", n, seed)
    rows: list[Sequence[object]] = []
    for disease, kind, share in (("AMD", "drusen", 0.43), ("DME", "dme", 0.25), ("NORMAL", "normal", 0.32)):
        for p in range(round(n * share / 3)):
            for k in range(3):
                name = f"{disease}/{disease} ({p + 1})/{disease}_{p + 1}_{k + 1}.png"
                rng = generator(seed, "oct5k", disease, p, k)
                signs = class_signs(kind, generator(seed, "oct5k", disease, p))
                if disease == "AMD":
                    atrophy = 0.9 if p % 4 == 0 else 0.0
                    signs = replace(signs, ped=bool(rng.random() < 0.4), thinning=atrophy)
                write_slice("oct5k", f"{disease}{p}", k, 3, signs, seed, root / "Images" / name)
                boxes = [
                    ("Softdrusen", signs.drusen),
                    ("SoftdrusenPED", signs.ped),
                    ("Fluid", signs.irf or signs.srf),
                    ("Hyperfluorescentspots", signs.hdots),
                    ("PRlayerdisruption", signs.ped or signs.irf),
                    ("Geographicatrophy", signs.thinning > 0),
                ]
                present = [b for b, there in boxes if there]
                rows += [(name, 10, 10, 60, 60, b) for b in (present or [])]
    write_csv(
        root / "Detection" / "all_bounding_boxes.csv",
        ["image", "xmin", "ymin", "xmax", "ymax", "class"],
        rows,
    )
