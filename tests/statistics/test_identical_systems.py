"""Systems that rank the cases alike are identical and perfect ones perfect, whatever is averaged and in any company."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.statistics import compare, compare_seeds


@pytest.mark.parametrize("n_classes", [2, 3, 5, 6, 7, 9, 13, 23, 40])
@pytest.mark.parametrize("patients", [1, 2])
def test_identical_systems_are_identical_among_any_number_of_others(n_classes, patients):
    rng = np.random.default_rng(n_classes)
    y = np.arange(24 * n_classes) % n_classes
    cube = rng.random((3, y.size, n_classes)) + 0.3 * np.eye(n_classes)[y]
    groups = np.arange(y.size) // patients
    for k in range(2, 11):
        chosen = rng.integers(0, 3, k)
        for pair in compare("macro_auroc", y, cube[chosen], groups).pairs:
            same = chosen[pair.index_a] == chosen[pair.index_b]
            assert (pair.verdict == "identical") == same
            if same:
                assert (pair.difference, pair.se, pair.p_value) == (0, 0, 1)


def test_identical_systems_are_identical_over_labels_that_are_partly_missing():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 7)) < 0.3).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    scores = rng.random((3, 300, 7))
    pairs = compare("multilabel_macro_auroc", labels, scores[[0, 1, 1, 2, 0]]).pairs
    found = {(p.index_a, p.index_b) for p in pairs if p.verdict == "identical"}
    assert found == {(0, 4), (1, 2)}


@pytest.mark.parametrize("seeds", [2, 3, 5, 7])
@pytest.mark.parametrize("metric", ["auroc", "macro_auroc", "average_precision", "quadratic_kappa"])
def test_identical_methods_are_identical_over_their_seeds(metric, seeds):
    rng = np.random.default_rng(1)
    binary = metric in ("auroc", "average_precision")
    y = np.arange(120) % (2 if binary else 3)
    shape = (2, seeds, 120) if binary else (2, seeds, 120, 3)
    signal = y if binary else np.eye(3)[y]
    p, q = rng.random(shape) + 0.5 * signal
    pair = compare_seeds(metric, y, np.stack([q, p, p])).pairs[2]
    assert (pair.verdict, pair.difference, pair.p_value) == ("identical", 0, 1)


@pytest.mark.parametrize("n_classes", range(2, 41))
def test_perfect_systems_are_both_perfect_with_any_number_of_classes(n_classes):
    y = np.arange(24 * n_classes) % n_classes
    noise = 0.4 * np.random.default_rng(0).random((2, y.size, n_classes))
    result = compare("macro_auroc", y, np.eye(n_classes)[y] + noise)
    assert (result.pairs[0].verdict, result.pairs[0].p_value) == ("both_perfect", None)
    assert [e.value for e in result.estimates] == [1, 1]


def test_the_test_of_all_systems_leaves_out_those_that_failed():
    rng = np.random.default_rng(2)
    y = np.arange(200) % 2
    scores = rng.random((3, 200)) + np.array([[0.1], [0.3], [0.2]]) * y
    alone = compare("auroc", y, scores).omnibus
    with_failed = compare("auroc", y, np.concatenate([scores, np.ones((1, 200))])).omnibus
    assert (with_failed.statistic, with_failed.df) == pytest.approx((alone.statistic, alone.df))
