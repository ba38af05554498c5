"""Order, augmentation, losses, selection and the carved validation split, one at a time."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from benchbench_protocols.fine_tune import PRESETS, FineTuneConfig
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score
from torch import nn

from benchbench.api import HALF, Preprocess
from benchbench.context import Part
from benchbench.training import data
from benchbench.training.carve import carve_validation
from benchbench.training.checkpoint import load_checkpoint, save_checkpoint
from benchbench.training.data import Order, build_augmentation, source_preprocess
from benchbench.training.losses import build_loss, to_scores
from benchbench.training.model import Classifier, OrdinalHead
from benchbench.training.recipe import Augmentation, Recipe
from benchbench.training.seeds import seed_everything
from benchbench.training.selection import selection_value


def test_every_epoch_sees_every_image_once_in_another_order():
    order = Order(images=10, batch_size=4, drop_last=False, seed=0)
    first, second = ([k for b in order.epoch(e) for k in b] for e in (0, 1))
    assert sorted(p for _, p in first) == list(range(10))
    assert [p for _, p in first] != [p for _, p in second]
    assert order.steps_per_epoch == 3


def test_a_stream_that_begins_in_the_middle_is_the_tail_of_the_whole_stream():
    order = Order(images=10, batch_size=4, drop_last=True, seed=3)
    whole = list(order.stream(0, 5))
    assert len(whole) == 10
    assert list(order.stream(5, 5)) == whole[5:]


def test_dropping_the_last_batch_never_drops_the_only_one():
    assert [len(b) for b in Order(3, 16, True, 0).epoch(0)] == [3]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_turns_a_prepared_image_into_one_of_the_networks_size(preset):
    from PIL import Image

    recipe = FineTuneConfig(**PRESETS[preset])
    preprocess = Preprocess("eval", 224, resize="short_side", resize_to=256, mean=HALF, std=HALF)
    source = source_preprocess(preprocess, recipe.augmentation)
    pixels = np.random.default_rng(0).integers(0, 255, (source.size, source.size, 3), dtype=np.uint8)
    transform = build_augmentation(recipe.augmentation, preprocess)
    varied = []
    for seed in (1, 1, 2):
        seed_everything(seed)
        varied.append(np.asarray(transform(Image.fromarray(pixels))))
    assert varied[0].shape == (224, 224, 3)
    assert (varied[0] == varied[1]).all()
    assert (varied[0] != varied[2]).any()


def test_the_published_policy_survives_its_strongest_posterisation():
    from PIL import Image

    policy = Augmentation(horizontal_flip=0.0, rand_augment="rand-m10-mstd0.5-inc1")
    transform = build_augmentation(policy, Preprocess("eval", 16, mean=HALF, std=HALF))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    black = 0
    for seed in range(200):
        seed_everything(seed)
        black += not np.asarray(transform(image)).any()
    assert black > 0, "a posterisation to 0 bits was drawn"


def test_larger_training_images_keep_the_crop_and_drop_the_evaluation_margin():
    preprocess = Preprocess("eval", 224, resize="short_side", resize_to=256, crop="fundus_circle")
    source = source_preprocess(preprocess, Augmentation(source_size=448))
    assert (source.size, source.resize, source.resize_to, source.crop) == (
        448,
        "short_side",
        None,
        "fundus_circle",
    )
    assert source_preprocess(preprocess, Augmentation()) is preprocess


def test_the_smoothed_softmax_loss_equals_its_closed_form():
    logits, y = torch.randn(6, 4, generator=torch.manual_seed(0)), torch.tensor([0.0, 1, 2, 3, 0, 1])
    loss = build_loss("softmax", Recipe(label_smoothing=0.1), y.numpy(), 4, "cpu")(logits, y)
    log_p = torch.log_softmax(logits, 1)
    target = torch.nn.functional.one_hot(y.long(), 4) * 0.9 + 0.1 / 4
    assert float(loss) == pytest.approx(float(-(target * log_p).sum(1).mean()), rel=1e-6)


@pytest.mark.parametrize(
    ("wanted", "device", "shared_memory", "loaders"),
    [
        (None, "cpu", 10**12, (0, 0)),
        (None, "cuda", 10**12, (8, 4)),
        (3, "cpu", 10**12, (3, 4)),
        (None, "cuda", 64 * 2**20, (6, 1)),  # a container of Docker's default
        (None, "cuda", 8 * 2**20, (0, 0)),
        (2, "cuda", 64 * 2**20, (2, 3)),
    ],
)
def test_images_are_loaded_by_as_many_processes_as_cores_and_shared_memory_hold(
    monkeypatch, wanted, device, shared_memory, loaders
):
    monkeypatch.setattr(data, "usable_cores", lambda: 16)
    monkeypatch.setattr(data, "visible_gpus", lambda: 2)
    batch = 32 * 224 * 224 * 3
    assert data._loaders(wanted, device, batch, shared_memory) == loaders


def test_logits_have_full_precision_under_autocast():
    torch.manual_seed(0)
    model = Classifier(nn.Linear(8, 16), nn.Linear(16, 3), {})
    x = torch.randn(50, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, logits = model.backbone(x), model(x)
    assert features.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model.head(features.float()))


def test_a_missing_label_adds_nothing_to_the_sigmoid_loss():
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.5]], requires_grad=True)
    y = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    loss = build_loss("sigmoid", Recipe(), y.numpy(), 2, "cpu")(logits, y)
    p = expit(logits.detach().double().numpy())
    assert float(loss) == pytest.approx(
        -(np.log(p[0, 0]) + np.log(1 - p[1, 0]) + np.log(p[1, 1])) / 3, rel=1e-6
    )
    loss.backward()
    assert logits.grad[0, 1] == 0


def test_balanced_class_weights_make_every_class_count_the_same():
    y = torch.tensor([0.0] * 8 + [1.0] * 2)
    logits = torch.zeros(10, 2)
    logits[:, 0] = 1.0
    loss = build_loss("softmax", Recipe(class_weights="balanced"), y.numpy(), 2, "cpu")(logits, y)
    log_p = torch.log_softmax(logits, 1)
    assert float(loss) == pytest.approx(-0.5 * float(log_p[0, 0] + log_p[9, 1]), rel=1e-6)


def gradient(loss, logits, y, parts):
    leaf = logits.clone().requires_grad_(True)
    size = -(-len(leaf) // parts)
    for start in range(0, len(leaf), size):
        cut = slice(start, start + size)
        (loss.total(leaf[cut], y[cut]) / loss.weight(y)).backward()
    return leaf.grad


NAN = float("nan")
HALF_LABELLED = torch.tensor([[1, NAN], [0, NAN], [1, NAN], [0, NAN], [1, 1], [0, 0], [1, 1], [0, 0]])
RARE = torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 2])


@pytest.mark.parametrize(
    ("head", "settings", "y", "columns"),
    [
        ("sigmoid", {}, HALF_LABELLED, 2),
        ("sigmoid", {"class_weights": "balanced", "label_smoothing": 0.1}, HALF_LABELLED, 2),
        ("softmax", {"class_weights": "balanced"}, RARE, 3),
        ("softmax", {"class_weights": "balanced", "label_smoothing": 0.1}, RARE, 3),
        ("ordinal", {"class_weights": "balanced"}, RARE, 3),
    ],
)
def test_a_batch_cut_into_parts_has_the_gradient_of_the_whole(head, settings, y, columns):
    logits = torch.randn(8, columns, generator=torch.manual_seed(0))
    logits = torch.log_softmax(logits, 1) if head == "ordinal" else logits
    loss = build_loss(head, Recipe(**settings), y.numpy(), columns, "cpu")
    whole = logits.clone().requires_grad_(True)
    loss(whole, y).backward()
    for parts in (2, 4, 8):
        torch.testing.assert_close(gradient(loss, logits, y, parts), whole.grad, rtol=1e-5, atol=1e-8)


def test_weighted_means_are_those_of_torch():
    logits = torch.randn(8, 3, generator=torch.manual_seed(0))
    weights = torch.tensor([8 / (3 * 6), 8 / 3, 8 / 3])
    for smoothing in (0.0, 0.1):
        recipe = Recipe(class_weights="balanced", label_smoothing=smoothing)
        expected = torch.nn.functional.cross_entropy(
            logits, RARE.long(), weight=weights, label_smoothing=smoothing
        )
        found = build_loss("softmax", recipe, RARE.numpy(), 3, "cpu")(logits, RARE)
        torch.testing.assert_close(found, expected)


def test_the_ordinal_head_is_the_proportional_odds_model():
    head = OrdinalHead(3, 4)
    x = torch.randn(5, 3, generator=torch.manual_seed(0))
    p = to_scores(head(x), "ordinal", binary=False)
    steps = np.log1p(np.exp(head.steps.detach().numpy()))
    thresholds = float(head.first) + np.concatenate([[0], np.cumsum(steps)])
    cumulative = expit(thresholds[None, :] - head.score(x).detach().numpy())
    expected = np.diff(np.column_stack([np.zeros(5), cumulative, np.ones(5)]), axis=1)
    np.testing.assert_allclose(p, expected, atol=1e-5)


def test_the_ordinal_loss_stays_finite_for_extreme_scores():
    head = OrdinalHead(1, 5)
    x = torch.tensor([[-1e4], [1e4]], requires_grad=True)
    torch.nn.init.ones_(head.score.weight)
    loss = torch.nn.functional.nll_loss(head(x), torch.tensor([4, 0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(head.score.weight.grad).all()


def test_the_composite_of_2025_is_the_mean_of_f1_auroc_and_kappa():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    scores = rng.dirichlet(np.ones(3), 60) + np.eye(3)[y] * 0.3
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    observed = (predicted == y).mean()
    chance = sum((predicted == k).mean() * (y == k).mean() for k in range(3))
    kappa = (observed - chance) / (1 - chance)
    expected = (
        f1_score(y, predicted, average="macro")
        + roc_auc_score(y, scores, multi_class="ovr", average="macro")
        + kappa
    ) / 3
    assert selection_value("retfound_composite", "macro_auroc", y.astype(float), scores) == pytest.approx(
        expected
    )


def test_the_composite_of_several_labels_is_the_mean_over_those_with_both_kinds():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, (40, 3)).astype(float)
    y[:10, 1], y[:, 2] = np.nan, 0.0
    scores = rng.random((40, 3))
    expected = []
    for j in (0, 1):
        known = ~np.isnan(y[:, j])
        truth, called = y[known, j].astype(int), (scores[known, j] >= 0.5).astype(int)
        f1 = f1_score(truth, called, average="macro")
        area = roc_auc_score(truth, scores[known, j])
        expected.append((f1 + area + cohen_kappa_score(truth, called)) / 3)
    found = selection_value("retfound_composite", "macro_auroc", y, scores)
    assert found == pytest.approx(np.mean(expected))


def test_a_carved_validation_split_of_few_patients_grows_until_it_holds_two_classes():
    groups = tuple(f"p{i // 10}" for i in range(40))
    labels = np.repeat([0.0, 0.0, 1.0, 1.0], 10)
    part = Part("toy", "train", tuple(f"i{i}" for i in range(40)), groups, labels, np.arange(40))
    train, validation = carve_validation(part, 0.1)
    assert set(validation.labels) == set(train.labels) == {0.0, 1.0}
    assert not set(train.groups) & set(validation.groups)


def test_a_carved_validation_split_keeps_patients_whole_and_classes_balanced():
    n = 200
    groups = tuple(f"p{i // 2}" for i in range(n))
    labels = ((np.arange(n) // 2) % 4).astype(float)
    part = Part("toy", "train", tuple(f"i{i}" for i in range(n)), groups, labels, np.arange(n))
    train, validation = carve_validation(part, 0.2)
    assert not set(train.groups) & set(validation.groups)
    assert len(train) + len(validation) == n
    assert [int((validation.labels == k).sum()) for k in range(4)] == [10, 10, 10, 10]


def test_a_half_written_checkpoint_is_never_read(tmp_path):
    path = tmp_path / "training.pt"
    save_checkpoint(path, {"fingerprint": "a", "step": 3})
    (tmp_path / ".training.pt.123").write_bytes(b"half")
    assert load_checkpoint(path, "a") == {"fingerprint": "a", "step": 3}
    assert load_checkpoint(path, "b") is None
    assert not (tmp_path / ".training.pt.123").exists()


@pytest.mark.parametrize("trouble", [OSError(5, "Input/output error"), MemoryError()])
def test_a_disk_or_a_memory_in_trouble_does_not_cost_a_sound_checkpoint(tmp_path, monkeypatch, trouble):
    path = tmp_path / "training.pt"
    save_checkpoint(path, {"fingerprint": "a", "step": 3})

    def fail(*_, **__):
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr("benchbench.training.checkpoint.torch.load", fail)
        with pytest.raises(type(trouble)):
            load_checkpoint(path, "a")
    assert load_checkpoint(path, "a") == {"fingerprint": "a", "step": 3}


def test_a_kill_between_checksum_and_checkpoint_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    save_checkpoint(path, {"fingerprint": "a", "step": 3})

    def killed(source, target):
        if target == path:
            raise KeyboardInterrupt
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr("benchbench.training.checkpoint.os.replace", killed)
    for step in (4, 5):
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, {"fingerprint": "a", "step": step})
    assert load_checkpoint(path, "a") == {"fingerprint": "a", "step": 3}
