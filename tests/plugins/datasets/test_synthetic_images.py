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


@lru_cache(maxsize=1)
def photographs() -> tuple[list[Image.Image], np.ndarray]:
    """Simulated IDRiD photographs and their grades, in IDRiD's own class balance."""
    from benchbench_datasets.synthetic.dr_layouts import dr_photograph, draw_dme
    from benchbench_datasets.synthetic.findings import seen_grade
    from benchbench_datasets.synthetic.seeds import exact_counts, generator

    grades = exact_counts(PHOTOGRAPHS, (168, 25, 168, 93, 62), generator(0, "acceptance"))
    images = []
    for i, grade in enumerate(int(g) for g in grades):
        own = generator(0, "acceptance", i)
        seen = seen_grade(grade, own)
        images.append(
            dr_photograph("idrid", str(i), ("OD", "OS")[i % 2], str(i), seen, draw_dme(seen, own), 0)
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
    from benchbench import load_encoder

    images, grades = photographs()
    features = load_encoder("efficientnet_lite0").embed(images)
    labels = (grades > 1).astype(int)
    assert 0.75 < auroc(features, labels) < 0.965
    rng = np.random.default_rng(0)
    permuted = [auroc(features, rng.permutation(labels)) for _ in range(5)]
    assert np.mean(permuted) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_what_the_label_should_not_touch_has_the_same_distribution_in_both_classes():
    images, grades = photographs()
    pixels = np.stack([np.asarray(i, dtype=float) for i in images])
    border = pixels[:, 20:60, 150:230]  # an upper window of the background
    nuisances = {
        "red": pixels[..., 0].mean(axis=(1, 2)),
        "cast": np.median(border[..., 1], axis=(1, 2)) / np.median(border[..., 0], axis=(1, 2)),
        "noise": np.median(np.abs(np.diff(border[..., 0], axis=2)), axis=(1, 2)),
        "frame": (pixels[:, :, :60].max(axis=3) < 12).mean(axis=(1, 2)),
    }
    for name, values in nuisances.items():
        assert ks_2samp(values[grades > 1], values[grades <= 1]).pvalue > 0.01, name


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
