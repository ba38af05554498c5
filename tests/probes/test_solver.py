"""The optimum is scikit-learn's, however many fits share the products."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from benchbench.probes import fit_multilabel_probe, fit_path, fit_probe
from benchbench.probes.accuracy import KEPT, Accuracy
from benchbench.probes.path import Embeddings, Job, levels

from .data import embeddings

GRID = np.logspace(-3, 1, 5)


def objective(Z, y, coef, intercept, C, weights=None):
    """scikit-learn's objective, written out: C sum s_i loss_i + |W|^2 / 2; y in 0..K-1."""
    logits = Z @ coef.T + intercept
    if logits.shape[1] == 1:
        loss = np.logaddexp(0, logits[:, 0]) - y * logits[:, 0]
    else:
        top = logits.max(axis=1)
        loss = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(y)), y]
    return C * ((1.0 if weights is None else weights) * loss).sum() + 0.5 * (coef**2).sum()


def tight(Z, y, C, class_weight=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=C, tol=1e-10, max_iter=20_000, class_weight=class_weight).fit(Z, y)


def assert_at_the_optimum(X, y, C_grid, *, probability=1e-5, class_weight=None):
    path = fit_path(X, y, C_grid, class_weight=class_weight, threads=1)
    assert path.converged.all()
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    weights = compute_sample_weight(class_weight, y) if class_weight else None
    ours = path.predict_proba(X)
    for i, C in enumerate(path.C):
        theirs = tight(Z, y, C, class_weight)
        mine = objective(Z, y, path.coef[i], path.intercept[i], C, weights)
        best = objective(Z, y, theirs.coef_, theirs.intercept_, C, weights)
        assert mine <= best * (1 + 1e-6)
        if C <= 1:
            assert np.abs(ours[i] - theirs.predict_proba(Z)).max() <= probability


@pytest.mark.parametrize("classes", [2, 5])
def test_a_path_reaches_the_optimum_with_more_rows_than_features(classes):
    X, y, _ = embeddings(500, 40, classes)
    assert_at_the_optimum(X, y, GRID)


def test_thirty_nine_classes_reach_the_optimum():
    X, y, _ = embeddings(700, 32, 39)
    assert_at_the_optimum(X, y, [1e-3, 1e-2, 0.1, 1.0])


@pytest.mark.parametrize("classes", [2, 5])
def test_fewer_rows_than_features_reach_the_optimum(classes):
    X, y, _ = embeddings(90, 200, classes)
    assert_at_the_optimum(X, y, GRID)


def test_separable_classes_reach_the_optimum():
    X, y, _ = embeddings(300, 20, 3)
    X = X + 30 * np.eye(20, dtype=np.float32)[y]
    assert_at_the_optimum(X, y, GRID)


@pytest.mark.parametrize("classes", [2, 4])
def test_balanced_class_weights_reach_the_optimum(classes):
    X, y, _ = embeddings(400, 30, classes)
    assert_at_the_optimum(X, y, GRID, class_weight="balanced")


@pytest.mark.parametrize("grid", [[1.0], [0.01, 0.1, 1.0]])
def test_few_fits_reach_the_optimum_without_a_rotation(grid):
    X, y, _ = embeddings(400, 30, 3)
    assert_at_the_optimum(X, y, grid)
    data = Embeddings(X, device="cpu", fits=len(grid))
    assert data.space(np.ones(len(X), dtype=bool)).design.preconditioner.basis is None


@pytest.mark.slow
@pytest.mark.parametrize(("n", "width", "classes"), [(1200, 384, 5), (413, 1024, 5), (413, 1024, 2)])
def test_sizes_of_real_data_sets_reach_the_optimum(n, width, classes):
    X, y, _ = embeddings(n, width, classes)
    assert_at_the_optimum(X, y, [1e-4, 1e-3, 1e-2, 0.1, 1.0, 100.0])


def test_a_column_that_is_constant_changes_nothing():
    X, y, _ = embeddings(300, 20, 3)
    padded = np.hstack([X, np.full((300, 1), 0.1, dtype=np.float32), np.zeros((300, 1), dtype=np.float32)])
    plain, wide = fit_path(X, y, GRID), fit_path(padded, y, GRID)
    assert np.allclose(wide.scale[-2:], 1)
    assert np.abs(wide.coef[..., -2:]).max() == pytest.approx(0, abs=1e-9)
    assert np.allclose(plain.predict_proba(X), wide.predict_proba(padded), atol=1e-6)


@pytest.mark.parametrize("width", [30, 500])
def test_a_fold_is_standardised_and_fitted_as_if_the_other_rows_did_not_exist(width):
    X, y, _ = embeddings(400, width, 4)
    X[:, 3] = 5.0
    train = np.arange(400) % 3 != 0
    X[~train, 3] = 7.0  # constant among the training rows only
    data = Embeddings(X, device="cpu", fits=10)
    (fit,) = data.solve([Job(y, train, GRID)], KEPT, max_iter=2000)
    alone = fit_path(X[train], y[train], GRID)
    scaler = StandardScaler().fit(X[train].astype(np.float64))
    assert np.allclose(fit.standard.mean, scaler.mean_)
    assert np.allclose(fit.standard.scale, scaler.scale_)
    assert np.allclose(fit.coef, alone.coef, atol=3e-4)
    held_out = np.delete(np.arange(400), np.flatnonzero(train))
    assert np.allclose(fit.probabilities(4, held_out), alone.predict_proba(X[held_out]), atol=5e-5)


