"""Label efficiency: nested subsets of patients, and more labels never hurt on average."""

from __future__ import annotations

import numpy as np
import pytest
from benchbench_protocols.label_efficiency import (
    LABEL_EFFICIENCY,
    LABEL_EFFICIENCY_FINE_TUNE,
    patient_subset,
    run_efficiency,
)
from benchbench_protocols.learned import Learned

from benchbench.testing.fakes import fake_context, toy_dataset

GROUPS = tuple(f"p{i // 2}" for i in range(200))
LABELS = ((np.arange(200) // 2) % 5 == 0).astype(float)


def test_smaller_subsets_lie_inside_larger_ones_and_patients_stay_whole():
    before: set[int] = set()
    for fraction in (0.1, 0.2, 0.5, 0.8, 1.0):
        chosen = patient_subset(GROUPS, LABELS, fraction, repeat=0)
        assert len(chosen) == 200 * fraction
        assert before <= set(chosen.tolist())
        patients = {GROUPS[i] for i in chosen}
        assert len(chosen) == sum(g in patients for g in GROUPS)
        before = set(chosen.tolist())


def test_every_subset_has_the_classes_in_their_shares():
    for repeat in range(5):
        chosen = patient_subset(GROUPS, LABELS, 0.1, repeat)
        assert LABELS[chosen].mean() == pytest.approx(0.2)


def test_repeats_choose_different_patients():
    first, second = (set(patient_subset(GROUPS, LABELS, 0.2, r).tolist()) for r in (0, 1))
    assert len(first & second) < 0.6 * len(first)


def test_rare_labels_of_a_multilabel_task_are_in_every_large_subset():
    labels = np.zeros((200, 2))
    labels[:100, 0] = 1
    labels[:8, 1] = 1
    for repeat in range(5):
        assert labels[patient_subset(GROUPS, labels, 0.25, repeat), 1].sum() == 2


def test_the_plan_has_one_cell_per_fraction_and_repeat_and_all_labels_once():
    task = ("toy/grade", toy_dataset().tasks[0])
    specs = LABEL_EFFICIENCY.cells((task,), LABEL_EFFICIENCY.config(fractions=(1.0, 0.5), repeats=2))
    assert [dict(s.axes) for s in specs] == [
        {"fraction": "0.5", "repeat": "0"},
        {"fraction": "0.5", "repeat": "1"},
        {"fraction": "1", "repeat": "0"},
    ]


def test_fractions_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        LABEL_EFFICIENCY.config(fractions=(0.0, 1.0))


def test_more_labels_give_better_scores(tmp_path):
    data = toy_dataset(n=600, separation=0.5)
    config = LABEL_EFFICIENCY.config()
    found = {}
    for fraction in ("0.05", "1"):
        context = fake_context(
            {"toy": data}, "toy/grade", config, tmp_path, axes={"fraction": fraction, "repeat": "0"}
        )
        output = LABEL_EFFICIENCY.run(context)
        predictions = output.predictions["toy/grade"]
        truth = data.frame.set_index("image_id")["grade"].loc[list(predictions.image_ids)]
        found[fraction] = (predictions.scores.argmax(1) == truth).mean()
        assert len(predictions.image_ids) == (data.frame["split"] == "test").sum()
    assert output.details["n_train"] == (data.frame["split"] == "train").sum()
    assert found["1"] > found["0.05"] + 0.02


def test_a_fine_tune_on_any_share_is_judged_on_the_same_held_out_patients(tmp_path):
    """Also where the split has no validation images."""
    seen = []

    def learn(context, train, validation, task, config):
        seen.append((set(train.groups), validation.image_ids, set(validation.groups)))
        return Learned(lambda part: np.full((len(part), 3), 1 / 3))

    config = LABEL_EFFICIENCY_FINE_TUNE.config(fractions=(0.3, 1.0))
    for fraction in ("0.3", "1"):
        axes = {"fraction": fraction, "repeat": "0"}
        run_efficiency(learn)(fake_context({"toy": toy_dataset()}, "toy/grade", config, tmp_path, axes=axes))
    (few, first, held_out), (many, second, _) = seen
    assert first == second
    assert len(few) < 0.4 * len(many)
    assert not (few | many) & held_out


def test_another_fraction_leaves_the_cells_of_the_others_as_they_are(tmp_path):
    from PIL import Image

    from benchbench.plan import make_plan, resolve_protocols
    from benchbench.plugins import registry
    from benchbench.store import Store
    from benchbench.suite import parse_suite
    from benchbench.survey import Roots, survey

    folder = tmp_path / "clinic"
    folder.mkdir()
    rows = ["image,label,patient"]
    for k in range(40):
        Image.fromarray(np.full((8, 8, 3), 6 * k, np.uint8)).save(folder / f"{k}.png")
        rows.append(f"{k}.png,{k % 2},p{k}")
    (folder / "labels.csv").write_text("\n".join(rows))

    def ids(settings: str) -> dict[tuple[tuple[str, str], ...], str]:
        file = parse_suite(
            "title: t\nencoders: [untrained/resnet18]\ntasks: [clinic/label]\nprotocols:\n"
            f"  - {{protocol: label_efficiency, config: {{{settings}}}}}\n"
        )
        protocols = resolve_protocols(file, registry().protocol, False)
        seen = survey(file, registry(), Roots(tmp_path, None, Store()))
        return {c.spec.axes: c.id for c in make_plan(file, seen, protocols, lambda key: False).cells}

    few, more = ids("fractions: [0.5, 1.0]"), ids("fractions: [0.5, 0.8, 1.0], repeats: 5")
    assert len(few) == 4
    assert len(more) == 11
    assert few.items() < more.items()
    assert len(set(more.values())) == 11
    assert ids("fractions: [0.5], folds: 4").items().isdisjoint(few.items())
