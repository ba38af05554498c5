"""The linear probe against scikit-learn, and its manners with splits, patients and missing labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from benchbench_protocols.linear_probe import LINEAR_PROBE, LinearProbeConfig
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchbench.errors import BenchError
from benchbench.testing.fakes import fake_context, toy_dataset


def run(dataset, task, tmp_path, **settings):
    context = fake_context(
        {dataset.name: dataset}, f"{dataset.name}/{task}", LinearProbeConfig(**settings), tmp_path
    )
    return context, LINEAR_PROBE.run(context)


def test_the_published_preset_equals_scikit_learn_exactly(tmp_path):
    data = toy_dataset()
    _, output = run(data, "grade", tmp_path, **LINEAR_PROBE.presets["retfound_green_paper"])
    train = (data.frame["split"] == "train").to_numpy()
    test = (data.frame["split"] == "test").to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=20_000, random_state=42))
    model.fit(data.embeddings[train], data.frame["grade"][train])
    np.testing.assert_array_equal(
        output.predictions["toy/grade"].scores, model.predict_proba(data.embeddings[test])
    )
    assert output.details["C"] == 1.0


def test_a_binary_task_gets_one_column_and_ranks_well(tmp_path):
    data = toy_dataset()
    _, output = run(data, "any", tmp_path)
    predictions = output.predictions["toy/any"]
    assert predictions.scores.shape == (len(predictions.image_ids), 1)
    truth = data.frame.set_index("image_id")["grade"].loc[list(predictions.image_ids)] > 0
    assert roc_auc_score(truth, predictions.scores[:, 0]) > 0.95


def test_without_validation_images_thresholds_come_from_out_of_fold_scores(tmp_path):
    data = toy_dataset(separation=0.3)
    _, output = run(data, "grade", tmp_path)
    predictions = output.predictions["toy/grade"]
    train = data.frame[data.frame["split"] == "train"]
    assert predictions.validation_ids == tuple(train["image_id"])
    held_out = (predictions.validation_scores.argmax(1) == train["grade"]).mean()
    assert held_out < 0.95, "out-of-fold scores of a weak signal cannot be nearly perfect"


def test_patients_never_straddle_inner_folds(tmp_path):
    """With a private code per patient, only a patient-wise fold keeps the out-of-fold scores at chance."""
    data = toy_dataset(n=240, classes=2, separation=0.0, dim=300)
    codes = np.random.default_rng(1).normal(size=(120, 300)).astype(np.float32)
    labels = np.random.default_rng(2).integers(0, 2, 120).astype(float)
    frame = data.frame.assign(grade=labels[np.arange(240) // 2])
    data = dataclasses.replace(
        data, frame=frame, embeddings=data.embeddings * 0.1 + codes[np.arange(240) // 2]
    )
    _, output = run(data, "any", tmp_path)
    kept = output.predictions["toy/any"]
    truth = frame.set_index("image_id")["grade"].loc[list(kept.validation_ids)]
    assert 0.3 < roc_auc_score(truth, kept.validation_scores[:, 0]) < 0.7


def test_validation_images_choose_the_strength_and_are_not_trained_on(tmp_path):
    data = toy_dataset(validation=True)
    _, output = run(data, "grade", tmp_path)
    predictions = output.predictions["toy/grade"]
    validation = data.frame[data.frame["split"] == "val"]
    assert predictions.validation_ids == tuple(validation["image_id"])
    assert output.details["n_train"] == (data.frame["split"] == "train").sum()
    flipped = data.frame.copy()
    is_val = flipped["split"] == "val"
    flipped.loc[is_val, "grade"] = (flipped.loc[is_val, "grade"] + 1) % 3
    _, other = run(dataclasses.replace(data, frame=flipped), "grade", tmp_path)
    assert other.details["C"] < output.details["C"], "wrong validation labels must ask for a stronger penalty"


def test_two_seeds_give_the_same_scores(tmp_path):
    data = toy_dataset()
    scores = []
    for seed in (0, 1):
        context = fake_context({"toy": data}, "toy/grade", LinearProbeConfig(), tmp_path, seed=seed)
        scores.append(LINEAR_PROBE.run(context).predictions["toy/grade"].scores)
    np.testing.assert_array_equal(*scores)
    assert not LINEAR_PROBE.stochastic


def test_a_multilabel_task_is_one_probe_per_label_on_the_images_that_carry_it(tmp_path):
    data = toy_dataset(labels=3)
    frame = data.frame.copy()
    frame.loc[frame.index % 3 == 0, "sign1"] = np.nan
    data = dataclasses.replace(data, frame=frame)
    _, together = run(data, "signs", tmp_path, C_grid=[0.01])
    scores = together.predictions["toy/signs"].scores
    for j in range(3):
        _, alone = run(data, f"sign{j}", tmp_path, C_grid=[0.01])
        ids = alone.predictions[f"toy/sign{j}"].image_ids
        rows = [together.predictions["toy/signs"].image_ids.index(i) for i in ids]
        # Unlabelled images help to standardise, so sign1 may differ a little from a probe that never saw them.
        tolerance = 0.02 if j == 1 else 1e-5
        np.testing.assert_allclose(
            scores[rows, j], alone.predictions[f"toy/sign{j}"].scores[:, 0], atol=tolerance
        )
        assert together.details[f"C sign{j}"] == alone.details["C"]


def test_a_class_that_training_lacks_gets_probability_zero(tmp_path):
    data = toy_dataset()
    frame = data.frame.copy()
    frame.loc[(frame["split"] == "train") & (frame["grade"] == 2), "grade"] = np.nan
    _, output = run(dataclasses.replace(data, frame=frame), "grade", tmp_path)
    assert (output.predictions["toy/grade"].scores[:, 2] == 0).all()


def test_training_images_of_a_single_class_are_refused_with_the_tasks_name(tmp_path):
    data = toy_dataset()
    frame = data.frame.copy()
    frame.loc[frame["split"] == "train", "grade"] = 1.0
    with pytest.raises(BenchError, match="class"):
        run(dataclasses.replace(data, frame=frame), "any", tmp_path)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match="extra"):
        LinearProbeConfig(c_grid=[1.0])
