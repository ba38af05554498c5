"""Choosing C, the published protocol, and what wrong input is told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchbench.errors import BenchError
from benchbench.probes import ProbeInputError, fit_multilabel_probe, fit_path, fit_probe
from benchbench.probes.selection import choose, score

from .data import embeddings

GRID = tuple(np.logspace(-4, 1, 6))


def test_the_search_scores_and_chooses_as_grid_search_cv():
    X, y, groups = embeddings(400, 24, 3)
    probe = fit_probe(X, y, groups=groups, C_grid=GRID, threads=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=20_000))
    search = GridSearchCV(
        model, {"logisticregression__C": GRID}, cv=StratifiedGroupKFold(5), scoring="neg_log_loss"
    ).fit(X.astype(np.float64), y, groups=groups)
    assert search.best_params_["logisticregression__C"] == probe.C
    for fold in range(5):
        theirs = search.cv_results_[f"split{fold}_test_score"]
        ours, near = probe.selection.scores[:, fold], probe.selection.contenders
        chosen = probe.selection.chosen
        assert np.allclose(ours[chosen], theirs[chosen], atol=1e-5)
        assert np.allclose(ours[near], theirs[near], atol=1e-4)
        assert np.allclose(ours, theirs, rtol=1e-2)
    assert np.allclose(probe.predict_proba(X), search.predict_proba(X.astype(np.float64)), atol=1e-5)


def test_out_of_fold_probabilities_come_from_models_that_never_saw_the_patient():
    X, y, groups = embeddings(200, 16, 2)
    probe = fit_probe(X, y, groups=groups, C_grid=GRID)
    splits = list(StratifiedGroupKFold(5).split(X, y, groups))
    train, held_out = splits[2]
    alone = fit_path(X[train], y[train], [probe.C])
    assert np.allclose(probe.out_of_fold[held_out], alone.predict_proba(X[held_out])[0], atol=1e-3)
    assert np.allclose(probe.out_of_fold.sum(axis=1), 1)


def test_two_seeds_give_the_same_probe_unless_shuffled_folds_are_asked_for():
    X, y, groups = embeddings(300, 16, 3)
    a, b = (fit_probe(X, y, groups=groups, C_grid=GRID, seed=seed) for seed in (0, 1))
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    assert np.array_equal(a.selection.scores, b.selection.scores)
    c, d = (fit_probe(X, y, groups=groups, C_grid=GRID, seed=seed, shuffle_folds=True) for seed in (0, 1))
    assert not np.array_equal(c.selection.scores, d.selection.scores)


def test_a_validation_split_decides_if_there_is_one():
    X, y, groups = embeddings(400, 24, 3)
    train, val = slice(0, 300), slice(300, 400)
    probe = fit_probe(X[train], y[train], groups=groups[train], X_val=X[val], y_val=y[val], C_grid=GRID)
    path = fit_path(X[train], y[train], GRID)
    losses = [log_loss(y[val], p) for p in path.predict_proba(X[val])]
    assert probe.selection.method == "validation"
    assert np.allclose(-probe.selection.scores[:, 0], losses, atol=1e-6)
    assert GRID[int(np.argmin(losses))] == probe.C
    by_folds = fit_probe(
        X[train], y[train], groups=groups[train], X_val=X[val], y_val=y[val], C_grid=GRID, selection="cv"
    )
    assert by_folds.selection.method == "cv"


def test_a_single_c_needs_no_folds():
    X, y, _ = embeddings(100, 8, 2)
    probe = fit_probe(X, y, C_grid=(1.0,))
    assert probe.selection.method == "none"
    assert probe.out_of_fold is None


def test_the_sklearn_solver_is_the_published_protocol_bit_for_bit():
    X, y, _ = embeddings(300, 24, 5)
    test = embeddings(50, 24, 5, seed=1)[0]
    published = make_pipeline(StandardScaler(), LogisticRegression(max_iter=20_000, random_state=42)).fit(
        X, y
    )
    probe = fit_probe(X, y, C_grid=(1.0,), solver="sklearn")
    assert X.dtype == np.float32
    assert np.array_equal(probe.predict_proba(test), published.predict_proba(test))


@pytest.mark.parametrize("with_validation", [True, False])
def test_both_solvers_choose_alike(with_validation):
    X, y, groups = embeddings(300, 16, 3)
    extra = {"X_val": X[:60], "y_val": y[:60]} if with_validation else {}
    ours, theirs = (
        fit_probe(X, y, groups=groups, C_grid=GRID, solver=solver, **extra)
        for solver in ("benchbench", "sklearn")
    )
    assert ours.C == theirs.C
    assert np.allclose(ours.selection.mean, theirs.selection.mean, atol=2e-2)
    assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-2)


def test_a_class_absent_from_a_fold_gets_probability_zero_there():
    X, y, _ = embeddings(120, 10, 3)
    y = np.where(np.arange(120) < 4, 2, y % 2)
    groups = np.where(np.arange(120) < 4, 0, np.arange(120))  # all of class 2 is one patient
    probe = fit_probe(X, y, groups=groups, C_grid=GRID)
    assert (probe.out_of_fold[:4, 2] == 0).all()
    assert "class 2" in probe.selection.note
    assert probe.predict_proba(X).shape == (120, 3)
    assert probe.predict_proba(X)[:4, 2].mean() > 0


def test_labels_without_both_answers_are_skipped_by_name():
    X, y, groups = embeddings(120, 10, 2)
    Y = np.stack([y, np.ones(120), np.where(y == 1, 1, np.nan)], axis=1)
    probe = fit_multilabel_probe(X, Y, groups=groups, C_grid=GRID, names=("drusen", "scan", "fluid"))
    assert [p is None for p in probe.probes] == [False, True, True]
    assert probe.skipped[1].startswith("scan:")
    p = probe.predict_proba(X)
    assert np.isfinite(p[:, 0]).all()
    assert np.isnan(p[:, 1:]).all()


def test_each_label_has_its_own_c():
    X, y, groups = embeddings(400, 20, 2, signal=3)
    noise = np.random.default_rng(0).integers(0, 2, 400)
    probe = fit_multilabel_probe(X, np.stack([y, noise], axis=1), groups=groups, C_grid=GRID)
    assert probe.probes[0].C > probe.probes[1].C


def test_one_standard_error_prefers_the_stronger_penalty():
    C = np.array([0.01, 0.1, 1.0])
    scores = np.array([[-0.52, -0.60, -0.56], [-0.50, -0.60, -0.55], [-0.49, -0.60, -0.54]])
    plain = choose("cv", "log_loss", C, scores)
    strict = choose("cv", "log_loss", C, scores, one_standard_error=True)
    # Best mean -0.5433, standard error 0.0318: all three are within one standard error.
    assert plain.chosen == 2
    assert strict.chosen == 0
    assert plain.standard_error[2] == pytest.approx(np.std(scores[2], ddof=1) / np.sqrt(3))


def test_a_tie_goes_to_the_stronger_penalty():
    assert choose("cv", "auroc", np.array([0.1, 1.0]), np.ones((2, 5))).chosen == 0


def test_scores_equal_scikit_learns_and_skip_rows_without_a_label():
    random = np.random.default_rng(0)
    codes = random.integers(0, 4, 200)
    p = random.dirichlet(np.ones(4), (3, 200)).round(2)
    p /= p.sum(axis=2, keepdims=True)
    masked = np.where(np.arange(200) < 20, -1, codes)
    expected = [roc_auc_score(codes[20:], q[20:], multi_class="ovr", average="macro") for q in p]
    assert np.allclose(score("auroc", masked, p), expected)
    assert np.allclose(-score("log_loss", masked, p), [log_loss(codes[20:], q[20:]) for q in p])
    assert np.isnan(score("auroc", np.zeros(5, dtype=int), p[:, :5])).all()


def test_text_labels_and_missing_labels_are_understood():
    X, y, _ = embeddings(200, 10, 2)
    named = np.array(["normal", "glaucoma"], dtype=object)[y]
    named[::10] = None
    probe = fit_probe(X, named, C_grid=GRID)
    assert probe.classes.tolist() == ["glaucoma", "normal"]
    assert (probe.predict_proba(X)[:, 1] > 0.5).mean() == pytest.approx((y == 0).mean(), abs=0.25)


X, Y, GROUPS = embeddings(60, 8, 2)


def broken():
    table = X.copy()
    table[[3, 7], 0] = np.nan
    return table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_train": broken(), "y_train": Y}, "2 of 60 rows .* NaN or infinity \\(rows 3, 7\\)"),
        ({"X_train": X, "y_train": np.zeros(60)}, "only the class 0"),
        ({"X_train": X, "y_train": np.full(60, np.nan)}, "no label at all"),
        ({"X_train": X[:0], "y_train": Y[:0]}, "at least one row"),
        ({"X_train": X, "y_train": Y[:-1]}, "60 embeddings but 59 entries in y_train"),
        ({"X_train": X, "y_train": Y, "groups": GROUPS[:-2]}, "58 entries in groups"),
        ({"X_train": X, "y_train": Y, "C_grid": (0.0, 1.0)}, "positive numbers"),
        ({"X_train": X, "y_train": Y, "X_val": X}, "both embeddings and labels"),
        ({"X_train": X, "y_train": Y, "X_val": X[:, :4], "y_val": Y}, "4 dimensions"),
        ({"X_train": X, "y_train": Y, "selection": "validation"}, "no validation split"),
        ({"X_train": X, "y_train": Y, "groups": Y}, "no class has two"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence_and_a_way_out(arguments, message):
    with pytest.raises(ProbeInputError, match=message) as caught:
        fit_probe(**arguments)
    assert isinstance(caught.value, BenchError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.fix


def test_embeddings_of_another_encoder_are_refused_at_prediction():
    probe = fit_probe(X, Y, C_grid=(1.0,))
    with pytest.raises(ProbeInputError, match="8 dimensions, these embeddings have 5"):
        probe.predict_proba(X[:, :5])
