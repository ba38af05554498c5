"""The generator: deterministic, without shortcuts, learnable but not trivial, and fast enough to be a default."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchbench.errors import DataError
from benchbench.plugins import registry

PHOTOGRAPHS = 260
VOLUMES, SLICES = 36, 13


@lru_cache(maxsize=3)
def photographs(camera: str = "idrid") -> tuple[list[Image.Image], np.ndarray]:
    """Simulated photographs of one camera and their grades, in IDRiD's class balance."""
    from benchbench_datasets.synthetic.dr_layouts import dr_photograph, draw_dme
    from benchbench_datasets.synthetic.findings import seen_grade
    from benchbench_datasets.synthetic.seeds import exact_counts, generator

    grades = exact_counts(PHOTOGRAPHS, (168, 25, 168, 93, 62), generator(0, "acceptance"))
    images = []
    for i, grade in enumerate(int(g) for g in grades):
        own = generator(0, "acceptance", i)
        seen = seen_grade(grade, own)
        images.append(
            dr_photograph(camera, str(i), ("OD", "OS")[i % 2], str(i), seen, draw_dme(seen, own), 0)
        )
    return images, grades


@lru_cache(maxsize=1)
def bscans() -> tuple[list[Image.Image], list[object], np.ndarray]:
    """B-scans, their signs and their volumes."""
    from benchbench_datasets.synthetic.oct import draw_volume, render_bscan
    from benchbench_datasets.synthetic.oct_layouts import SCANNERS, draw_lesions, signature_volume
    from benchbench_datasets.synthetic.seeds import generator

    lesions = draw_lesions([v for v in range(VOLUMES) if v % 3], generator(0, "acceptance"))
    images, signs, volumes = [], [], []
    for v in range(VOLUMES):
        volume = draw_volume(generator(0, "volume", v))
        found = signature_volume(0, str(v), SLICES, lesions.get(v, set()), v % 5 < 3, v % 3 == 0)
        for k, sign in enumerate(found):
            position = 2 * k / (SLICES - 1) - 1
            images.append(
                render_bscan(SCANNERS["oct_signatures"], volume, sign, position, generator(0, v, k))
            )
            signs.append(sign)
            volumes.append(v)
    return images, signs, np.array(volumes)


def thumbnails(images: list[Image.Image]) -> np.ndarray:
    small = [i.convert("L").resize((16, 16), Image.Resampling.BOX) for i in images]
    return np.stack([np.asarray(i, dtype=float).ravel() for i in small])


def auroc(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, c: float = 0.01
) -> float:
    folds = StratifiedKFold if groups is None else StratifiedGroupKFold
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    cv = folds(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, labels, groups=groups, cv=cv, method="predict_proba")
    return float(roc_auc_score(labels, scores[:, 1]))


