"""Transfer, protocol interaction, label efficiency, published values, audit, two runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report.builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, typical, write_run
from sklearn.metrics import roc_auc_score

from benchbench.analysis import analyse
from benchbench.analysis.cases import Predictions
from benchbench.analysis.model import OTHERS
from benchbench.analysis.published import published_numbers
from benchbench.analysis.two_runs import compare_runs
from benchbench.report import write_report
from benchbench.results import AuditFinding, Run, read_predictions, read_run, write_predictions
from benchbench.statistics import delong_test


def read(folder: Path, spec: FakeRun) -> Run:
    return read_run(write_run(folder, spec))


def column(run: Run, **where: object) -> np.ndarray:
    row = next(r for r in run.rows if all(getattr(r, k) == v for k, v in where.items()))
    frame = run.predictions
    found = frame[(frame.cell_id == row.cell_id) & (frame.task == row.task) & (frame.split == "test")]
    return np.stack(found.scores.to_list())[:, 0]


def labels(run: Run, task: str) -> np.ndarray:
    frame = run.predictions
    cell = next(r.cell_id for r in run.rows if r.task == task)
    return frame[(frame.cell_id == cell) & (frame.task == task) & (frame.split == "test")].y_true.to_numpy()


@pytest.fixture(scope="module")
def transfer_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tasks = (FakeTask("aptos2019/referable", n=250), FakeTask("idrid/referable", n=120))
    return read(tmp_path_factory.mktemp("transfer"), typical(tasks=tasks, transfer=True))


def test_the_transfer_matrix_has_in_domain_values_on_its_diagonal(transfer_run: Run) -> None:
    analysis = analyse(transfer_run)
    matrix = next(m for m in analysis.transfer if m.encoder == "retfound_green")
    for i, source in enumerate(matrix.sources):
        for j, target in enumerate(matrix.targets):
            names = {"APTOS2019": "aptos2019/referable", "IDRID": "idrid/referable"}
            source_task = next(v for k, v in names.items() if k in source)
            task = next(v for k, v in names.items() if k in target)
            scores = column(transfer_run, encoder="retfound_green", task=task, source_task=source_task)
            assert matrix.values[i, j] == pytest.approx(roc_auc_score(labels(transfer_run, task), scores))


def test_the_loss_in_transfer_is_a_paired_test_on_the_target(transfer_run: Run) -> None:
    analysis = analyse(transfer_run)
    drop = next(
        d for m in analysis.transfer for d in m.drops if d.encoder == "deretfound" and "IDRID" in d.target
    )
    home = column(transfer_run, encoder="deretfound", task="idrid/referable", source_task="idrid/referable")
    away = column(
        transfer_run, encoder="deretfound", task="idrid/referable", source_task="aptos2019/referable"
    )
    expected = delong_test(labels(transfer_run, "idrid/referable"), home, away)
    assert drop.comparison.difference == pytest.approx(expected.difference)
    assert drop.comparison.p_value == pytest.approx(expected.p_value)
    assert drop.comparison.p_holm >= drop.comparison.p_value


def test_a_whole_set_target_is_paired_on_the_in_domain_test_images(transfer_run: Run) -> None:
    """Transfer may be tested on all images of the target; the loss is still measured on the common ones."""
    frame = transfer_run.predictions
    home = {r.cell_id for r in transfer_run.rows if r.task == "idrid/referable" and r.source_task == r.task}
    images = frame[frame.cell_id.isin(home) & (frame.split == "test")].image_id.unique()
    dropped = frame.cell_id.isin(home) & frame.image_id.isin(images[::2])
    run = dataclasses.replace(transfer_run, predictions=frame[~dropped].reset_index(drop=True))
    analysis = analyse(run)
    drop = next(d for m in analysis.transfer for d in m.drops if "IDRID" in d.target and "APTOS" in d.source)
    assert drop.comparison is not None
    assert drop.comparison.difference == pytest.approx(drop.in_domain - drop.transferred)
    whole = next(p for p in analysis.panels if p.task == "idrid/referable" and not p.in_domain)
    assert drop.transferred != pytest.approx(whole.estimate(drop.encoder).value), (
        "not the value on all images"
    )


def test_a_second_transfer_protocol_with_the_same_test_is_corrected_for_once(transfer_run: Run) -> None:
    """Judged on the test split and on the whole set, a probe is tested on the same images twice."""
    again = tuple(
        dataclasses.replace(r, protocol="to whole sets") for r in transfer_run.rows if r.source_task != r.task
    )
    repeated = [dataclasses.replace(r, cell_id=f"{r.cell_id}x") for r in again]
    frame = transfer_run.predictions
    moved = frame[frame.cell_id.isin({r.cell_id for r in again})].copy()
    moved["cell_id"] = moved.cell_id + "x"
    moved["scores"] = [s + 1e-13 for s in moved.scores]
    info = dataclasses.replace(
        transfer_run.info,
        protocols=(
            *transfer_run.info.protocols,
            dataclasses.replace(transfer_run.info.protocols[0], name="to whole sets"),
        ),
    )
    run = dataclasses.replace(
        transfer_run,
        rows=(*transfer_run.rows, *repeated),
        predictions=pd.concat([frame, moved], ignore_index=True),
        info=info,
    )
    once = [d.comparison for m in analyse(transfer_run).transfer for d in m.drops]
    twice = [d.comparison for m in analyse(run).transfer for d in m.drops]
    assert len(twice) == 2 * len(once)
    assert sorted(c.p_holm for c in twice) == pytest.approx(sorted(2 * [c.p_holm for c in once]))


def test_panels_of_other_training_data_are_in_the_same_family(transfer_run: Run) -> None:
    assert analyse(transfer_run).wins.tests == 4 * 10


def interaction_spec(seeds: tuple[int, ...] = (0,)) -> FakeRun:
    return typical(
        tasks=(FakeTask("idrid/referable", n=300),),
        protocols=("linear_probe", "fine_tune"),
        seeds=seeds,
        skill_by_protocol={("untrained/resnet50", "fine_tune"): 3.5, ("mae_imagenet", "fine_tune"): 2.5},
    )


def test_an_order_that_depends_on_the_protocol_is_found(tmp_path: Path) -> None:
    found = analyse(read(tmp_path, interaction_spec())).interactions[0]
    assert found.kendall < 0.5
    assert ("retfound_green", "untrained/resnet50") in found.reversals
    changed = {frozenset((c.first, c.second)) for c in found.contrasts if c.winner}
    assert frozenset(("retfound_green", "untrained/resnet50")) in changed


def test_the_interaction_contrast_agrees_with_a_paired_bootstrap(tmp_path: Path) -> None:
    run = read(tmp_path, interaction_spec())
    c = analyse(run).interactions[0].contrasts[0]
    y = labels(run, "idrid/referable")
    columns = [
        column(run, encoder=e, protocol=p) for p in ("linear_probe", "fine_tune") for e in (c.first, c.second)
    ]
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(600):
        at = rng.integers(0, len(y), len(y))
        a, b, x, z = (roc_auc_score(y[at], s[at]) for s in columns)
        drawn.append(a - b - x + z)
    assert c.difference == pytest.approx(
        sum(w * roc_auc_score(y, s) for w, s in zip((1, -1, -1, 1), columns, strict=True))
    )
    assert c.se == pytest.approx(np.std(drawn, ddof=1), rel=0.12)


def test_unsteady_seeds_widen_the_interaction_contrast(tmp_path: Path) -> None:
    steady = dataclasses.replace(interaction_spec((0, 1, 2)), seed_sd=0.0)
    shaky = dataclasses.replace(interaction_spec((0, 1, 2)), seed_sd=1.2)
    first, second = (
        analyse(read(tmp_path / name, spec)).interactions[0].contrasts[0]
        for name, spec in (("a", steady), ("b", shaky))
    )
    assert second.se > 1.1 * first.se


def test_label_efficiency_finds_how_many_labels_match_another_encoder(tmp_path: Path) -> None:
    axes = ({}, *({"fraction": f, "repeat": r} for f in ("0.1", "0.3") for r in ("0", "1")))
    spec = typical(tasks=(FakeTask("idrid/referable", n=300),), axes=axes)
    analysis = analyse(read(tmp_path, spec))
    curve = next(c for c in analysis.efficiency if c.encoder == "retfound_green")
    assert [(p.fraction, p.repeats) for p in curve.points] == [(0.1, 2), (0.3, 2), (1.0, 1)]
    matched = dict(curve.matches)
    weak = next(c for c in analysis.efficiency if c.encoder == "mae_imagenet").points[-1].value
    share = matched["mae_imagenet"]
    x = [np.log(p.fraction) for p in curve.points]
    assert np.interp(np.log(share), x, [p.value for p in curve.points]) == pytest.approx(weak)
    assert analysis.wins.tests == 10, "shares of the labels are a family of their own"


def test_an_encoder_that_matches_with_the_fewest_labels_needs_at_most_those(tmp_path: Path) -> None:
    axes = ({}, {"fraction": "0.1", "repeat": "0"})
    skills = {("retfound_green", "linear_probe"): 3.0, ("mae_imagenet", "linear_probe"): 0.1}
    spec = typical(tasks=(FakeTask("idrid/referable", n=300),), axes=axes, skill_by_protocol=skills)
    curves = {c.encoder: c for c in analyse(read(tmp_path, spec)).efficiency}
    strong, weak = curves["retfound_green"], curves["mae_imagenet"]
    assert strong.points[0].value > weak.points[-1].value
    assert dict(strong.matches)["mae_imagenet"] == 0.1
    assert "retfound_green" not in dict(weak.matches)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "at most 10" in page.partition('id="efficiency-h"')[2].partition("</section>")[0]


def test_published_numbers_are_set_beside_the_same_cell_by_the_same_metric(tmp_path: Path) -> None:
    tasks = (FakeTask("idrid/grade", n=103, **ORDINAL), FakeTask("idrid/referable", n=103))
    analysis = analyse(read(tmp_path, typical(tasks=tasks)))
    value = next(
        v
        for v in analysis.published
        if v.task == "idrid/referable" and v.encoder == "retfound_green" and v.measured
    )
    assert value.value == 0.9160
    panel = next(p for p in analysis.panels if p.task == "idrid/referable")
    assert value.measured.value == pytest.approx(panel.estimate("retfound_green").value)
    assert value.measured.stamps == ("SYNTHETIC",)
    fine_tuned = [v for v in analysis.published if v.protocol == "fine_tune"]
    assert fine_tuned
    assert all(v.measured is None for v in fine_tuned), "no fine-tuning ran"


def test_every_published_number_names_its_paper_and_the_file_it_was_read_in() -> None:
    numbers = published_numbers()
    assert len(numbers) > 100
    for n in numbers:
        assert n.paper
        assert n.source
        assert 0 < n.value < 1
        assert n.places
        for task, source_task in n.places:
            assert "/" in task
            assert "/" in source_task or source_task == OTHERS


def test_leaks_of_the_audit_come_first_and_contaminated_cells_are_named(tmp_path: Path) -> None:
    audit = (
        AuditFinding("note", "split", "official"),
        AuditFinding("leak", "overlap", "3 patients", "idrid"),
    )
    encoders = (FakeEncoder("clean"), FakeEncoder("seen", stamps="CONTAMINATED"))
    lints = analyse(read(tmp_path, typical(encoders=encoders, audit=audit))).lints
    assert lints[0].severity == "leak"
    assert any(lint.code == "contamination" and "seen" in lint.where for lint in lints)
    assert not any(lint.code == "contamination" and "clean" in lint.where for lint in lints)


def test_hard_predictions_are_noticed(tmp_path: Path) -> None:
    run = read(tmp_path, typical(tasks=(FakeTask("d/t", n=80),)))
    hard = run.predictions.assign(scores=[(s >= 0.5).astype(float) for s in run.predictions.scores])
    lints = analyse(dataclasses.replace(run, predictions=hard)).lints
    assert any("balanced accuracy" in lint.code for lint in lints)


def test_comparing_a_run_with_itself_finds_nothing(tmp_path: Path) -> None:
    run = read(tmp_path, typical())
    found = compare_runs(run, run)
    assert {c.state for c in found.changes} == {"same"}
    assert found.environment == ()


def test_comparing_two_runs_tests_what_changed_and_names_what_cannot_be_paired(tmp_path: Path) -> None:
    spec = typical(tasks=(FakeTask("d/t", n=200), FakeTask("e/t", n=100)))
    better = dataclasses.replace(spec.encoders[3], skill=2.5)
    first = read(tmp_path / "a", spec)
    second = read(
        tmp_path / "b",
        dataclasses.replace(
            spec, encoders=(better, *spec.encoders[:2]), tasks=(spec.tasks[0], FakeTask("e/t", n=90))
        ),
    )
    rows = tuple(
        dataclasses.replace(r, label_fingerprint="ff" * 16) if r.task == "e/t" else r for r in second.rows
    )
    found = compare_runs(first, dataclasses.replace(second, rows=rows))
    by_cell = {(c.encoder, c.task): c for c in found.changes}
    changed = by_cell["mae_imagenet", "d/t"]
    assert changed.state == "changed"
    assert changed.comparison.winner == "second run"
    y = labels(first, "d/t")
    expected = delong_test(
        y,
        column(second, encoder="mae_imagenet", task="d/t"),
        column(first, encoder="mae_imagenet", task="d/t"),
    )
    assert changed.comparison.p_value == pytest.approx(expected.p_value)
    assert by_cell["retfound_green", "d/t"].state == "same"
    assert by_cell["deretfound", "d/t"].state == "only in first"
    assert by_cell["retfound_green", "e/t"].state == "not paired"
    assert "label fingerprint" in by_cell["retfound_green", "e/t"].reason


def test_a_panel_that_repeats_earlier_predictions_is_not_counted_twice(tmp_path: Path) -> None:
    """Transfer protocols judge in-domain too, with the very scores of the probe."""
    run = read(tmp_path, typical(tasks=(FakeTask("d/t", n=120),)))
    again = tuple(dataclasses.replace(r, protocol="transfer", protocol_kind="transfer") for r in run.rows)
    info = dataclasses.replace(
        run.info, protocols=(*run.info.protocols, dataclasses.replace(run.info.protocols[0], name="transfer"))
    )
    analysis = analyse(dataclasses.replace(run, rows=(*run.rows, *again), info=info))
    assert analysis.wins.tests == 10
    assert [p.family for p in analysis.panels] == ["primary", "same predictions as linear_probe"]
    assert len(analysis.headline) == 1


def test_all_labels_of_a_label_efficiency_protocol_are_the_headline_when_nothing_else_ran(
    tmp_path: Path,
) -> None:
    axes = ({"fraction": "0.1", "repeat": "0"}, {"fraction": "1", "repeat": "0"})
    analysis = analyse(read(tmp_path, typical(tasks=(FakeTask("d/t", n=120),), axes=axes)))
    assert [dict(p.axes)["fraction"] for p in analysis.headline] == ["1"]
    assert analysis.wins.tests == 10
    assert [p.fraction for p in analysis.efficiency[0].points] == [0.1, 1.0]


def test_labels_learned_together_are_in_domain_and_not_a_transfer(tmp_path: Path) -> None:
    run = read(tmp_path, typical(tasks=(FakeTask("oct/drusen", n=120),)))
    rows = tuple(dataclasses.replace(r, source_task="oct/signs", protocol="multitask") for r in run.rows)
    analysis = analyse(dataclasses.replace(run, rows=rows))
    assert analysis.panels[0].in_domain
    assert analysis.transfer == ()


def test_leaving_one_data_set_out_is_a_transfer_from_all_others(tmp_path: Path) -> None:
    spec = typical(tasks=(FakeTask("a/t", n=100), FakeTask("b/t", n=120)), transfer=True)
    run = read(tmp_path, spec)
    rows = tuple(
        dataclasses.replace(r, protocol="lodo", axes=f'{{"left_out": "{r.dataset}"}}')
        if r.source_task != r.task
        else r
        for r in run.rows
    )
    analysis = analyse(dataclasses.replace(run, rows=rows))
    away = [p for p in analysis.panels if not p.in_domain]
    assert {p.source_title for p in away} == {"all other data sets"}
    assert {p.family for p in away} == {"primary"}
    matrix = analysis.transfer[0]
    assert matrix.values.shape == (1, 2)
    assert not np.isnan(matrix.values).any()
    assert len(matrix.drops) == 2
    assert all(d.comparison is not None for d in matrix.drops)


def test_labels_of_a_multilabel_task_survive_the_file_beside_binary_ones(tmp_path: Path) -> None:
    run = read(tmp_path, typical(tasks=(FakeTask("oct/drusen", n=60),)))
    frame = run.predictions.copy()
    several = frame.copy()
    several["task"] = "oct/signs"
    several["y_true"] = [np.array([y, np.nan]) for y in frame.y_true]
    several["scores"] = [np.array([s[0], 0.5]) for s in frame.scores]
    path = tmp_path / "both.parquet"
    write_predictions(path, pd.concat([frame, several], ignore_index=True))
    found = Predictions(read_predictions(path))
    cell = run.rows[0].cell_id
    binary, multi = (found.find(cell, task, "test") for task in ("oct/drusen", "oct/signs"))
    assert binary.labels.shape == (60,)
    assert multi.labels.shape == (60, 2)
    np.testing.assert_array_equal(binary.labels, multi.labels[:, 0])
    assert np.isnan(multi.labels[:, 1]).all()
