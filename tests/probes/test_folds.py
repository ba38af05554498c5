"""Inner folds: patients whole, classes balanced, no random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from benchbench.probes import ProbeInputError, grouped_folds

RANDOM = np.random.default_rng(0)
Y = RANDOM.choice(4, 400, p=[0.6, 0.2, 0.15, 0.05])
PATIENTS = np.arange(400) // 2


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("patients", [PATIENTS, RANDOM.integers(0, 60, 400)], ids=["pairs", "uneven"])
def test_folds_are_those_of_scikit_learn(patients, seed):
    folds = grouped_folds(Y, patients, 5, seed=seed)
    theirs = StratifiedGroupKFold(5, shuffle=seed is not None, random_state=seed)
    for fold, (train, _) in enumerate(theirs.split(Y, Y, patients)):
        assert np.array_equal(np.flatnonzero(folds.train(fold)), train)


@pytest.mark.parametrize("labels", [Y, np.where(np.arange(400) % 9 == 0, -1, Y)], ids=["complete", "missing"])
def test_no_patient_is_on_both_sides_and_classes_are_balanced(labels):
    folds = grouped_folds(labels, PATIENTS, 5)
    for patient in range(200):
        assert len(set(folds.assignment[patient == PATIENTS])) == 1
    for c in range(4):
        held_out = np.bincount(folds.assignment[labels == c], minlength=5)
        assert held_out.min() >= 0.5 * held_out.mean()


def test_labels_that_share_folds_are_each_balanced():
    Y_many = (RANDOM.random((400, 8)) < np.linspace(0.03, 0.5, 8)).astype(int)
    Y_many[RANDOM.random((400, 8)) < 0.1] = -1
    folds = grouped_folds(Y_many, PATIENTS, 5)
    for patient in range(200):
        assert len(set(folds.assignment[patient == PATIENTS])) == 1
    for column in Y_many.T:
        held_out = np.bincount(folds.assignment[column == 1], minlength=5)
        assert held_out.max() - held_out.min() <= max(3, 0.3 * held_out.mean())
    assert np.ptp(np.bincount(folds.assignment)) <= 40


def test_a_class_with_few_patients_means_fewer_folds_and_a_sentence():
    y = np.r_[np.zeros(50, int), np.ones(3, int)]
    folds = grouped_folds(y, np.arange(53), 5, names=["healthy", "rare"])
    assert folds.count == 3
    assert folds.note == "3 instead of 5 inner folds, because class rare has 3 patient group(s)"
    for fold in range(3):
        assert set(y[folds.train(fold)]) == {0, 1}


def test_a_class_of_one_patient_is_named_and_does_not_shrink_the_folds():
    y = np.r_[np.zeros(50, int), np.ones(50, int), np.full(3, 2)]
    groups = np.r_[np.arange(100), [100, 100, 100]]
    folds = grouped_folds(y, groups, 5)
    assert folds.count == 5
    assert "class 2: one patient group only" in folds.note


def test_folds_are_impossible_where_no_class_has_two_patients():
    with pytest.raises(ProbeInputError, match="inner folds are impossible"):
        grouped_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 5)


def test_a_seed_shuffles_only_if_given():
    assert np.array_equal(grouped_folds(Y, PATIENTS, 5).assignment, grouped_folds(Y, PATIENTS, 5).assignment)
    one, two = (grouped_folds(Y, PATIENTS, 5, seed=s).assignment for s in (1, 2))
    assert not np.array_equal(one, two)