def test_labels_missing_in_one_task_do_not_touch_another():
    X, y, groups = embeddings(400, 30, 3)
    Y = np.stack([y == 0, y == 1, y == 2], axis=1).astype(float)
    Y[::5, 1] = np.nan
    probe = fit_multilabel_probe(X, Y, groups=groups, C_grid=(0.1,), threads=1)
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    for label, fitted in enumerate(probe.probes):
        rows = ~np.isnan(Y[:, label])
        theirs = tight(Z[rows], Y[rows, label].astype(int), 0.1)
        assert np.abs(probe.predict_proba(X)[:, label] - theirs.predict_proba(Z)[:, 1]).max() <= 1e-5
        mine = objective(Z[rows], Y[rows, label], fitted.coef, fitted.intercept, 0.1)
        assert mine <= objective(Z[rows], Y[rows, label], theirs.coef_, theirs.intercept_, 0.1) * (1 + 1e-6)


def test_labels_solved_together_equal_labels_solved_alone():
    X, y, groups = embeddings(300, 30, 3)
    Y = np.stack([y == 0, y == 1], axis=1).astype(float)
    together = fit_multilabel_probe(X, Y, groups=groups, C_grid=(0.01, 0.1))
    for label in range(2):
        alone = fit_probe(X, Y[:, label], groups=groups, C_grid=(together.probes[label].C,))
        assert np.allclose(together.predict_proba(X)[:, label], alone.predict_proba(X)[:, 1], atol=1e-5)


def test_the_stated_gap_bounds_the_distance_to_the_optimum():
    X, y, _ = embeddings(400, 30, 3)
    loose = fit_path(X, y, GRID, tol=1e-3)
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    for i, C in enumerate(loose.C):
        theirs = tight(Z, y, C)
        best = objective(Z, y, theirs.coef_, theirs.intercept_, C)
        excess = objective(Z, y, loose.coef[i], loose.intercept[i], C) / best - 1
        assert excess <= loose.gap[i] + 1e-12
        assert loose.gap[i] <= 5e-7


def test_too_few_iterations_are_reported():
    X, y, _ = embeddings(300, 60, 3)
    with pytest.warns(RuntimeWarning, match="stopped short"):
        path = fit_path(X, y, [10.0, 100.0], max_iter=2)
    assert not path.converged.any()
    assert (path.iterations == 2).all()


def separable(n=600, width=64, classes=3):
    random = np.random.default_rng(0)
    y = random.integers(0, classes, n)
    X = 3 * random.standard_normal((classes, width))[y] + random.standard_normal((n, width))
    return X.astype(np.float32), y


def test_a_float32_fit_that_gains_nothing_any_more_is_given_back():
    X, y = separable()
    everything = np.ones(len(y), dtype=bool)
    job = Job(y, everything, np.array([1e4]))
    beyond_float32 = Accuracy(1e-12, 1e-9, single=True)
    (fit,) = Embeddings(X, device="cpu", fits=4).solve([job], beyond_float32, 3000)
    assert not fit.converged[0]
    assert fit.iterations[0] < 250


def test_what_decides_the_choice_is_finished_for_separable_classes():
    X, y = separable()
    probe = fit_probe(X, y, C_grid=tuple(np.logspace(-4, 4, 9)), threads=1)
    assert probe.C == 1e4
    for fold, (train, test) in enumerate(StratifiedGroupKFold(5).split(X, y, np.arange(len(y)))):
        alone = fit_path(X[train], y[train], probe.selection.C[probe.selection.contenders], threads=1)
        p = alone.predict_proba(X[test])[:, np.arange(len(test)), y[test]]
        ours = probe.selection.scores[probe.selection.contenders, fold]
        assert np.allclose(ours, np.log(p).mean(axis=1), rtol=1e-2)


def test_every_c_is_solved_exactly_once():
    for count in range(1, 50):
        assert sorted(i for level in levels(count) for i in level) == list(range(count))


def test_a_path_does_not_depend_on_the_order_of_c():
    X, y, _ = embeddings(200, 20, 3)
    assert np.array_equal(fit_path(X, y, [1.0, 0.01, 0.1]).coef, fit_path(X, y, [0.1, 1.0, 0.01]).coef)


@pytest.mark.gpu
def test_the_gpu_finds_the_same_optimum():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X, y, _ = embeddings(600, 100, 5)
    cpu, gpu = fit_path(X, y, GRID), fit_path(X, y, GRID, device="cuda")
    assert np.abs(cpu.predict_proba(X) - gpu.predict_proba(X)).max() < 1e-5
