"""A checkpoint given by `weights:` is never taken for the official one, and is found where a person would look."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchbench.assemble import encoder_record
from benchbench.audit import audit
from benchbench.contamination import contamination
from benchbench.datasets import load_dataset
from benchbench.datasets.local import local_dataset
from benchbench.errors import SuiteError
from benchbench.leaderboard.bundle import declared_contamination
from benchbench.plugins import registry
from benchbench.store import Store
from benchbench.suite import load_suite, parse_suite
from benchbench.survey import EncoderState, Roots, survey

SUITE = "title: t\nencoders: [{encoders}]\ncost: {{measure: quick}}\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file that no card knows."""
    path = tmp_path / "w" / "my.pth"
    path.parent.mkdir()
    path.write_bytes(b"tuned at home")
    return path


def states(encoders: str, weights_root: Path | None = None) -> tuple[EncoderState, ...]:
    file = parse_suite(SUITE.format(encoders=encoders))
    return survey(file, registry(), Roots(None, weights_root, Store())).encoders


def test_weights_given_by_hand_are_declared_clean_of_nothing(mine: Path) -> None:
    official, own = states(f"efficientnet_lite0, {{name: efficientnet_lite0, weights: {mine}}}")
    idrid = registry().datasets["idrid"]
    assert contamination(official.info, idrid)[0] == "declared clean"
    state, why = contamination(own.info, idrid)
    assert (state, "given by hand" in why) == ("unknown", True)
    record = encoder_record(own, [idrid])
    assert record.declared_clean == ()
    assert record.title == f"{official.info.title}, own weights my.pth"
    spec = SimpleNamespace(datasets=[SimpleNamespace(name="idrid")])
    assert declared_contamination(record, spec)[0].status == "unknown"


def test_random_weights_that_a_file_replaces_are_no_longer_clean(mine: Path) -> None:
    control, own = states(
        f"untrained/resnet18, {{name: untrained/resnet18, weights: {mine}}}",
    )
    idrid = registry().datasets["idrid"]
    assert [contamination(s.info, idrid)[0] for s in (control, own)] == ["declared clean", "unknown"]


def test_what_the_official_weights_saw_stays_seen(mine: Path) -> None:
    (own,) = states(f"{{name: flair, weights: {mine}}}")
    assert contamination(own.info, registry().datasets["papila"])[0] == "in pretraining"


def test_a_file_in_the_weights_root_is_judged_by_its_sha256_and_trusted_where_none_is_known(
    tmp_path: Path,
) -> None:
    for name in ("retfound_green", "resnet50"):
        card = registry().encoder(name)
        assert card.weights is not None
        (tmp_path / card.weights.file_name).write_bytes(b"another")
    green, resnet = states("retfound_green, resnet50", tmp_path)
    assert "own weights" in green.info.title
    assert resnet.info.title == registry().encoder("resnet50").title


def test_the_audit_tells_the_official_checkpoint_from_one_beside_it(mine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    for k in range(8):
        pixels = np.random.default_rng(k).integers(0, 255, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    rows = "".join(f"{k}.png,{k % 2},{k},{'test' if k > 3 else 'train'}\n" for k in range(8))
    (folder / "labels.csv").write_text("image,label,patient,split\n" + rows)
    found = audit(
        [load_dataset(local_dataset(folder), tmp_path)],
        [s.info for s in states(f"efficientnet_lite0, {{name: efficientnet_lite0, weights: {mine}}}")],
        ["clinic/label"],
    )
    stated = {f.encoder: f.state for f in found if f.code == "contamination"}
    assert stated == {"efficientnet_lite0": "declared clean", "efficientnet_lite0 +my.pth": "unknown"}


def test_weights_are_looked_for_beside_the_suite_then_below_the_weights_root_then_here(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, root, here = (tmp_path / n for n in ("study", "root", "here"))
    for folder in (study, root, here):
        folder.mkdir()
    monkeypatch.chdir(here)
    suite = study / "s.yaml"
    suite.write_text(SUITE.format(encoders="{name: efficientnet_lite0, weights: own.pth}"))

    def state() -> EncoderState:
        (found,) = survey(load_suite(suite), registry(), Roots(None, root, Store())).encoders
        return found

    for folder in (here, root, study):
        (folder / "own.pth").write_bytes(folder.name.encode())
        assert state().weights.path == folder / "own.pth"
        assert state().label == "efficientnet_lite0 +own.pth"


def test_missing_weights_are_named_with_every_place_that_was_looked_at(tmp_path: Path) -> None:
    text = "title: t\nencoders: [{name: efficientnet_lite0, weights: gone.pth}]\ntasks: [idrid/grade]\n"
    file = parse_suite(text + "protocols: [linear_probe]\n")
    (state,) = survey(file, registry(), Roots(None, tmp_path / "root", Store())).encoders
    assert str(Path.cwd() / "gone.pth") in state.problem
    assert str(tmp_path / "root" / "gone.pth") in state.problem
    assert "correct `weights`" in state.problem
    assert "put efficientnet" not in state.problem


def test_one_encoder_twice_is_told_by_its_label() -> None:
    both = "{name: efficientnet_lite0, weights: a.pth}, {name: efficientnet_lite0, weights: b.pth}"
    labels = [e.label for e in parse_suite(SUITE.format(encoders=both)).suite.encoders]
    assert labels == ["efficientnet_lite0 +a.pth", "efficientnet_lite0 +b.pth"]
    same = both.replace("b.pth", "elsewhere/a.pth")
    with pytest.raises(SuiteError, match=r"\+a.pth' is listed twice") as error:
        parse_suite(SUITE.format(encoders=same))
    assert "file name of their weights" in error.value.fix
