"""Run, submit, validate, build: scores come from predictions, and from nothing else."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import benchbench.leaderboard
from benchbench.analysis import analyse
from benchbench.cli import bench
from benchbench.errors import BenchError
from benchbench.leaderboard.bundle import Declaration, bundle_of, without_folders, write_bundle
from benchbench.leaderboard.freeze import freeze, write_spec
from benchbench.leaderboard.guard import Refused
from benchbench.leaderboard.rescore import REPRODUCED, RESCORED, SELF_REPORTED, read_boards
from benchbench.leaderboard.site import build_site
from benchbench.leaderboard.spec import labels_file
from benchbench.leaderboard.validate import validate
from benchbench.results import Run, read_run

from .boards import ENCODERS, PLUGIN, Place, builder, make_board, make_run

BINARY, ORDINAL = "idrid__referable__linear_probe", "idrid__grade__linear_probe"


def _values(place: Place) -> dict[tuple[str, str], float | None]:
    board = read_boards(place.root)[0]
    return {(p.panel.id, e.encoder): e.value for p in board.panels for e in p.estimates}


def _site(place: Place) -> dict[str, bytes]:
    return build_site(read_boards(place.root), (), "Board")


def test_scores_are_those_of_the_run_itself(place: Place, real_run: Run) -> None:
    board = read_boards(place.root)[0]
    own = analyse(real_run)
    for panel in board.panels:
        wanted = next(p for p in own.panels if p.task == panel.task.name)
        for entry in board.entries:
            found, expected = panel.estimate(entry.id), wanted.estimate(entry.bundle.submission.encoder.name)
            assert found is not None
            assert expected is not None
            assert found.value == pytest.approx(expected.value, abs=1e-12)
            assert found.ci_low == pytest.approx(expected.ci_low, abs=1e-12)


def test_scores_equal_sklearn_on_the_runs_predictions(place: Place, real_run: Run) -> None:
    board = read_boards(place.root)[0]
    frame = real_run.predictions[real_run.predictions["split"] == "test"]
    for entry in board.entries:
        name = entry.bundle.submission.encoder.name
        for panel in board.panels:
            row = next(r for r in real_run.rows if r.encoder == name and r.task == panel.task.name)
            cell = frame[(frame["cell_id"] == row.cell_id) & (frame["task"] == row.task)]
            labels, scores = cell["y_true"].to_numpy(), np.stack(list(cell["scores"]))
            if panel.task.kind == "binary":
                expected = roc_auc_score(labels, scores[:, 0])
            else:
                expected = cohen_kappa_score(labels, scores.argmax(axis=1), weights="quadratic")
            estimate = panel.estimate(entry.id)
            assert estimate is not None
            assert estimate.value == pytest.approx(expected, abs=1e-9)


def test_letters_ranks_patients_and_counts_are_those_of_the_report(tmp_path: Path) -> None:
    """One scorer: what the page of a board says beside its values is what the report of the run says."""
    names = [f"encoder_{i}" for i in range(6)]
    tasks = (
        builder.FakeTask("papila/glaucoma", n=160, eyes=2),
        builder.FakeTask("idrid/grade", n=120, **builder.ORDINAL),
    )
    run = read_run(make_run(tmp_path / "run", names, tasks=tasks, seeds=(0, 1)))
    make_board(tmp_path / "board", run, names)
    board, own = read_boards(tmp_path / "board")[0], analyse(run)
    encoder = {e.id: e.bundle.submission.encoder.name for e in board.entries}
    for panel in board.panels:
        wanted = next(p for p in own.panels if p.task == panel.task.name)
        assert {e.letters for e in wanted.estimates} != {"a"}  # something is decided
        assert (panel.n_patients, panel.counts) == (wanted.n_patients, wanted.counts)
        for e in panel.estimates:
            expected = wanted.estimate(encoder[e.encoder])
            assert expected is not None
            assert (e.letters, panel.ranks[e.encoder]) == (expected.letters, expected.ranks)


def test_no_module_of_the_leaderboard_needs_one_that_needs_it() -> None:
    """Imports inside functions count: what must be put off until a call is a cycle all the same."""
    needs = {}
    for path in Path(benchbench.leaderboard.__path__[0]).glob("*.py"):
        found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        needs[path.stem] = {n.module for n in found if n.level == 1 and n.module}
    order = graphlib.TopologicalSorter(needs)
    order.prepare()  # raises CycleError
    assert {"bundle", "rescore", "validate"} <= set(needs)


def test_a_prediction_changed_by_a_thousandth_changes_the_score(place: Place) -> None:
    before = _values(place)
    lines: list[str] = []
    place.edit_lines(lambda found: lines.extend(found) or found)  # type: ignore[func-returns-value]
    scores = {line.split(",")[0]: float(line.split(",")[1]) for line in lines[1:]}
    labels = dict(_labels(place))
    # two neighbours of opposite class within a thousandth: moving one past the other moves the AUROC by 1/(m n)
    image = next(
        a for a in scores for b in scores if labels[a] != labels[b] and 0 < scores[b] - scores[a] < 1e-3
    )
    moved = [f"{image},{scores[image] + 1e-3!r}" if line.startswith(image) else line for line in lines]
    place.edit_lines(lambda _: moved)
    after = _values(place)
    changed = {key for key in before if before[key] != after[key]}
    assert len(changed) == 1
    assert next(iter(changed))[0] == BINARY


def _labels(place: Place) -> list[tuple[str, str]]:
    text = (place.root / "spec" / labels_file(place.spec, "idrid")).read_text()
    rows = [line.split(",") for line in text.splitlines()[1:]]
    return [(image, label) for task, image, _, label in rows if task == "idrid/referable"]


def test_a_claimed_score_changes_nothing(place: Place) -> None:
    before = _site(place)
    digest = validate(place.bundle, place.specs).digest
    place.edit_json(lambda s: [r.update(claimed=0.999) for r in s["results"]])
    after = _site(place)
    new_digest = validate(place.bundle, place.specs).digest
    assert new_digest != digest
    assert {
        name: data.replace(new_digest.encode(), digest.encode()) for name, data in after.items()
    } == before
    assert not any(b"0.999" in data for data in after.values())


def test_a_run_without_every_cell_cannot_be_submitted(tmp_path: Path, real_run: Run) -> None:
    frozen = freeze(real_run, "1")
    failures = (("alpha", "idrid/grade", "out of memory"),)
    partial = read_run(make_run(tmp_path / "run", ENCODERS, failures=failures))
    with pytest.raises(BenchError, match="no result for 1 of the 2 cells"):
        bundle_of(partial, "alpha", frozen.spec, Declaration("Group", "2026-01-01", PLUGIN))


def _with_datasets(run: Run, **changes: Any) -> Run:
    datasets = tuple(dataclasses.replace(d, **changes) for d in run.info.datasets)
    return dataclasses.replace(run, info=dataclasses.replace(run.info, datasets=datasets))


def _with_protocols(run: Run, **changes: Any) -> Run:
    protocols = tuple(dataclasses.replace(p, **changes) for p in run.info.protocols)
    return dataclasses.replace(run, info=dataclasses.replace(run.info, protocols=protocols))


@pytest.mark.parametrize("fingerprint", ["ab" * 16, "0" * 32, ""])
def test_a_run_on_other_images_cannot_be_submitted(real_run: Run, fingerprint: str) -> None:
    spec = freeze(real_run, "1").spec
    other = _with_datasets(real_run, image_fingerprint=fingerprint)
    with pytest.raises(BenchError, match="Your images are not those of fake@1: the files of idrid differ"):
        bundle_of(other, "alpha", spec, Declaration("Group", "2026-01-01", PLUGIN))


def test_the_images_that_a_transfer_was_trained_on_count_too(tmp_path: Path) -> None:
    tasks = (builder.FakeTask("idrid/referable", n=60), builder.FakeTask("aptos2019/referable", n=70))
    cell = builder.FakeCell("alpha", "aptos2019/referable", "idrid/referable", "transfer")
    run = read_run(
        make_run(tmp_path / "run", ENCODERS[:1], tasks=tasks, protocols=("transfer",), cells=(cell,))
    )
    spec = freeze(run, "1").spec
    source, target = run.info.datasets
    datasets = (dataclasses.replace(source, image_fingerprint="ab" * 16), target)
    other = dataclasses.replace(run, info=dataclasses.replace(run.info, datasets=datasets))
    with pytest.raises(BenchError, match="the files of idrid differ"):
        bundle_of(other, "alpha", spec, Declaration("Group", "2026-01-01", PLUGIN))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": "2"}, "linear_probe: version 2, the spec says version 1"),
        ({"version": ""}, "linear_probe: version not recorded, the spec says version 1"),
        ({"plugin": "benchbench-other 1.0"}, "version 1 of benchbench-other 1.0, the spec says version 1"),
    ],
)
def test_a_run_by_another_version_of_a_protocol_cannot_be_submitted(
    real_run: Run, change: dict[str, str], named: str
) -> None:
    spec = freeze(real_run, "1").spec
    with pytest.raises(BenchError, match="other versions of protocols than fake@1") as refusal:
        bundle_of(
            _with_protocols(real_run, **change), "alpha", spec, Declaration("Group", "2026-01-01", PLUGIN)
        )
    assert named in refusal.value.block()


def test_a_spec_is_not_frozen_from_a_run_that_names_no_version_of_its_protocol(real_run: Run) -> None:
    with pytest.raises(BenchError, match="does not say which version of linear_probe"):
        freeze(_with_protocols(real_run, version=""), "1")


def test_a_spec_of_an_older_benchbench_is_refused_in_words(place: Place) -> None:
    path = place.root / "spec" / f"{place.spec.name}.json"
    old = json.loads(path.read_text())
    old["schema_version"] = 1
    for panel in old["panels"]:
        del panel["protocol_version"], panel["protocol_plugin"]
    path.write_text(json.dumps(old))
    with pytest.raises(BenchError, match=r"older benchbench \(schema 1\)"):
        read_boards(place.root)


def test_a_refused_submission_leaves_nothing_behind(tmp_path: Path) -> None:
    names = ("efficientnet_lite0", "efficientnet_lite2")
    sound, stamped = (
        make_run(tmp_path / folder, names, stamps=stamps)
        for folder, stamps in (("sound", ""), ("stamped", "SYNTHETIC"))
    )
    board = tmp_path / "board"
    write_spec(freeze(read_run(sound), "1"), board)
    words = ["--to", str(board), "--submitter", "Group", "--encoder", names[0]]
    refused = CliRunner().invoke(bench, ["submit", str(stamped), *words])
    assert isinstance(refused.exception, Refused)
    assert "efficientnet_lite0" in refused.exception.where
    assert not (board / "submissions").exists()
    mended = CliRunner().invoke(bench, ["submit", str(sound), *words])
    assert mended.exit_code == 0, mended.exception
    assert len(read_boards(board)[0].entries) == 1


def test_a_run_that_lost_its_predictions_is_refused_in_words(real_run: Run) -> None:
    spec = freeze(real_run, "1").spec
    frame = real_run.predictions
    cut = dataclasses.replace(real_run, predictions=frame[frame["split"] != "test"])
    with pytest.raises(BenchError, match="There are no test predictions of alpha on idrid/"):
        bundle_of(cut, "alpha", spec, Declaration("Group", "2026-01-01", PLUGIN))
    with pytest.raises(BenchError, match="There are no test predictions of alpha on idrid/"):
        freeze(cut, "1")


def test_several_submissions_are_validated_in_one_call(place: Place) -> None:
    """As the shell spells out a star: every one is looked at, also after one that is refused."""
    first, second = sorted((place.root / "submissions" / place.spec.name).glob("*/*"))
    both = CliRunner().invoke(bench, ["validate", str(first), str(second)])
    assert both.exit_code == 0, both.exception
    assert both.output.count("Accepted: ") == 2
    (first / "cost.json").unlink()
    one = CliRunner().invoke(bench, ["validate", str(first), str(second)])
    assert "cost.json is missing" in one.output
    assert "Accepted: 'Beta' for fake@1." in one.output
    assert "1 of 2 submissions are refused" in str(one.exception)
    assert str(first) in str(one.exception)


def test_a_spec_needs_a_finished_cell_of_every_task(tmp_path: Path) -> None:
    failures = tuple((name, "idrid/grade", "out of memory") for name in ENCODERS)
    with pytest.raises(BenchError, match="idrid__grade__linear_probe: nothing finished"):
        freeze(read_run(make_run(tmp_path / "run", ENCODERS, failures=failures)), "1")


def test_a_frozen_spec_never_changes(tmp_path: Path, place: Place) -> None:
    other = freeze(read_run(make_run(tmp_path / "other", ENCODERS, title="Another question")), "1")
    with pytest.raises(BenchError, match="a frozen spec never changes"):
        write_spec(other, place.root)


def test_an_entry_never_changes(place: Place, real_run: Run) -> None:
    declaration = Declaration("Test group", "2026-01-01", PLUGIN, notes="second thoughts")
    with pytest.raises(BenchError, match="These weights were submitted before"):
        write_bundle(bundle_of(real_run, "alpha", place.spec, declaration), place.spec, place.root)


def test_without_labels_nothing_is_scored_or_shown(place: Place) -> None:
    hidden = place.root.parent / "private"
    hidden.mkdir()
    labels = place.root / "spec" / labels_file(place.spec, "idrid")
    labels.rename(hidden / labels.name)
    board = read_boards(place.root)[0]
    assert {e.tier for e in board.entries} == {SELF_REPORTED}
    assert _values(place) == {}
    assert b"not re-scored here" in _site(place)["index.html"]
    claims = [r.claimed for e in board.entries for r in e.bundle.submission.results]
    pages = b"".join(data for name, data in _site(place).items() if name.endswith((".html", ".csv", ".json")))
    assert not any(f"{claim:.3f}".encode() in pages for claim in claims if claim is not None)
    scored = read_boards(place.root, (hidden,))[0]
    assert {e.tier for e in scored.entries} == {RESCORED}


def test_changed_labels_are_refused(place: Place) -> None:
    path = place.root / "spec" / labels_file(place.spec, "idrid")
    path.write_text(path.read_text().replace(",1\n", ",0\n", 1))
    with pytest.raises(BenchError, match="not those that fake@1 was frozen with"):
        read_boards(place.root)


def test_labels_that_may_not_be_published_stay_out_of_the_leaderboard(tmp_path: Path, real_run: Run) -> None:
    dataset = dataclasses.replace(real_run.info.datasets[0], redistributable=False)
    info = dataclasses.replace(real_run.info, datasets=(dataset,))
    frozen = freeze(dataclasses.replace(real_run, info=info), "1")
    _, withheld = write_spec(frozen, tmp_path / "board", private=tmp_path / "private")
    assert withheld == ("idrid",)
    assert sorted(p.name for p in (tmp_path / "board" / "spec").iterdir()) == ["fake@1.json"]
    assert [p.name for p in (tmp_path / "private").iterdir()] == ["fake@1.labels.idrid.csv"]
    text = json.dumps(frozen.spec.model_dump(mode="json"))
    assert "idrid_test_0000" not in text


def test_a_second_run_of_the_same_weights_makes_an_entry_reproduced(
    place: Place, tmp_path: Path, real_run: Run
) -> None:
    second = tmp_path / "second"
    make_board(second, real_run, ["alpha"], submitter="Another group")
    (second / "submissions").rename(place.root / "reproductions")
    tiers = {e.bundle.submission.encoder.name: e for e in read_boards(place.root)[0].entries}
    assert tiers["alpha"].tier == REPRODUCED
    assert tiers["alpha"].reproduced_by == "Another group"
    assert tiers["alpha"].largest_deviation == 0
    assert tiers["beta"].tier == RESCORED


def test_a_second_run_that_disagrees_does_not(place: Place, tmp_path: Path, real_run: Run) -> None:
    second = Place(tmp_path / "second")
    make_board(second.root, real_run, ["alpha"], submitter="Another group")
    second.edit_lines(lambda lines: [lines[0], *(f"{line.split(',')[0]},0.5" for line in lines[1:])])
    (second.root / "submissions").rename(place.root / "reproductions")
    entry = next(e for e in read_boards(place.root)[0].entries if "alpha" in e.id)
    assert entry.tier == RESCORED
    assert entry.largest_deviation is not None
    assert entry.largest_deviation > 0.1


def test_the_same_submitter_does_not_reproduce_itself(place: Place, tmp_path: Path, real_run: Run) -> None:
    make_board(tmp_path / "second", real_run, ["alpha"])
    (tmp_path / "second" / "submissions").rename(place.root / "reproductions")
    assert {e.tier for e in read_boards(place.root)[0].entries} == {RESCORED}


def test_equal_predictions_are_pointed_out(place: Place, real_run: Run) -> None:
    copied = bundle_of(real_run, "alpha", place.spec, Declaration("Copyist", "2026-02-01", PLUGIN))
    write_bundle(copied, place.spec, place.root)
    entries = {e.id: e for e in read_boards(place.root)[0].entries}
    (copy,) = [e for id, e in entries.items() if id.startswith("Copyist")]
    assert [entries[id].bundle.submission.submitter.name for id in copy.twins] == ["Test group"]


def test_seeds_are_scored_together(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", ENCODERS, seeds=(0, 1, 2)))
    make_board(tmp_path / "board", run, ENCODERS)
    panel = read_boards(tmp_path / "board")[0].panels[0]
    assert panel.panel.seeds == (0, 1, 2)
    assert all(len(e.seed_values) == 3 and e.seed_sd is not None for e in panel.estimates)


def test_patients_make_the_variance_clustered(tmp_path: Path) -> None:
    tasks = (builder.FakeTask("papila/glaucoma", n=120, eyes=2),)
    run = read_run(make_run(tmp_path / "run", ENCODERS, tasks=tasks))
    make_board(tmp_path / "board", run, ENCODERS)
    panel = read_boards(tmp_path / "board")[0].panels[0]
    assert (panel.n, panel.n_patients) == (120, 60)
    assert "cluster" in panel.comparisons[0].method.lower()


def test_transfer_and_extra_axes_are_panels_of_their_own(tmp_path: Path) -> None:
    tasks = (builder.FakeTask("idrid/referable", n=60), builder.FakeTask("aptos2019/referable", n=70))
    run = read_run(
        make_run(tmp_path / "run", ENCODERS, tasks=tasks, transfer=True, axes=({}, {"fraction": "0.1"}))
    )
    make_board(tmp_path / "board", run, ENCODERS)
    board = read_boards(tmp_path / "board")[0]
    assert len(board.panels) == 8
    names = {p.panel.id for p in board.panels}
    assert "idrid__referable__linear_probe__from__aptos2019__referable__fraction-0.1" in names
    assert all(len(p.estimates) == 2 for p in board.panels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bench run suites/a.yaml", "bench run suites/a.yaml"),
        ("bench run x --data-root /home/somebody/data", "bench run x --data-root .../data"),
        ("bench run x --data-root=/srv/a/b/c --jobs 2", "bench run x --data-root=.../c --jobs 2"),
        ("bench run ~/suites/a.yaml", "bench run .../a.yaml"),
        (r"bench run C:\Users\me\a.yaml", "bench run .../a.yaml"),
    ],
)
def test_folders_are_left_out_of_commands(text: str, expected: str) -> None:
    assert without_folders(text) == expected


def test_a_version_that_is_no_number_is_refused_in_plain_words(real_run) -> None:
    with pytest.raises(BenchError, match="version 'v2'"):
        freeze(real_run, "v2")
