"""The cheap second views against hand-made answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from benchbench_protocols.linear_probe import PRESETS
from benchbench_protocols.neighbours import KNN, MAE_LINPROBE, PROTOTYPE
from sklearn.metrics import roc_auc_score

from benchbench.probes import PRESETS as PUBLISHED
from benchbench.testing.fakes import fake_context, toy_dataset


@pytest.mark.parametrize("protocol", [KNN, PROTOTYPE], ids=lambda p: p.name)
@pytest.mark.parametrize("validation", [False, True])
def test_every_view_ranks_separated_classes_well_and_gives_held_out_scores(protocol, validation, tmp_path):
    data = toy_dataset(validation=validation)
    context = fake_context({"toy": data}, "toy/any", protocol.config(), tmp_path)
    predictions = protocol.run(context).predictions["toy/any"]
    truth = data.frame.set_index("image_id")["grade"] > 0
    assert roc_auc_score(truth.loc[list(predictions.image_ids)], predictions.scores[:, 0]) > 0.95
    held = "val" if validation else "train"
    assert predictions.validation_ids == tuple(data.frame[data.frame["split"] == held]["image_id"])
    assert (
        roc_auc_score(truth.loc[list(predictions.validation_ids)], predictions.validation_scores[:, 0]) > 0.95
    )


@pytest.mark.parametrize("protocol", [KNN, PROTOTYPE], ids=lambda p: p.name)
def test_a_multilabel_task_is_judged_label_by_label(protocol, tmp_path):
    data = toy_dataset(labels=3)
    frame = data.frame.copy()
    frame.loc[frame["split"] == "train", "sign2"] = 0.0
    data = dataclasses.replace(data, frame=frame)
    output = protocol.run(fake_context({"toy": data}, "toy/signs", protocol.config(), tmp_path))
    scores = output.predictions["toy/signs"].scores
    truth = frame.set_index("image_id").loc[list(output.predictions["toy/signs"].image_ids)]
    assert roc_auc_score(truth["sign0"], scores[:, 0]) > 0.7
    assert (scores[:, 2] == 0.5).all()
    assert "both kinds" in output.details["skipped sign2"]


def test_the_nearest_image_decides_where_k_is_one(tmp_path):
    data = toy_dataset(n=60)
    train = (data.frame["split"] == "train").to_numpy()
    test = (data.frame["split"] == "test").to_numpy()
    output = KNN.run(fake_context({"toy": data}, "toy/grade", KNN.config(k_grid=(1,)), tmp_path))
    X = data.embeddings.astype(float) - data.embeddings[train].astype(float).mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    nearest = (X[test] @ X[train].T).argmax(axis=1)
    expected = data.frame["grade"].to_numpy()[train][nearest]
    np.testing.assert_array_equal(output.predictions["toy/grade"].scores.argmax(axis=1), expected)


def test_the_published_head_training_learns_given_enough_steps_and_its_seed_matters(tmp_path):
    data = toy_dataset(n=360, validation=True)
    truth = data.frame.set_index("image_id")["grade"] > 0
    scores = []
    for seed in (0, 0, 1):
        config = MAE_LINPROBE.config(batch_size=64, blr=20.0)
        predictions = MAE_LINPROBE.run(
            fake_context({"toy": data}, "toy/any", config, tmp_path, seed=seed)
        ).predictions
        scores.append(predictions["toy/any"].scores[:, 0])
        assert roc_auc_score(truth.loc[list(predictions["toy/any"].image_ids)], scores[-1]) > 0.85
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_the_published_preset_says_what_the_probes_say():
    ours, theirs = PRESETS["retfound_green_paper"], PUBLISHED["retfound_green_paper"].grid
    assert tuple(ours["C_grid"]) == theirs.C_grid
    assert ours["solver"] == theirs.solver
