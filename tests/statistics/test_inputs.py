"""What may be handed in, and what is refused with which words."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from benchbench.errors import BenchError
from benchbench.statistics import (
    InvalidScores,
    NotPaired,
    StatisticsError,
    delong_covariance,
    delong_test,
    macro_auc,
    multilabel_macro_auc,
)

RNG = np.random.default_rng(0)
Y = np.arange(60) % 2
S = RNG.standard_normal((60, 3)) + Y[:, None]


@pytest.mark.parametrize(
    "labels",
    [
        Y.tolist(),
        tuple(Y.tolist()),
        Y.astype(bool),
        Y.astype(float),
        Y.astype(np.uint8),
        pd.Series(Y, index=range(60, 0, -1)),
        pd.Series(Y, dtype="Int64"),
        Y.astype(object),
        Y[:, None],
    ],
    ids=["list", "tuple", "bool", "float", "uint8", "series", "nullable", "object", "column"],
)
def test_labels_may_come_in_any_container(labels):
    assert delong_covariance(labels, S)[0] == pytest.approx(delong_covariance(Y, S)[0], abs=0)


@pytest.mark.parametrize(
    "make", [np.asarray, np.ndarray.tolist, pd.DataFrame, np.asfortranarray, lambda s: s.T]
)
def test_scores_may_come_in_any_container_and_orientation(make):
    auc, covariance = delong_covariance(Y, make(S))
    expected = delong_covariance(Y, S)
    assert auc == pytest.approx(expected[0], abs=0)
    assert covariance == pytest.approx(expected[1], rel=1e-14)


def test_square_scores_have_cases_in_rows():
    y = [0, 1, 0, 1]
    scores = np.array([[1, 4, 1, 0], [2, 3, 2, 0], [3, 2, 1, 1], [4, 1, 2, 1]])
    assert delong_covariance(y, scores)[0][0] == delong_covariance(y, scores[:, 0])[0][0]


@pytest.mark.parametrize(
    "groups",
    [
        [f"patient {i // 2}" for i in range(60)],
        pd.Series([f"P{i // 2}" for i in range(60)]),
        np.array([(i // 2, "x") for i in range(60)], dtype="i,O").astype(object),
        [i // 2 if i < 30 else str(i // 2) for i in range(60)],
        (np.arange(60) // 2)[:, None],
        [float(i // 2) for i in range(60)],
    ],
    ids=["strings", "series", "tuples", "mixed", "column", "floats"],
)
def test_patients_may_be_named_by_anything(groups):
    expected = delong_test(Y, S[:, 0], S[:, 1], np.arange(60) // 2)
    assert delong_test(Y, S[:, 0], S[:, 1], groups).p_value == pytest.approx(expected.p_value, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_by_name_and_place(bad):
    scores = S.copy()
    scores[7, 1] = bad
    with pytest.raises(InvalidScores, match="invalid_scores: system 1 has 1 scores") as caught:
        delong_covariance(Y, scores)
    assert "score 7" in str(caught.value)
    assert caught.value.verdict == "invalid_scores"
    with pytest.raises(InvalidScores):
        delong_test(Y, S[:, 0], scores[:, 1])
    with pytest.raises(InvalidScores):
        macro_auc(Y, scores)


def test_scores_of_other_cases_are_not_paired():
    with pytest.raises(NotPaired, match="do not match the 60 labels") as caught:
        delong_test(Y, S[:, 0], S[:59, 1])
    assert caught.value.verdict == "not_paired"
    with pytest.raises(NotPaired):
        delong_covariance(Y, [[1, 2], [3]])
    with pytest.raises(NotPaired, match="59 patients for 60 cases"):
        delong_covariance(Y, S, np.arange(59))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (Y + 1, "also holds 2"),
        (np.where(Y == 1, -1, 0), "also holds -1"),
        (np.where(Y == 1, np.nan, 0), "also holds nan"),
        (np.where(Y == 1, "yes", "no"), "not numbers"),
        ([], "empty"),
        (np.zeros((60, 2)), "one value per case"),
    ],
)
def test_labels_other_than_0_and_1_are_refused_with_a_remedy(labels, words):
    with pytest.raises(StatisticsError, match=words) as caught:
        delong_covariance(labels, S)
    assert "what to do" in str(caught.value)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(InvalidScores):
        delong_covariance(Y, ["high"] * 60)
    with pytest.raises(InvalidScores):
        delong_covariance(Y, [None] + [0.5] * 58 + ["x"])


@pytest.mark.parametrize("missing", [None, np.nan, "", pd.NA])
def test_a_case_without_a_patient_is_refused(missing):
    groups = [missing, *range(59)]
    with pytest.raises(StatisticsError, match="1 cases have no patient"):
        delong_covariance(Y, S, groups)


def test_errors_are_both_the_tools_and_pythons_and_cross_processes():
    with pytest.raises(ValueError) as caught:
        delong_test(Y, S[:, 0], S[:, 1], alternative="bigger")
    assert isinstance(caught.value, BenchError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(StatisticsError, match="compat"):
        delong_test(Y, S[:, 0], S[:, 1], compat="SAS")


def test_class_numbers_beyond_the_score_columns_are_refused():
    with pytest.raises(StatisticsError, match="from 0 to 2, but also holds 3"):
        macro_auc([0, 1, 2, 3] * 15, np.ones((60, 3)))
    with pytest.raises(StatisticsError, match="0, 1, or NaN"):
        multilabel_macro_auc(np.full((60, 2), 2), np.ones((60, 2)))
