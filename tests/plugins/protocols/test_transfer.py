"""Transfer, leave-one-dataset-out and multitask: classes by name, no leak, nothing of the target touched before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from benchbench_protocols.classes import bridge, relabel, translate
from benchbench_protocols.learned import Learned
from benchbench_protocols.lodo import LODO
from benchbench_protocols.multitask import MULTITASK, run_multitask
from benchbench_protocols.transfer import TRANSFER, TransferConfig
from sklearn.metrics import roc_auc_score

from benchbench.api import CellSpec, Task
from benchbench.context import Part
from benchbench.errors import AuditError, SuiteError
from benchbench.testing.fakes import fake_context, toy_dataset


def hospitals(shift=(0.0, 0.0, 0.0), **settings):
    """Three datasets of one task; each with its own constant shift of all embeddings."""
    found = {}
    for i, name in enumerate(("a", "b", "c")):
        data = toy_dataset(name, seed=i, n=120, **settings)
        direction = np.random.default_rng(100 + i).normal(size=data.embeddings.shape[1])
        found[name] = dataclasses.replace(
            data, embeddings=(data.embeddings + shift[i] * direction).astype(np.float32)
        )
    return found


def tasks_of(data, name="grade"):
    return tuple((f"{d}/{name}", next(t for t in data[d].tasks if t.name == name)) for d in data)


def with_classes(dataset, order):
    """The same images with the classes listed, and coded, in another order."""
    task = dataset.tasks[0]
    frame = dataset.frame.copy()
    frame["grade"] = frame["grade"].map({old: float(new) for new, old in enumerate(order)})
    renamed = dataclasses.replace(task, classes=tuple(task.classes[k] for k in order))
    return dataclasses.replace(dataset, frame=frame, tasks=(renamed, *dataset.tasks[1:]))


def run(protocol, data, spec, tmp_path, **settings):
    config = protocol.config(**settings)
    context = fake_context(
        data,
        spec.task,
        config,
        tmp_path,
        targets=spec.targets,
        axes=dict(spec.axes),
        also_train=spec.also_train,
    )
    return context, protocol.run(context)


def accuracy(data, target, predictions):
    frame = data[target.split("/")[0]].frame.set_index("image_id")
    truth = frame["grade"].loc[list(predictions.image_ids)].to_numpy()
    return (predictions.scores.argmax(axis=1) == truth).mean()


def test_one_cell_per_source_names_every_dataset_with_the_same_question():
    data = hospitals()
    tasks = tasks_of(data) + tasks_of(data, "any")
    specs = TRANSFER.cells(tasks, TransferConfig())
    assert {(s.task, s.targets) for s in specs} == {
        (f"{a}/{t}", (f"{a}/{t}", *(f"{b}/{t}" for b in "abc" if b != a)))
        for a in "abc"
        for t in ("grade", "any")
    }
    only = TRANSFER.cells(tasks, TransferConfig(sources=("b",)))
    assert {s.task for s in only} == {"b/grade", "b/any"}


def test_tasks_that_share_no_classes_are_refused_before_anything_runs():
    data = {"a": toy_dataset("a"), "b": toy_dataset("b", classes=2)}
    other = Task("stage", "Stage", "ordinal", ("early", "late", "end"), column="grade")
    with pytest.raises(SuiteError, match="nothing can be transferred"):
        TRANSFER.cells((tasks_of(data)[0], ("b/stage", other)), TransferConfig())
    with pytest.raises(SuiteError, match="not among the datasets"):
        TRANSFER.cells(tasks_of(data), TransferConfig(sources=("z",)))


def test_classes_are_matched_by_name_whatever_their_order(tmp_path):
    data = hospitals()
    data["b"] = with_classes(data["b"], [2, 0, 1])
    spec = TRANSFER.cells(tasks_of(data), TransferConfig())[0]
    _, output = run(TRANSFER, data, spec, tmp_path)
    assert accuracy(data, "b/grade", output.predictions["b/grade"]) > 0.9
    assert output.predictions["b/grade"].validation_scores is None, "the codes of a mean something else in b"
    kept = output.predictions["c/grade"]
    assert kept.validation_ids == output.predictions["a/grade"].validation_ids
    assert all(i.startswith("a-") for i in kept.validation_ids), "thresholds come from the source"


def test_a_shift_between_hospitals_costs_accuracy(tmp_path):
    data = hospitals(shift=(0.0, 4.0, 8.0))
    spec = TRANSFER.cells(tasks_of(data), TransferConfig())[0]
    _, output = run(TRANSFER, data, spec, tmp_path)
    found = {t: accuracy(data, t, output.predictions[t]) for t in spec.targets}
    assert found["a/grade"] > 0.9
    assert found["c/grade"] < found["a/grade"] - 0.2


def test_a_planted_picture_refuses_its_target_and_leaves_the_others(tmp_path):
    data = hospitals()
    source, target = data["a"], data["b"]
    train_row = int(np.flatnonzero(source.frame["split"] == "train")[0])
    test_row = int(np.flatnonzero(target.frame["split"] == "test")[0])
    other_row = int(np.flatnonzero(target.frame["split"] == "train")[0])
    spec = TRANSFER.cells(tasks_of(data), TransferConfig())[0]
    _, clean = run(TRANSFER, data, spec, tmp_path)

    def plant(row):
        first, second = ([f"{n}{i}" for i in range(120)] for n in "ab")
        second[row] = first[train_row]
        return data | {
            "a": dataclasses.replace(source, pictures=tuple(first)),
            "b": dataclasses.replace(target, pictures=tuple(second)),
        }

    _, output = run(TRANSFER, plant(test_row), spec, tmp_path)
    assert set(output.refused) == {"b/grade"}
    assert target.frame["image_id"][test_row] in output.refused["b/grade"]
    assert set(output.predictions) == {"a/grade", "c/grade"}
    for name, kept in output.predictions.items():
        np.testing.assert_array_equal(kept.scores, clean.predictions[name].scores)
    assert not run(TRANSFER, plant(other_row), spec, tmp_path)[1].refused
    _, whole = run(TRANSFER, plant(other_row), spec, tmp_path, target="whole")
    assert target.frame["image_id"][other_row] in whole.refused["b/grade"]


def test_a_cell_with_no_target_left_stops_before_it_trains(tmp_path):
    data = hospitals()
    data["b"] = dataclasses.replace(data["b"], pictures=tuple(f"b{i}" for i in range(120)))
    data["c"] = dataclasses.replace(data["c"], pictures=tuple(f"b{(i + 12) % 120}" for i in range(120)))
    spec = LODO.cells(tasks_of(data), TransferConfig())[2]
    with pytest.raises(AuditError, match="as the same file or as a copy"):
        run(LODO, data, spec, tmp_path)


def test_the_whole_target_is_all_its_images_and_the_source_keeps_its_test_split(tmp_path):
    data = hospitals()
    spec = TRANSFER.cells(tasks_of(data), TransferConfig(target="whole"))[0]
    _, output = run(TRANSFER, data, spec, tmp_path, target="whole")
    assert len(output.predictions["b/grade"].image_ids) == 120
    assert len(output.predictions["a/grade"].image_ids) == (data["a"].frame["split"] == "test").sum()


def test_nothing_of_a_target_but_its_file_hashes_is_read_before_training_is_over(tmp_path, monkeypatch):
    data = hospitals()
    spec = TRANSFER.cells(tasks_of(data), TransferConfig())[0]
    context = fake_context(data, spec.task, TransferConfig(), tmp_path, targets=spec.targets)
    embedded = []
    original = context.data.embeddings
    monkeypatch.setattr(context.data, "embeddings", lambda e, d: embedded.append(d) or original(e, d))
    import benchbench_protocols.transfer as module

    seen = {}
    judge = module.judge_everywhere
    monkeypatch.setattr(module, "judge_everywhere", lambda *a: seen.update(before=set(embedded)) or judge(*a))
    TRANSFER.run(context)
    assert seen["before"] == {"a"}


def test_leave_one_out_pools_the_others_and_is_better_than_a_single_source(tmp_path):
    data = hospitals(shift=(0.0, 3.0, 0.0), separation=0.35, dim=48)
    specs = LODO.cells(tasks_of(data), TransferConfig())
    assert specs[2] == CellSpec("a/grade", ("c/grade",), (("left_out", "c"),), also_train=("b/grade",))
    _, pooled = run(LODO, data, specs[2], tmp_path)
    assert pooled.details["n_train"] == sum((data[d].frame["split"] == "train").sum() for d in "ab")
    single = CellSpec("b/grade", ("b/grade", "c/grade"))
    _, alone = run(TRANSFER, data, single, tmp_path)
    assert accuracy(data, "c/grade", pooled.predictions["c/grade"]) > accuracy(
        data, "c/grade", alone.predictions["c/grade"]
    )


def test_leave_one_out_pools_labels_by_name(tmp_path):
    data = hospitals()
    data["b"] = with_classes(data["b"], [1, 2, 0])
    spec = LODO.cells(tasks_of(data), TransferConfig())[2]
    _, output = run(LODO, data, spec, tmp_path)
    assert accuracy(data, "c/grade", output.predictions["c/grade"]) > 0.9


def test_names_that_differ_by_punctuation_alone_stay_apart():
    plus = Task("x", "x", "multiclass", ("+", "-"))
    minus = Task("x", "x", "multiclass", ("-", "+"))
    scores = np.array([[0.9, 0.1]])
    np.testing.assert_array_equal(translate(scores, bridge(plus, minus), "multiclass"), [[0.1, 0.9]])
    grades = Task("x", "x", "multiclass", ("none", "DR+", "DR-"))
    assert bridge(grades, Task("x", "x", "multiclass", ("DR-", "None"))).columns == (2, 0)
    assert bridge(grades, Task("x", "x", "multiclass", ("DR", "none"))) is None
    assert bridge(
        Task("x", "x", "multiclass", ("DR 1", "DR-2")), Task("y", "y", "multiclass", ("dr2", "dr1"))
    )


def test_binary_classes_in_the_other_order_are_turned(tmp_path):
    data = hospitals()
    turned = Task("any", "Any", "binary", ("present", "absent"), column="grade", positive=(0,))
    own = dataclasses.replace(data["a"].tasks[1], classes=("absent", "present"))
    data["a"] = dataclasses.replace(data["a"], tasks=(data["a"].tasks[0], own))
    data["b"] = dataclasses.replace(data["b"], tasks=(data["b"].tasks[0], turned))
    spec = TRANSFER.cells((("a/any", own), ("b/any", turned)), TransferConfig())[0]
    _, output = run(TRANSFER, data, spec, tmp_path)
    found = output.predictions["b/any"]
    truth = data["b"].frame.set_index("image_id")["grade"].loc[list(found.image_ids)].to_numpy() == 0
    assert roc_auc_score(truth, found.scores[:, 0]) > 0.9
    assert output.details["threshold b/any"] == pytest.approx(1 - output.details["threshold"])


def test_grades_with_an_order_and_classes_without_one_fit_by_name():
    names = ("none", "mild", "severe")
    assert bridge(Task("g", "g", "ordinal", names), Task("g", "g", "multiclass", names[::-1])).columns == (
        2,
        1,
        0,
    )
    assert bridge(Task("g", "g", "ordinal", names), Task("g", "g", "multilabel", names)) is None


def test_threshold_and_temperature_come_from_the_sources_and_stay_in_the_record(tmp_path):
    """Also where the validation scores themselves cannot be kept."""
    data = hospitals()
    specs = LODO.cells(tasks_of(data, "any"), TransferConfig())
    _, output = run(LODO, data, specs[2], tmp_path)
    assert output.predictions["c/any"].validation_scores is None
    assert 0 < output.details["threshold"] < 1
    assert output.details["temperature"] > 0
    data["b"] = with_classes(data["b"], [2, 0, 1])
    spec = TRANSFER.cells(tasks_of(data), TransferConfig())[0]
    _, graded = run(TRANSFER, data, spec, tmp_path)
    kept = graded.predictions["a/grade"]
    frame = data["a"].frame.set_index("image_id")
    labels = frame["grade"].loc[list(kept.validation_ids)].to_numpy().astype(int)

    def log_loss(temperature):
        p = kept.validation_scores ** (1 / temperature)
        return -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(len(labels)), labels]).mean()

    best = graded.details["temperature"]
    assert log_loss(best) <= min(log_loss(best * f) for f in (0.5, 0.9, 1.1, 2.0))


def test_leave_one_out_needs_three_datasets():
    data = hospitals()
    with pytest.raises(SuiteError, match="three datasets"):
        LODO.cells(tasks_of(data)[:2], TransferConfig())


def test_a_target_with_fewer_classes_gets_renormalised_scores():
    source = Task("g", "g", "multiclass", ("CNV", "DME", "Drusen", "Normal"))
    target = Task("g", "g", "multiclass", ("normal", "cnv"))
    way = bridge(source, target)
    moved = translate(np.array([[0.2, 0.3, 0.1, 0.4], [0.0, 1.0, 0.0, 0.0]]), way, "multiclass")
    np.testing.assert_allclose(moved, [[2 / 3, 1 / 3], [0.5, 0.5]])
    assert bridge(target, source) is None
    part = Part("t", "train", ("x", "y"), ("x", "y"), np.array([0.0, 1.0]), np.arange(2))
    assert relabel(part, target, source).labels.tolist() == [3.0, 0.0]


def test_multitask_scores_every_binary_task_with_its_own_column(tmp_path):
    data = {"toy": toy_dataset(labels=3, validation=True)}
    tasks = tuple((f"toy/{t.name}", t) for t in data["toy"].tasks)
    (spec,) = MULTITASK.cells(tasks, MULTITASK.config())
    assert spec.targets == ("toy/signs", "toy/sign0", "toy/sign1", "toy/sign2")
    _, output = run(MULTITASK, data, spec, tmp_path)
    together = output.predictions["toy/signs"]
    frame = data["toy"].frame.set_index("image_id")
    for j in range(3):
        one = output.predictions[f"toy/sign{j}"]
        np.testing.assert_array_equal(one.scores[:, 0], together.scores[:, j])
        np.testing.assert_array_equal(one.validation_scores[:, 0], together.validation_scores[:, j])
        assert roc_auc_score(frame[f"sign{j}"].loc[list(one.image_ids)], one.scores[:, 0]) > 0.8
    assert len({output.details[f"C sign{j}"] for j in range(3)}) == 1, "one strength for all labels"


def test_the_model_for_all_labels_scores_the_test_images_once(tmp_path):
    asked = []

    def learn(context, train, validation, task, config):
        def score(part):
            asked.append(part.image_ids)
            return np.linspace(0, 1, 3 * len(part)).reshape(len(part), 3)

        return Learned(score)

    data = {"toy": toy_dataset(labels=3, validation=True)}
    frame = data["toy"].frame
    frame.loc[frame.index[::3], "sign1"] = np.nan
    (spec,) = MULTITASK.cells(tuple((f"toy/{t.name}", t) for t in data["toy"].tasks), MULTITASK.config())
    context = fake_context(data, spec.task, MULTITASK.config(), tmp_path, targets=spec.targets)
    output = run_multitask(learn)(context)
    assert len(asked) == 1
    together, one = output.predictions["toy/signs"], output.predictions["toy/sign1"]
    assert len(one.image_ids) < len(together.image_ids)
    at = [together.image_ids.index(i) for i in one.image_ids]
    np.testing.assert_array_equal(one.scores[:, 0], together.scores[at, 1])


def test_multitask_without_a_multilabel_task_says_what_to_list():
    with pytest.raises(SuiteError, match="multi-label"):
        MULTITASK.cells(tasks_of(hospitals()), MULTITASK.config())
