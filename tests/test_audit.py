"""The audit finds leaks that are there, names them, and is silent where there is none."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from benchbench.api import PretrainingSet
from benchbench.audit import audit
from benchbench.contamination import contamination
from benchbench.datasets import load_dataset
from benchbench.datasets.duplicates import close_hashes
from benchbench.datasets.local import local_dataset
from benchbench.plugins import registry
from benchbench.splits import SplitSpec


def photograph(seed: int) -> Image.Image:
    from benchbench_datasets.synthetic.dr_layouts import dr_photograph

    return dr_photograph("idrid", f"p{seed}", "OD", f"i{seed}", seed % 5, 0, 0)


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """D/clinic: 24 photographs, 12 patients, an official split without a leak."""
    folder = tmp_path / "clinic"
    (folder / "images").mkdir(parents=True)
    lines = ["image,patient,label,split"]
    for k in range(24):
        photograph(k).save(folder / "images" / f"{k:02d}.png")
        lines.append(f"{k:02d}.png,p{k // 2},{(k // 2) % 2},{'test' if k >= 16 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def findings(root: Path, *names: str, encoders=(), **settings):
    loaded = [load_dataset(local_dataset(root / n), root) for n in names or ("clinic",)]
    return audit(loaded, list(encoders), [f"{d.name}/label" for d in loaded], **settings)


def codes(found, severity: str) -> list[str]:
    return [f.code for f in found if f.severity == severity]


def test_a_clean_split_has_no_leak(clinic):
    found = findings(clinic)
    assert codes(found, "leak") == []
    assert codes(found, "note") == ["split_provenance"]
    note = next(f for f in found if f.code == "split_provenance").message
    assert "fingerprint" in note
    assert "author" not in note  # a split may be a paper's, or the owner's own column


def test_a_patient_in_two_parts_is_a_leak_with_the_images_named(clinic):
    path = clinic / "clinic" / "labels.csv"
    path.write_text(path.read_text().replace("16.png,p8", "16.png,p0"))
    (leak,) = [f for f in findings(clinic) if f.severity == "leak"]
    assert leak.code == "shared_patients"
    assert leak.images == ("16.png",)


def test_identical_files_across_the_split_are_a_leak_and_their_conflict_a_warning(clinic):
    images = clinic / "clinic" / "images"
    shutil.copyfile(images / "00.png", images / "18.png")
    found = findings(clinic)
    (leak,) = [f for f in found if f.severity == "leak"]
    assert leak.code == "identical_files"
    assert set(leak.images) == {"00.png", "18.png"}
    assert "conflicting_labels" in codes(found, "warning")


@pytest.mark.parametrize("change", ["smaller", "jpeg", "brighter"])
def test_a_changed_copy_across_the_split_is_found_as_near_duplicate(clinic, change):
    images = clinic / "clinic" / "images"
    with Image.open(images / "00.png") as image:
        copy = image.convert("RGB")
    if change == "smaller":
        copy = copy.resize((300, 200), Image.Resampling.LANCZOS)
    elif change == "brighter":
        copy = ImageEnhance.Brightness(copy).enhance(1.25)
    if change == "jpeg":
        (images / "19.png").unlink()
        copy.save(images / "19.jpg", quality=70)
        path = clinic / "clinic" / "labels.csv"
        path.write_text(path.read_text().replace("19.png", "19.jpg"))
    else:
        copy.save(images / "19.png")
    (leak,) = [f for f in findings(clinic) if f.severity == "leak"]
    assert leak.code == "near_duplicates"
    assert {i.split(".")[0] for i in leak.images} == {"00", "19"}


def test_images_shared_by_two_datasets_are_named(clinic):
    shutil.copytree(clinic / "clinic", clinic / "other")
    for k in range(2, 24):
        photograph(100 + k).save(clinic / "other" / "images" / f"{k:02d}.png")
    found = [f for f in findings(clinic, "clinic", "other") if f.code == "near_duplicates"]
    assert len(found) == 1
    assert "clinic and other share 2 images" in found[0].message


def resized_copies(root: Path) -> None:
    """D/other: its test images are smaller copies of the clinic's training images, all else is its own."""
    shutil.copytree(root / "clinic", root / "other")
    for k in range(24):
        picture = photograph(k - 16 if k >= 16 else 200 + k)
        picture.resize((300, 200)).save(root / "other" / "images" / f"{k:02d}.png")


