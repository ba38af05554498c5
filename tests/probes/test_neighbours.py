"""k-NN and prototypes against independent formulas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from benchbench.probes import ProbeInputError, knn_probe, prototype_probe
from benchbench.probes.neighbours import TEMPERATURE

from .data import embeddings


def test_neighbours_vote_as_scikit_learns_weighted_by_similarity():
    X, y, _ = embeddings(300, 12, 3)
    test = embeddings(40, 12, 3, seed=1)[0].astype(np.float64)
    probe = knn_probe(X, y, k_grid=(7,))
    centre = X.mean(axis=0, dtype=np.float64)

    def weights(distance):
        similarity = 1 - distance
        return np.exp((similarity - similarity.max(axis=1, keepdims=True)) / TEMPERATURE)

    theirs = KNeighborsClassifier(7, metric="cosine", weights=weights).fit(X - centre, y)
    distance, near = theirs.kneighbors(test - centre)
    votes = np.stack([(weights(distance) * (y[near] == c)).sum(axis=1) for c in range(3)], axis=1) + 1 / 3
    assert np.allclose(probe.predict_proba(test), votes / votes.sum(axis=1, keepdims=True), atol=1e-6)


def test_k_is_chosen_by_the_folds_of_the_linear_probe_and_learns():
    X, y, groups = embeddings(400, 12, 2, signal=3)
    probe = knn_probe(X, y, groups=groups)
    assert probe.k == probe.selection.C[probe.selection.chosen]
    assert probe.selection.scores.shape == (7, 5)
    assert ((probe.predict_proba(X)[:, 1] > 0.5) == y).mean() > max(y.mean(), 1 - y.mean()) + 0.1


def test_k_is_chosen_by_validation_if_there_is_a_split():
    X, y, _ = embeddings(200, 12, 2)
    probe = knn_probe(X[:150], y[:150], X_val=X[150:], y_val=y[150:], k_grid=(1, 9))
    assert probe.selection.method == "validation"
    alone = [knn_probe(X[:150], y[:150], k_grid=(k,)).predict_proba(X[150:]) for k in (1, 9)]
    losses = [-np.log(p[np.arange(50), y[150:]]).mean() for p in alone]
    assert np.allclose(-probe.selection.scores[:, 0], losses)


def test_no_usable_k_is_refused():
    X, y, _ = embeddings(20, 4, 2)
    with pytest.raises(ProbeInputError, match="no usable number of neighbours"):
        knn_probe(X, y, k_grid=(50,))


def test_prototypes_are_mean_directions_and_rows_without_a_label_are_left_out():
    random = np.random.default_rng(0)
    centres = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    y = np.repeat([0.0, 1.0, 2.0], 40)
    X = centres[y.astype(int)] + 0.05 * random.standard_normal((120, 3)) + 10
    y[::7] = np.nan
    X_wrong = X.copy()
    X_wrong[::7] = 1e3
    probe = prototype_probe(X_wrong, y)
    truth = np.repeat([0, 1, 2], 40)
    assert (probe.predict_proba(X).argmax(axis=1) == truth).all()
    ideal = (centres - 1 / 3) / np.linalg.norm(centres - 1 / 3, axis=1, keepdims=True)
    assert np.allclose(probe.prototypes, ideal, atol=0.03)
    assert np.allclose(probe.predict_proba(X).sum(axis=1), 1)
