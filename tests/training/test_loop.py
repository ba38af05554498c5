"""The training loop on tiny networks: it learns, resumes to the same bits, and keeps its seed axes apart."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchbench.api import Task
from benchbench.errors import CellError
from benchbench.images import to_input
from benchbench.testing.fakes import fake_encoder
from benchbench.training import loop
from benchbench.training.loop import Job, Labelled, train
from benchbench.training.recipe import Augmentation, Recipe

SIZE = 32
GRADE = Task("grade", "Grade", "ordinal", ("none", "mild", "severe"), column="grade")
SIGNS = Task("signs", "Signs", "multilabel", ("a", "b"), columns=("a", "b"))
PLAIN = Augmentation(horizontal_flip=0.5)


def tiny_vit(weights=None, device="cpu"):
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(
            "vit_tiny_patch16_224",
            img_size=SIZE,
            patch_size=8,
            depth=2,
            embed_dim=48,
            num_heads=3,
            num_classes=0,
            global_pool="avg",
        ).eval()


ENCODER = fake_encoder(embed_dim=48, size=SIZE, load=tiny_vit)


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with 0, 1 or 2 bright squares at random places; their number is the grade."""
    rng = np.random.default_rng(seed)
    grades = np.arange(n) % 3
    images = rng.integers(0, 80, size=(n, SIZE, SIZE, 3), dtype=np.uint8)
    for i, g in enumerate(grades):
        cells = rng.choice(16, size=g, replace=False)
        for c in cells:
            y, x = 8 * (c // 4), 8 * (c % 4)
            images[i, y : y + 8, x : x + 8] += 150
    return images, grades.astype(float)


def job(tmp_path=None, *, seed=0, n=36, task=GRADE, metric="macro_auroc", encoder=ENCODER, **settings) -> Job:
    settings = {
        "epochs": 2,
        "batch_size": 8,
        "base_lr": 0.02,
        "warmup_epochs": 1,
        "drop_path": 0.1,
        "augmentation": PLAIN,
        "checkpoint_seconds": 0,
        **settings,
    }
    (x, y), (xv, yv) = pictures(n, 1), pictures(24, 2)
    if task is SIGNS:
        y, yv = (np.column_stack([(v > 0), (v > 1)]).astype(float) for v in (y, yv))
        y[::5, 1] = np.nan
    return Job(
        encoder=encoder,
        load_backbone=lambda: encoder.load(None, "cpu"),
        task=task,
        metric=metric,
        recipe=Recipe(**settings),
        seed=seed,
        train=Labelled(x, y),
        validation=Labelled(xv, yv),
        scratch=tmp_path,
    )


def weights(trained) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained.model.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def killed_after(steps: int, monkeypatch) -> None:
    """The process dies in the middle of a step."""
    original = loop._Run._train_step

    def step(self, *batch):
        if self.step == steps:
            raise KeyboardInterrupt
        original(self, *batch)

    monkeypatch.setattr(loop._Run, "_train_step", step)


@pytest.mark.slow
def test_the_network_learns_what_its_frozen_embeddings_do_not_hold():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trained = train(job(n=180, epochs=12, base_lr=0.05, warmup_epochs=2, drop_path=0.0))
    images, grades = pictures(90, 3)
    tuned = roc_auc_score(grades, trained.scores(images), multi_class="ovr")
    with torch.inference_mode():
        seen, known = pictures(180, 1)
        embed = [tiny_vit()(to_input(x, ENCODER.preprocess)).numpy() for x in (seen, images)]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(embed[0], known)
    frozen = roc_auc_score(grades, probe.predict_proba(embed[1]), multi_class="ovr")
    assert tuned > 0.9
    assert tuned > frozen + 0.1


@pytest.mark.parametrize("steps", [3, 5, 8])
def test_a_killed_training_ends_with_the_same_weights_as_an_undisturbed_one(tmp_path, monkeypatch, steps):
    settings = {"ema_decay": 0.9, "mixup": 0.2, "augmentation": Augmentation(rotation=20, random_erasing=0.5)}
    undisturbed = train(job(tmp_path / "a", **settings))
    with monkeypatch.context() as patch:
        killed_after(steps, patch)
        with pytest.raises(KeyboardInterrupt):
            train(job(tmp_path / "b", **settings))
    assert (tmp_path / "b" / "training.pt").is_file()
    resumed = train(job(tmp_path / "b", **settings))
    assert resumed.history == undisturbed.history
    assert_same(weights(resumed), weights(undisturbed))


def test_a_training_tells_every_step_and_where_it_was_resumed(tmp_path, monkeypatch):
    told: list[tuple[int, int, str]] = []
    settings = {"epochs": 2, "batch_size": 8, "drop_last": False}
    with monkeypatch.context() as patch:
        killed_after(6, patch)
        with pytest.raises(KeyboardInterrupt):
            train(dataclasses.replace(job(tmp_path, **settings), progress=lambda *said: told.append(said)))
    assert told == [(i, 10, f"steps, epoch {1 + i // 5} of 2") for i in range(7)]
    told.clear()
    train(dataclasses.replace(job(tmp_path, **settings), progress=lambda *said: told.append(said)))
    assert [step for step, _, _ in told] == [6, 7, 8, 9, 10]
    assert told[-1] == (10, 10, "steps, epoch 2 of 2")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_checkpoint_is_said_and_the_training_starts_anew(tmp_path, monkeypatch, caplog, damage):
    undisturbed = train(job(tmp_path / "a"))
    with monkeypatch.context() as patch:
        killed_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            train(job(tmp_path / "b"))
    path = tmp_path / "b" / "training.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes({"flip": content, "cut": content[: len(content) // 2], "empty": b""}[damage])
    again = train(job(tmp_path / "b"))
    assert "the training starts anew" in caplog.text
    assert again.history == undisturbed.history
    assert_same(weights(again), weights(undisturbed))


def test_every_epoch_has_its_time_through_interruptions(tmp_path, monkeypatch):
    original = loop._Run._train_step

    def slow(self, pixels, positions):
        time.sleep(0.02)
        original(self, pixels, positions)

    monkeypatch.setattr(loop._Run, "_train_step", slow)
    with monkeypatch.context() as patch:
        killed_after(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train(job(tmp_path, epochs=2, checkpoint_seconds=0.0))
    trained = train(job(tmp_path, epochs=2, checkpoint_seconds=0.0))
    assert len(trained.epoch_seconds) == 2
    assert min(trained.epoch_seconds) >= 0.02 * trained.steps / 2
    again = train(job(tmp_path, epochs=2, checkpoint_seconds=0.0))
    assert again.epoch_seconds == trained.epoch_seconds


def test_a_training_whose_checkpoints_take_long_saves_less_often(tmp_path, monkeypatch):
    saves: list[int] = []

    def slow(path, state):
        time.sleep(0.02)
        saves.append(state["step"])

    monkeypatch.setattr(loop, "save_checkpoint", slow)
    monkeypatch.setattr(loop, "PAUSE_PER_SAVING", 0)
    train(job(tmp_path, epochs=3, checkpoint_seconds=1e-9))
    often, saves[:] = list(saves), []
    monkeypatch.setattr(loop, "PAUSE_PER_SAVING", 1e6)
    train(job(tmp_path, epochs=3, checkpoint_seconds=1e-9))
    assert len(often) == 15  # after every step
    assert len(saves) == 1


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    first = train(job(tmp_path))
    killed_after(0, monkeypatch)
    assert_same(weights(train(job(tmp_path))), weights(first))


def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path, monkeypatch):
    train(job(tmp_path))
    changed = train(job(tmp_path, base_lr=0.01))
    assert_same(weights(changed), weights(train(job(None, base_lr=0.01))))


def test_the_number_of_loading_processes_changes_nothing():
    alone = train(job(augmentation=Augmentation(rotation=20, color_jitter=0.3)))
    helped = train(job(augmentation=Augmentation(rotation=20, color_jitter=0.3), workers=2))
    assert_same(weights(alone), weights(helped))


@pytest.mark.parametrize("axis", ["order", "augmentation", "head"])
def test_a_seed_axis_governs_only_what_it_names(axis, monkeypatch):
    """Record the order, the augmented pixels and the first head of two seeds; only the varied one may differ."""

    def record(seed):
        seen = {"order": [], "augmentation": {}, "head": None}
        original = loop._Run._train_step

        def step(self, pixels, positions):
            if seen["head"] is None:
                seen["head"] = self.model.head.weight.detach().clone()
            seen["order"] += positions.tolist()
            for p, image in zip(positions.tolist(), pixels, strict=True):
                seen["augmentation"].setdefault(p, []).append(image.numpy().tobytes())
            original(self, pixels, positions)

        with monkeypatch.context() as patch:
            patch.setattr(loop._Run, "_train_step", step)
            train(job(seed=seed, vary=(axis,), augmentation=Augmentation(rotation=30), drop_last=False))
        return seen

    a, b = record(0), record(1)
    assert (a["order"] != b["order"]) == (axis == "order")
    assert (a["augmentation"] != b["augmentation"]) == (axis == "augmentation")
    assert torch.equal(a["head"], b["head"]) == (axis != "head")


def test_accumulating_parts_of_a_batch_gives_the_step_of_the_whole_batch():
    whole = weights(train(job(epochs=1, drop_path=0.0)))
    parts = weights(train(job(epochs=1, drop_path=0.0, accumulate=4)))
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-3, atol=2e-5)