@pytest.mark.parametrize(
    ("crossing", "severity"),
    [
        (("clinic", "other", "test"), "leak"),  # trains on what it tests
        (("other", "clinic", "test"), "warning"),  # the copies are neither trained on nor tested
        (("other", "clinic", "all"), "warning"),
        (None, "warning"),
    ],
)
def test_copies_in_another_dataset_are_a_leak_if_the_suite_trains_on_one_and_tests_the_other(
    clinic, crossing, severity
):
    resized_copies(clinic)
    found = findings(clinic, "clinic", "other", crossings=[crossing] if crossing else [])
    (pairs,) = [f for f in found if f.code == "near_duplicates"]
    assert pairs.severity == severity
    assert {i.removesuffix(".png") for i in pairs.images} == {f"{k:02d}" for k in (*range(8), *range(16, 24))}


def test_a_strict_transfer_suite_stops_on_resized_copies_across_its_datasets(clinic, monkeypatch, tmp_path):
    from click.testing import CliRunner

    from benchbench.cli import bench
    from benchbench.errors import AuditError

    resized_copies(clinic)
    suite = clinic / "there.yaml"
    suite.write_text(
        "title: t\nencoders: [untrained/tf_efficientnet_lite0]\ntasks: [clinic/label, other/label]\n"
        "protocols: [transfer]\naudit: strict\n"
    )
    arguments = ["run", str(suite), "--data-root", str(clinic), "--out", str(tmp_path / "out")]
    with pytest.raises(
        AuditError, match="8 images that other is tested on are also among the training images"
    ):
        CliRunner().invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)
    (run,) = (tmp_path / "out").rglob("run.json")
    assert json.loads(run.read_text())["status"] == "failed"


def test_images_without_a_patient_are_counted_and_a_set_without_any_patient_is_not_clustered(clinic):
    path = clinic / "clinic" / "labels.csv"
    path.write_text(path.read_text().replace("03.png,p1", "03.png,").replace("20.png,p10", "20.png,"))
    (warning,) = [f for f in findings(clinic) if f.code == "no_patient_ids"]
    assert "2 of 24 images have no patient" in warning.message

    info = registry().datasets["oct_signatures"]
    assert info.simulate is not None
    info.simulate(clinic / "oct_signatures", 40, 0)
    labels = clinic / "oct_signatures" / "labels.csv"
    lines = [line.split(",") for line in labels.read_text().splitlines()]
    column = lines[0].index("patient_id")
    for cells in lines[1:]:
        cells[column] = ""
    labels.write_text("\n".join(",".join(cells) for cells in lines))
    d = load_dataset(info, clinic)
    assert d.info.cluster is None
    assert d.patients is None
    (warning,) = [f for f in audit([d], [], []) if f.code == "no_patient_ids"]
    assert "no p-value is given" in warning.message


def test_few_test_images_of_a_class_are_counted(clinic):
    (warning,) = [f for f in findings(clinic) if f.code == "low_support"]
    assert "0: 4, 1: 4" in warning.message


def test_contamination_has_three_states_and_follows_where_images_came_from():
    encoder = next(iter(registry().encoders.values()))
    seen = dataclasses.replace(
        encoder,
        pretraining=(PretrainingSet("OCT2017", 109309, "paper"),),
        declared_clean=("idrid",),
        pretraining_complete="",
    )
    datasets = registry().datasets
    assert contamination(seen, datasets["oct2017"])[0] == "in pretraining"
    assert contamination(seen, datasets["octmnist"])[0] == "in pretraining"
    assert contamination(seen, datasets["oct5k"])[0] == "in pretraining"
    assert contamination(seen, datasets["idrid"])[0] == "declared clean"
    assert contamination(seen, datasets["papila"])[0] == "unknown"
    untrained = dataclasses.replace(encoder, weights=None, pretraining=())
    assert contamination(untrained, datasets["papila"])[0] == "declared clean"
    assert "109,309" in contamination(seen, datasets["oct2017"])[1]


def test_a_derived_set_is_clean_only_if_what_it_was_made_from_is_clean():
    encoder = next(iter(registry().encoders.values()))
    clean = dataclasses.replace(encoder, pretraining=(), declared_clean=("oct2017",), pretraining_complete="")
    assert contamination(clean, registry().datasets["oct5k"])[0] == "declared clean"
    other = dataclasses.replace(clean, declared_clean=("idrid",))
    assert contamination(other, registry().datasets["oct5k"])[0] == "unknown"


