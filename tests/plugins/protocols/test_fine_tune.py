"""Fine-tune as a protocol: it learns, selects on validation, opens the test once; LoRA changes only its additions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from benchbench_protocols.fine_tune import FINE_TUNE, FineTuneConfig, evenly
from benchbench_protocols.label_efficiency import LABEL_EFFICIENCY_FINE_TUNE
from benchbench_protocols.lodo import LODO_FINE_TUNE
from benchbench_protocols.lora import LORA
from benchbench_protocols.multitask import MULTITASK_FINE_TUNE
from benchbench_protocols.transfer import TRANSFER_FINE_TUNE

from benchbench.errors import CellError
from benchbench.testing.fakes import fake_context, fake_encoder, toy_dataset

SHORT = {
    "epochs": 2,
    "batch_size": 16,
    "base_lr": 0.02,
    "warmup_epochs": 1,
    "augmentation": {"horizontal_flip": 0.0},
}


def tiny_vit(weights=None, device="cpu"):
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(
            "vit_tiny_patch16_224",
            img_size=32,
            patch_size=8,
            depth=2,
            embed_dim=48,
            num_heads=3,
            num_classes=0,
        ).eval()


ENCODER = fake_encoder(embed_dim=48, size=32, load=tiny_vit)


def context_for(data, task, config, tmp_path, **settings):
    return fake_context(
        data,
        task,
        config,
        tmp_path,
        encoder=ENCODER,
        metric=settings.pop("metric", "macro_auroc"),
        **settings,
    )


def test_a_fine_tune_cell_selects_on_validation_and_scores_the_test_once(tmp_path):
    data = toy_dataset(n=120, image_size=32, validation=True)
    context = context_for({"toy": data}, "toy/grade", FineTuneConfig(**{**SHORT, "epochs": 4}), tmp_path)
    output = FINE_TUNE.run(context)
    predictions = output.predictions["toy/grade"]
    truth = data.frame.set_index("image_id")["grade"].loc[list(predictions.image_ids)]
    assert (predictions.scores.argmax(axis=1) == truth).mean() > 0.6
    assert predictions.validation_ids == tuple(data.frame[data.frame["split"] == "val"]["image_id"])
    with pytest.raises(CellError, match="twice"):
        context.open_test("toy/grade")
    assert [r for r in context.data.reads if r[1] == "test"] == [("toy/grade", "test")]


def test_without_validation_images_whole_patients_are_held_out_of_training(tmp_path):
    data = toy_dataset(n=120, image_size=32)
    output = FINE_TUNE.run(
        context_for({"toy": data}, "toy/any", FineTuneConfig(**SHORT), tmp_path, metric="auroc")
    )
    held = output.predictions["toy/any"].validation_ids
    frame = data.frame.set_index("image_id")
    assert set(frame["split"].loc[list(held)]) == {"train"}
    patients = set(frame["patient_id"].loc[list(held)])
    assert frame[frame["patient_id"].isin(patients)].shape[0] == len(held)
    assert (
        output.details["n_train"] + output.details["n_validation"] == (data.frame["split"] == "train").sum()
    )


def test_two_runs_of_a_seed_are_equal_to_the_bit_and_two_seeds_are_not(tmp_path):
    data = toy_dataset(n=60, image_size=32, validation=True)
    scores = []
    for i, seed in enumerate((0, 0, 1)):
        context = context_for(
            {"toy": data}, "toy/grade", FineTuneConfig(**SHORT), tmp_path / str(i), seed=seed
        )
        scores.append(FINE_TUNE.run(context).predictions["toy/grade"].scores)
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_larger_training_images_are_asked_for_with_a_preprocess_of_their_own(tmp_path, monkeypatch):
    data = toy_dataset(n=60, image_size=32, validation=True)
    config = FineTuneConfig(**{**SHORT, "augmentation": {"source_size": 48, "crop_scale": [0.5, 1.0]}})
    context = context_for({"toy": data}, "toy/grade", config, tmp_path)
    large = np.kron(data.images, np.ones((1, 2, 2, 1), np.uint8))[:, :48, :48]
    asked = []

    def images(encoder, dataset):
        asked.append(encoder.preprocess.size)
        return large if encoder.preprocess.size == 48 else data.images

    monkeypatch.setattr(context.data, "images", images)
    FINE_TUNE.run(context)
    assert asked == [48, 32, 32]


@pytest.mark.parametrize("protocol", [TRANSFER_FINE_TUNE, LODO_FINE_TUNE])
def test_datasets_are_crossed_by_fine_tune_too(protocol, tmp_path):
    data = {n: toy_dataset(n, n=60, image_size=32, seed=i) for i, n in enumerate("abc")}
    config = protocol.config(**SHORT)
    spec = protocol.cells(tuple((f"{n}/grade", data[n].tasks[0]) for n in data), config)[0]
    context = context_for(
        data,
        spec.task,
        config,
        tmp_path,
        targets=spec.targets,
        axes=dict(spec.axes),
        also_train=spec.also_train,
    )
    output = protocol.run(context)
    for target in spec.targets:
        n = len(output.predictions[target].image_ids)
        assert output.predictions[target].scores.shape == (n, 3)
        np.testing.assert_allclose(output.predictions[target].scores.sum(axis=1), 1.0, atol=1e-9)


def test_eight_heads_train_together_with_labels_missing(tmp_path):
    data = toy_dataset(n=60, image_size=32, labels=2)
    frame = data.frame.copy()
    frame.loc[frame.index % 4 == 0, "sign1"] = np.nan
    data = dataclasses.replace(data, frame=frame)
    tasks = tuple((f"toy/{t.name}", t) for t in data.tasks)
    (spec,) = MULTITASK_FINE_TUNE.cells(tasks, FineTuneConfig())
    context = context_for({"toy": data}, spec.task, FineTuneConfig(**SHORT), tmp_path, targets=spec.targets)
    output = MULTITASK_FINE_TUNE.run(context)
    assert output.predictions["toy/signs"].scores.shape[1] == 2
    assert set(output.predictions) == {"toy/signs", "toy/sign0", "toy/sign1"}


def test_a_share_of_the_patients_is_fine_tuned_on(tmp_path):
    data = toy_dataset(n=120, image_size=32, validation=True)
    config = LABEL_EFFICIENCY_FINE_TUNE.config(**SHORT)
    axes = {"fraction": "0.5", "repeat": "0"}
    output = LABEL_EFFICIENCY_FINE_TUNE.run(
        context_for({"toy": data}, "toy/grade", config, tmp_path, axes=axes)
    )
    assert output.details["n_train"] == 28  # 14 of the 27 training patients, two images each


def test_lora_trains_its_additions_and_the_head_and_nothing_else(tmp_path, monkeypatch):
    pytest.importorskip("peft")
    from benchbench.training import loop

    data = toy_dataset(n=60, image_size=32, validation=True)
    kept = {}
    finish = loop._Run._finish
    monkeypatch.setattr(loop._Run, "_finish", lambda self: kept.update(model=self.model) or finish(self))
    LORA.run(context_for({"toy": data}, "toy/grade", LORA.config(**SHORT), tmp_path))
    before = tiny_vit().state_dict()
    after = kept["model"].backbone.state_dict()
    changed = [
        n
        for n in after
        if n.replace(".base_layer", "") in before
        and not torch.equal(after[n], before[n.replace(".base_layer", "")])
    ]
    assert changed == []
    additions = [n for n in after if "lora_B" in n]
    assert len(additions) == 2
    assert all(after[n].abs().max() > 0 for n in additions)


def test_lora_on_an_encoder_without_attention_names_the_layers_there_are(tmp_path):
    pytest.importorskip("peft")
    data = toy_dataset(n=60, image_size=32, validation=True)
    context = context_for({"toy": data}, "toy/grade", LORA.config(**SHORT, modules=("query",)), tmp_path)
    with pytest.raises(CellError, match="qkv"):
        LORA.run(context)


def test_a_limit_on_images_keeps_every_class():
    labels = np.array([0.0] * 50 + [1.0] * 5 + [2.0] * 2)
    chosen = evenly(labels, 6)
    assert sorted(labels[chosen].tolist()) == [0, 0, 1, 1, 2, 2]