def test_gradient_checkpointing_changes_memory_and_not_numbers():
    plain = weights(train(job(epochs=1, drop_path=0.0)))
    saved = weights(train(job(epochs=1, drop_path=0.0, grad_checkpointing=True)))
    for name in plain:
        torch.testing.assert_close(saved[name], plain[name], rtol=1e-4, atol=1e-6)


def test_head_only_training_leaves_every_weight_of_the_encoder():
    trained = train(job(train="head"))
    before = tiny_vit().state_dict()
    for name, value in trained.model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert trained.model.head.bias.abs().max() > 0


def test_missing_labels_of_a_multilabel_task_do_not_reach_the_gradient():
    trained = train(job(task=SIGNS, epochs=3))
    images, _ = pictures(12, 3)
    assert trained.scores(images).shape == (12, 2)
    assert np.isfinite(trained.scores(images)).all()


def test_the_ordinal_head_gives_probabilities_that_sum_to_one():
    trained = train(job(head="ordinal", epochs=3))
    scores = trained.scores(pictures(12, 3)[0])
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    assert (scores >= 0).all()


def test_the_epoch_that_is_best_on_validation_is_kept_and_its_weights_with_it():
    trained = train(job(epochs=4, base_lr=0.2))
    assert trained.best_epoch == int(np.argmax(trained.history))
    validation, labels = pictures(24, 2)
    from benchbench.training.selection import macro_auroc

    assert macro_auroc(labels, trained.scores(validation)) == pytest.approx(trained.best_value, abs=1e-9)