@pytest.mark.parametrize(
    ("encoder", "dataset", "state"),
    [
        ("mae_imagenet", "idrid", "declared clean"),
        ("resnet50", "oct5k", "declared clean"),
        ("efficientnet_lite0", "papila", "declared clean"),
        ("retfound_green", "idrid", "unknown"),
        ("dinov2_vitl14", "idrid", "unknown"),
        ("retfound_mae_cfp", "idrid", "unknown"),
        ("deretfound", "aptos2019", "unknown"),
        ("urfound", "aptos2019", "unknown"),
        ("retfound_mae_oct", "octmnist", "in pretraining"),
        ("flair", "papila", "in pretraining"),
        ("flair", "retina4", "in pretraining"),
        ("flair", "retfound_retina", "in pretraining"),
    ],
)
def test_the_cards_say_what_is_known_of_their_pretraining_with_a_source(encoder, dataset, state):
    found, why = contamination(registry().encoder(encoder), registry().datasets[dataset])
    assert found == state
    assert why


def test_bench_audit_prints_what_each_encoder_saw_as_a_grid_with_sources(clinic):
    from click.testing import CliRunner

    from benchbench.cli import bench

    suite = clinic / "s.yaml"
    suite.write_text(
        "title: t\nencoders: [dinov2_vitl14, mae_imagenet]\ntasks: [clinic/label]\nprotocols: [linear_probe]\n"
    )
    arguments = ["audit", str(suite), "--data-root", str(clinic)]
    lines = (
        CliRunner()
        .invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)
        .output.splitlines()
    )
    assert any(line.split() == ["dinov2_vitl14", "unknown"] for line in lines)
    assert any(line.split() == ["mae_imagenet", "declared", "clean"] for line in lines)
    assert sum("ImageNet-1k" in line for line in lines) == 1


def test_the_matrix_has_one_finding_per_encoder_and_dataset(clinic):
    encoders = list(registry().encoders.values())[:2]
    found = [f for f in findings(clinic, encoders=encoders) if f.code == "contamination"]
    assert {(f.dataset, f.encoder) for f in found} == {("clinic", e.name) for e in encoders}


def test_close_hashes_agree_with_counting_bits_one_by_one():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, 600, dtype=np.uint64)
    base[300:] = base[:300] ^ (np.uint64(1) << rng.integers(0, 63, 300, dtype=np.uint64))
    expected = {
        (i, j)
        for i in range(600)
        for j in range(i + 1, 600)
        if bin(int(base[i]) ^ int(base[j])).count("1") <= 6
    }
    assert set(close_hashes(base, 6)) == expected
    assert len(expected) >= 300