def digest(root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


@pytest.mark.parametrize("name", ["idrid", "papila", "oct_signatures"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, name):
    simulate = registry().datasets[name].simulate
    assert simulate is not None
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        simulate(tmp_path / folder, 40, seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_a_simulated_spreadsheet_does_not_hold_the_moment_of_its_writing(tmp_path):
    import zipfile

    registry().datasets["papila"].simulate(tmp_path / "papila", 40, 0)  # type: ignore[misc]
    sheet = tmp_path / "papila" / "ClinicalData" / "patient_data_od.xlsx"
    with zipfile.ZipFile(sheet) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("docProps/core.xml").count(b"2022-01-01T00:00:00Z") == 2


@pytest.mark.slow
@pytest.mark.parametrize("above", [0, 1])
def test_thumbnails_tell_next_to_nothing_about_retinopathy(above):
    images, grades = photographs()
    assert 0.40 < auroc(thumbnails(images), (grades > above).astype(int)) < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["drusen", "hdots"])
def test_thumbnails_of_new_volumes_tell_next_to_nothing_about_small_signs(sign):
    images, signs, volumes = bscans()
    labels = np.array([int(getattr(s, sign)) for s in signs])
    assert 0.33 < auroc(thumbnails(images), labels, volumes, c=1.0) < 0.65


@pytest.mark.slow
def test_imagenet_features_find_retinopathy_but_not_perfectly_and_permuted_labels_not_at_all():
    images, grades = photographs()
    features = imagenet_features(images)
    labels = (grades > 1).astype(int)
    assert 0.75 < auroc(features, labels) < 0.95
    assert permuted(features, labels, None) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_imagenet_features_find_signs_in_new_volumes_but_not_perfectly_and_permuted_labels_not_at_all():
    images, signs, volumes = bscans()
    features = imagenet_features(images)
    for sign in ("drusen", "hdots"):
        labels = np.array([int(getattr(s, sign)) for s in signs])
        assert 0.75 < auroc(features, labels, volumes) < 0.95, sign
        assert permuted(features, labels, volumes) == pytest.approx(0.5, abs=0.06), sign


def imagenet_features(images: list[Image.Image]) -> np.ndarray:
    from benchbench import load_encoder

    return load_encoder("efficientnet_lite0").embed(images)


def permuted(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> float:
    """Mean AUROC after the labels were shuffled."""
    rng = np.random.default_rng(0)
    return float(np.mean([auroc(features, rng.permutation(labels), groups) for _ in range(5)]))


def nuisances(image: Image.Image) -> tuple[float, ...]:
    """Brightness, colour cast, noise and width of the frame of a photograph."""
    pixels = np.asarray(image, dtype=float)
    height, width = pixels.shape[:2]
    window = pixels[height // 12 : height // 4, round(0.4 * width) : round(0.6 * width)]  # above the macula
    return (
        pixels[..., 0].mean(),
        np.median(window[..., 1]) / np.median(window[..., 0]),
        np.median(np.abs(np.diff(window[..., 0], axis=1))),
        (pixels[:, : width // 6].max(axis=2) < 12).mean(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("camera", ["idrid", "aptos2019", "messidor2"])
def test_what_the_label_should_not_touch_has_the_same_distribution_in_both_classes(camera):
    images, grades = photographs(camera)
    for values in np.array([nuisances(image) for image in images]).T:
        assert ks_2samp(values[grades > 1], values[grades <= 1]).pvalue > 0.01


@pytest.mark.slow
def test_brightness_and_speckle_of_the_vitreous_do_not_tell_which_volumes_carry_dots():
    images, signs, volumes = bscans()
    first = np.unique(volumes, return_index=True)[1] + SLICES // 2  # one scan a volume: its scans are alike
    dots = np.array([signs[i].hdots for i in first])  # type: ignore[attr-defined]
    assert min(dots.sum(), (~dots).sum()) > 8
    tops = [np.asarray(images[i], dtype=float)[:20] for i in first]
    for values in (np.array([t.mean() for t in tops]), np.array([t.std() for t in tops])):
        assert ks_2samp(values[dots], values[~dots]).pvalue > 0.01


@pytest.mark.slow
def test_splitting_volumes_by_image_leaks_and_by_patient_does_not():
    images, signs, volumes = bscans()
    labels = np.array([int(s.drusen) for s in signs])  # type: ignore[attr-defined]
    features = thumbnails(images)
    assert auroc(features, labels, None, c=1.0) > auroc(features, labels, volumes, c=1.0) + 0.15


def test_cameras_of_different_sets_have_different_colours():
    from benchbench_datasets.synthetic.dr_layouts import dr_photograph

    means = {
        name: np.mean(
            [np.asarray(dr_photograph(name, str(i), "OD", str(i), 0, 0, 0))[100, 150:170] for i in range(8)]
        )
        for name in ("idrid", "aptos2019", "messidor2")
    }
    assert max(means.values()) - min(means.values()) > 8


def test_the_disc_of_a_right_eye_is_on_the_right_and_glaucoma_widens_its_cup():
    from benchbench_datasets.synthetic.anatomy import Findings
    from benchbench_datasets.synthetic.glaucoma_layouts import photograph

    def bright(eye: str, cup: float) -> np.ndarray:
        image = photograph("papila", "p", eye, "i", Findings(cup_to_disc=cup), 0)
        green = np.asarray(image, dtype=float)[..., 1]
        return green > np.percentile(green, 99)

    assert np.nonzero(bright("OD", 0.4))[1].mean() > 170 > np.nonzero(bright("OS", 0.4))[1].mean()
    wide = photograph("papila", "p", "OD", "i", Findings(cup_to_disc=0.85), 0)
    narrow = photograph("papila", "p", "OD", "i", Findings(cup_to_disc=0.30), 0)
    difference = np.asarray(wide, dtype=float)[..., 2] - np.asarray(narrow, dtype=float)[..., 2]
    assert (difference > 15).sum() > 80


def test_real_looking_folders_are_never_overwritten(tmp_path):
    (tmp_path / "idrid").mkdir()
    (tmp_path / "idrid" / "photo.jpg").write_bytes(b"real")
    with pytest.raises(DataError, match="nothing was written"):
        registry().datasets["idrid"].simulate(tmp_path / "idrid", 40, 0)  # type: ignore[misc]
    assert not (tmp_path / "idrid" / "SIMULATED.txt").exists()


def test_simulated_idrid_has_the_pairs_and_conflicts_of_the_original(tmp_path):
    from benchbench.datasets.verify import verify

    registry().datasets["idrid"].simulate(tmp_path / "idrid", 60, 0)  # type: ignore[misc]
    result = verify(registry().datasets["idrid"], tmp_path)
    assert result.dataset.simulated
    assert len(result.identical) == 6
    assert len(result.conflicting) == 4
    assert [f.code for f in result.findings if f.severity == "leak"] == ["identical_files"]