def test_the_last_epoch_is_kept_where_the_recipe_says_so():
    assert train(job(epochs=3, select_on="last")).best_epoch == 2


def test_a_loss_that_is_not_a_number_stops_the_cell_with_advice():
    def broken(weights=None, device="cpu"):
        model = tiny_vit()
        torch.nn.init.constant_(model.patch_embed.proj.weight, float("nan"))
        return model

    with pytest.raises(CellError, match="not a number"):
        train(job(encoder=dataclasses.replace(ENCODER, load=broken)))


def test_mixup_with_a_multilabel_task_is_refused():
    with pytest.raises(CellError, match="softmax"):
        train(job(task=SIGNS, mixup=0.5))


def one_class(settings: Job) -> Job:
    return dataclasses.replace(settings, validation=Labelled(pictures(3, 2)[0][:1], np.zeros(1)))


@pytest.mark.parametrize("select_on", ["declared", "macro_auroc", "retfound_composite"])
@pytest.mark.parametrize("metric", ["quadratic_kappa", "macro_auroc"])
def test_validation_images_of_one_class_are_refused_before_the_first_step(select_on, metric, monkeypatch):
    monkeypatch.setattr(loop._Run, "_train_step", lambda *_: pytest.fail("it trained"))
    with pytest.raises(CellError, match="all of one class"):
        train(one_class(job(select_on=select_on, metric=metric)))


def test_the_last_epoch_can_be_kept_on_validation_images_of_one_class():
    trained = train(one_class(job(select_on="last", epochs=2)))
    assert trained.best_epoch == 1
    assert np.isnan(trained.history).all()


def test_retfounds_composite_selects_a_model_of_several_labels():
    trained = train(job(task=SIGNS, epochs=1, select_on="retfound_composite"))
    assert 0 < trained.best_value < 1


def test_a_training_of_one_step_is_silent(caplog):
    train(job(epochs=1, n=8, warmup_epochs=0))
    assert not caplog.records