def test_real_idrid_has_six_identical_pairs_and_one_photograph_exposed_twice(shared, tmp_path):
    import csv

    from benchbench.datasets.verify import verify

    (tmp_path / "idrid").symlink_to(shared / "realdata" / "idrid")
    result = verify(registry().datasets["idrid"], tmp_path)
    with (shared / "realdata" / "idrid" / "labels.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if r["dup_group"]]
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(row["dup_group"], set()).add(row["image_id"])
    assert {frozenset(s) for s in result.identical} == {frozenset(s) for s in groups.values()}
    assert len(result.identical) == 6
    assert len(result.conflicting) == 4
    assert [s for s in result.identical if {i.split("/")[0] for i in s} == {"train", "test"}] == [
        ("train/IDRiD_118", "test/IDRiD_064")
    ]
    assert [(p.first[1], p.second[1]) for p in result.near] == [("train/IDRiD_013", "train/IDRiD_397")]
    assert result.ok


def test_the_six_pairs_of_real_idrid_are_found_without_equal_bytes(shared, tmp_path):
    from benchbench.datasets.duplicates import find_pairs
    from benchbench.store import Store

    source = load_dataset(registry().datasets["idrid"], shared / "realdata")
    repeated = source.frame.duplicated("sha256", keep=False)
    rows = source.frame[repeated | (source.frame.index % 5 == 0)]
    folder = tmp_path / "copies"
    folder.mkdir()
    lines = ["image,label"]
    for k, (path, image_id) in enumerate(zip(rows["path"], rows["image_id"], strict=True)):
        name = str(image_id).replace("/", "_") + ".jpg"
        with Image.open(path) as image:
            image.resize((400 + k % 7, 266 + k % 5)).save(folder / name, quality=70 + k % 20)
        lines.append(f"{name},{k % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    copies = load_dataset(local_dataset(folder), tmp_path)
    pairs = find_pairs([copies], Store())
    assert not any(p.identical for p in pairs)
    found = {frozenset((p.first[1], p.second[1])) for p in pairs}
    wanted = set()
    for _, same in source.frame[repeated].groupby("sha256"):
        wanted.add(frozenset(str(i).replace("/", "_") + ".jpg" for i in same["image_id"]))
    assert found == wanted


def test_real_oct2017_has_patients_and_files_on_both_sides_of_its_split(shared, tmp_path):
    import csv

    from benchbench.datasets.verify import verify

    (tmp_path / "oct2017").symlink_to(shared / "realdata" / "oct_kermany_mini")
    result = verify(registry().datasets["oct2017"], tmp_path)
    with (shared / "realdata" / "oct_kermany_mini" / "labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    patients: dict[str, set[str]] = {}
    for row in rows:
        patients.setdefault(row["patient_id"], set()).add(row["split_in_source"])
    crossing = {p for p, s in patients.items() if len(s) == 2}
    assert len(crossing) == 6
    leak = next(f for f in result.findings if f.code == "shared_patients")
    assert "6 patients" in leak.message
    assert {i.split("-")[1] for i in leak.images} == crossing
    groups = {r["dup_group"] for r in rows if r["dup_group"]}
    assert len(result.identical) == len(groups) == 20
    assert any(f.code == "identical_files" and f.severity == "leak" for f in result.findings)
    split = load_dataset(registry().datasets["oct2017"], tmp_path, split=SplitSpec("grouped_stratified"))
    again = audit([split], [], ["oct2017/disease"])
    assert not [f for f in again if f.severity == "leak"]


def test_a_random_split_of_real_oct_flatters_and_the_grouped_one_does_not(shared, tmp_path):
    """CNV against normal from thumbnails and fine grain: the two figures that leaks.md and results.md print."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (tmp_path / "oct2017").symlink_to(shared / "realdata" / "oct_kermany_mini")
    d = load_dataset(registry().datasets["oct2017"], tmp_path)
    part = d.part("cnv_vs_normal", "all")
    features = np.array([_thumbnail_and_grain(d.paths[row]) for row in part.rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))

    def auroc(folds, groups) -> float:
        scores = cross_val_predict(
            model, features, part.labels, groups=groups, cv=folds, method="predict_proba"
        )
        return float(roc_auc_score(part.labels, scores[:, 1]))

    naive = np.mean([auroc(StratifiedKFold(5, shuffle=True, random_state=s), None) for s in range(3)])
    grouped = np.mean(
        [auroc(StratifiedGroupKFold(5, shuffle=True, random_state=s), part.groups) for s in range(3)]
    )
    assert naive == pytest.approx(0.957, abs=0.02)  # what others measured with a baseline much like it
    assert grouped == pytest.approx(0.878, abs=0.03)
    assert naive - grouped > 0.05
    docs = Path(__file__).parents[1] / "docs"
    for page in ("explanation/leaks.md", "reference/results.md"):
        printed = re.findall(
            r"\b0\.\d{3}\b", next(p for p in (docs / page).read_text().split("\n\n") if "grain" in p)
        )
        assert sorted(map(float, printed)) == pytest.approx(sorted([naive, grouped]), abs=0.005), page


def _thumbnail_and_grain(path: Path) -> np.ndarray:
    """A 16 x 16 grey thumbnail and a histogram of what a blur takes away."""
    with Image.open(path) as image:
        grey = image.convert("L")
    thumbnail = np.asarray(grey.resize((16, 16), Image.Resampling.BOX), dtype=float).ravel() / 255
    small = grey.resize((128, 128))
    grain = np.asarray(small, dtype=float) - np.asarray(
        small.filter(ImageFilter.GaussianBlur(2)), dtype=float
    )
    return np.concatenate([thumbnail, np.histogram(grain, bins=32, range=(-50, 50))[0] / grain.size])
