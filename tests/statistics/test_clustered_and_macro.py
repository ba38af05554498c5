"""Patients with several images, and means over classes and labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchbench.statistics import (
    compare,
    delong_covariance,
    delong_test,
    macro_auc,
    multilabel_macro_auc,
    per_class_tests,
)
from benchbench.statistics.inputs import clusters_of
from benchbench.statistics.resampling import drawn_weights
from benchbench.statistics.weighted import auroc


def obuchowski(y, scores, groups):
    """Clustered covariance of two AUCs as the 1997 paper writes it, cluster by cluster."""
    y, names = np.asarray(y) == 1, np.unique(groups)
    v10, v01 = [], []
    for column in np.asarray(scores).T:
        kernel = np.sign(column[y][:, None] - column[~y][None, :]) / 2 + 0.5
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    auc = np.mean(v10, axis=1)
    m, n, i = y.sum(), (~y).sum(), names.size
    positives, negatives = groups[y], groups[~y]
    i10, i01 = np.unique(positives).size, np.unique(negatives).size
    x = np.array([[(v - a)[positives == g].sum() for g in names] for v, a in zip(v10, auc, strict=True)])
    z = np.array([[(v - a)[negatives == g].sum() for g in names] for v, a in zip(v01, auc, strict=True)])
    s10, s01, s11 = i10 / ((i10 - 1) * m) * x @ x.T, i01 / ((i01 - 1) * n) * z @ z.T, i / (i - 1) * x @ z.T
    return s10 / m + s01 / n + (s11 + s11.T) / (m * n)


@pytest.mark.parametrize(
    "name", ["k01_papila_like_244x2", "k03_singletons", "k05_concordant_labels", "obuchowski_mra"]
)
def test_clustered_covariance_equals_R(golden, name):
    reference = golden.json("clustered_doAUCcluster.json")["cases"][name]
    table = golden.table(name)
    columns = ("reader1", "reader2") if name == "obuchowski_mra" else ("s0", "s1")
    scores = np.stack([table[c] for c in columns], axis=1)
    auc, covariance = delong_covariance(table["y"], scores, table["cluster"])
    result = delong_test(table["y"], *scores.T, groups=table["cluster"])
    assert auc == pytest.approx([float(reference["auc.A"]), float(reference["auc.B"])], abs=1e-12)
    expected = [float(reference["auc.var.A"]), float(reference["auc.var.B"])]
    assert np.diag(covariance) == pytest.approx(expected, rel=1e-10)
    assert result.se**2 == pytest.approx(float(reference["auc.var.AminusB"]), rel=1e-10)
    assert result.p_value == pytest.approx(float(reference["p.value"]), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_patients_of_unequal_size_follow_the_papers_formula(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    y = rng.random(groups.size) < 0.35
    scores = rng.standard_normal((groups.size, 2)) + y[:, None] + rng.standard_normal(60)[groups][:, None]
    scores = np.round(scores, 1)
    shuffled = rng.permutation(groups.size)
    _, covariance = delong_covariance(y[shuffled], scores[shuffled], groups[shuffled])
    assert covariance == pytest.approx(obuchowski(y, scores, groups), rel=1e-11)


def test_one_case_per_patient_is_the_unclustered_test():
    rng = np.random.default_rng(1)
    y = np.arange(80) % 2
    a, b = rng.standard_normal((2, 80)) + y
    plain, clustered = delong_test(y, a, b), delong_test(y, a, b, rng.permutation(80))
    assert clustered.z == plain.z
    assert clustered.method == plain.method == "DeLong, paired"
    assert "clustered" in delong_test(y, a, b, np.arange(80) // 2).method


def test_few_patients_count_however_many_images_they_have():
    rng = np.random.default_rng(2)
    y = np.repeat([1, 0], [60, 100])
    a, b = rng.standard_normal((2, 160)) + y
    patients = np.concatenate([np.arange(60) % 6, 6 + np.arange(100)])
    result = delong_test(y, a, b, patients)
    assert result.verdict == "too_few_cases"
    assert result.p_value is None
    assert result.permutation_p is not None
    one = np.where(y == 1, 0, patients)
    assert delong_test(y, a, b, one).verdict == "undefined_variance"


@pytest.mark.parametrize("name", ["m01_idrid_like_5class", "m03_aptos_like_733"])
def test_macro_auc_equals_the_joint_reference(golden, name):
    reference = golden.json("macro_ovr_if.json")["cases"][name]
    y, cube = golden.classes(name)
    result = macro_auc(y, cube)
    assert result.estimate == pytest.approx(reference["macro"], abs=1e-12)
    assert np.sqrt(np.diag(result.covariance)) == pytest.approx(reference["se_macro"], rel=1e-10)
    pair = compare("macro_auroc", y, cube).pairs[0]
    assert pair.difference == pytest.approx(reference["diff"], abs=1e-12)
    assert pair.se == pytest.approx(reference["se_diff"], rel=1e-9)
    assert pair.p_value == pytest.approx(reference["p"], rel=1e-9)
    classes = golden.json("multiclass_R.json")["cases"][name]
    for model in (0, 1):
        expected = [float(a) for a in classes[f"m{model}"]["ovr_auc"]]
        assert result.per_class[model] == pytest.approx(expected, abs=1e-12)
    for ours, expected in zip(per_class_tests(y, *cube), classes["paired_per_class"], strict=True):
        if ours.p_value is not None:
            assert ours.z == pytest.approx(float(expected["z"]), rel=1e-9)
            assert ours.p_value == pytest.approx(float(expected["p"]), rel=1e-9)


def test_macro_standard_error_agrees_with_drawing_patients():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(150), 2)
    grade = np.clip(np.round(rng.normal(1, 1, 150)[patients] + rng.normal(0, 0.4, 300)), 0, 2).astype(int)
    cube = rng.random((2, 300, 3)) + 0.5 * np.eye(3)[grade] + 0.4 * rng.random((2, 150, 3))[:, patients]
    result = macro_auc(grade, cube, patients)
    weights = drawn_weights(np.random.default_rng(4), clusters_of(patients, 300), 3000)
    drawn = [
        np.mean([auroc((grade == c).astype(int), cube[k, :, c], weights) for c in range(3)], axis=0)
        for k in (0, 1)
    ]
    assert np.sqrt(np.diag(result.covariance)) == pytest.approx(np.std(drawn, axis=1), rel=0.06)
    d = np.array([1, -1])
    assert np.sqrt(d @ result.covariance @ d) == pytest.approx(np.std(drawn[0] - drawn[1]), rel=0.06)


def test_an_absent_class_is_left_out_and_listed():
    rng = np.random.default_rng(5)
    y = rng.choice([0, 1, 3], 90)
    y[0] = 4
    scores = rng.random((90, 5))
    result = macro_auc(y, scores)
    assert [(e.index, e.n_positive, e.verdict) for e in result.excluded] == [
        (2, 0, "undefined_auc"),
        (4, 1, "undefined_variance"),
    ]
    assert result.classes == (0, 1, 3)
    expected = [delong_covariance(y == c, scores[:, c])[0][0] for c in (0, 1, 3)]
    assert result.estimate[0] == pytest.approx(np.mean(expected), abs=1e-14)


def test_one_class_only_has_no_macro_auc():
    result = macro_auc([1] * 20, np.ones((20, 3)))
    assert np.isnan(result.estimate[0])
    assert compare("macro_auroc", [1] * 20, np.ones((2, 20, 3))).pairs[0].verdict == "undefined_auc"


def test_two_classes_with_complementary_scores_are_one_binary_task():
    rng = np.random.default_rng(6)
    y = np.arange(100) % 2
    p = rng.random((2, 100)) * 0.5 + 0.3 * y
    cube = np.stack([1 - p, p], axis=2)
    auc, covariance = delong_covariance(y, p.T)
    result = macro_auc(y, cube)
    assert result.estimate == pytest.approx(auc, abs=1e-14)
    # The class factors m / (m - 1) stand inside a class, the patients' I / (I - 1) between classes.
    assert result.covariance == pytest.approx(covariance, rel=0.02)


def test_unlabelled_cases_do_not_count_for_their_label():
    rng = np.random.default_rng(7)
    labels = (rng.random((120, 3)) < 0.4).astype(float)
    labels[rng.random((120, 3)) < 0.2] = np.nan
    labels[:, 2] = 0
    labels[:4, 2] = 1
    scores = rng.random((2, 120, 3)) + np.nan_to_num(labels)
    result = multilabel_macro_auc(labels, scores)
    assert [(e.index, e.verdict) for e in result.excluded] == [(2, "too_few_cases")]
    known = ~np.isnan(labels[:, 0])
    single = multilabel_macro_auc(labels[:, :1], scores[:, :, :1])
    expected = delong_covariance(labels[known, 0], scores[:, known, 0].T)
    assert single.estimate == pytest.approx(expected[0], abs=1e-14)
    assert single.covariance == pytest.approx(expected[1], rel=1e-11)


def test_average_over_classes_needs_the_covariance_between_classes(golden):
    y, cube = golden.classes("m03_aptos_like_733")
    joint = np.sqrt(macro_auc(y, cube).covariance[0, 0])
    separate = [delong_covariance(y == c, cube[0, :, c])[1][0, 0] for c in range(5)]
    assert np.sqrt(np.sum(separate)) / 5 < 0.95 * joint
    assert stats.norm.ppf(0.975) * joint < 0.02
