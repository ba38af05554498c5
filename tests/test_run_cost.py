"""What a run records of cost: protocols, decoding, deviation; and that measuring never costs results."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.api import EncoderInfo, Preprocess
from benchbench.cli.run import prepare
from benchbench.cost import CostRow, read_cost
from benchbench.deviation import _distances
from benchbench.embedding import EmbedRequest, embed
from benchbench.engines import EngineConfig
from benchbench.errors import SuiteError
from benchbench.inference import Runner
from benchbench.machine import usable_cores
from benchbench.prepared import ImageSet
from benchbench.results import RunInfo, read_run
from benchbench.run import Options, execute
from benchbench.store import Store, sha256_of

SUITE = """\
title: A small suite
encoders: [untrained/test_efficientnet, untrained/test_vit]
datasets: {idrid: {simulated: {images: 60}}}
tasks: [idrid/referable]
protocols: PROTOCOLS
seeds: [0]
cost: {measure: MEASURE}
"""
PROBE = "[{protocol: linear_probe, preset: retfound_green_paper}]"


def run(
    folder: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    protocols: str = PROBE,
    measure: str = "off",
    broken: bool = False,
    suite: str = SUITE,
    fresh: bool = False,
    engine: EngineConfig | None = None,
) -> tuple[RunInfo, Path]:
    """Run the suite in this process; `broken`: no encoder can be loaded with random weights any more."""
    path = folder / "small.yaml"
    path.write_text(suite.replace("PROTOCOLS", protocols).replace("MEASURE", measure))
    monkeypatch.setenv("BENCHBENCH_STORE", str(store.root))
    plan, registry, _ = prepare(str(path), None, None, (), demo=protocols != PROBE, simulate=True)

    def load(weights: Path | None, device: str) -> object:
        raise AttributeError("this network has no head to remove")

    if broken:
        states = tuple(
            dataclasses.replace(e, info=dataclasses.replace(e.info, load=load)) for e in plan.survey.encoders
        )
        plan = dataclasses.replace(plan, survey=dataclasses.replace(plan.survey, encoders=states))
    outcome = execute(
        plan, registry, store, Options(folder / "reports", fresh=fresh, engine=engine or EngineConfig())
    )
    return outcome.info, outcome.folder


def by_quantity(folder: Path, encoder: str = "untrained/test_vit") -> dict[str, CostRow]:
    return {r.quantity: r for r in read_cost(folder / "cost.csv") if r.encoder == encoder}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunInfo, Path, Store]:
    """A finished run of probes that measured no cost."""
    folder = tmp_path_factory.mktemp("probed")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        return (*run(folder, store, patch), store)


def test_a_run_that_measures_no_cost_records_what_its_protocols_took(
    probed: tuple[RunInfo, Path, Store],
) -> None:
    _, folder, _ = probed
    found = by_quantity(folder)
    name = "protocol/linear_probe (retfound_green_paper)"
    for stage in ("extract", "prepare", "fit", "predict", "total"):
        row = found[f"{name}/{stage}"]
        assert row.value > 0
        assert row.threads == (usable_cores() if stage in ("extract", "prepare") else 1)
        assert "torch" in row.versions
        assert row.device == "cpu"
    assert found[f"{name}/total"].value >= found[f"{name}/fit"].value
    energy = found[f"{name}/energy"]
    assert energy.provenance == "measured" or energy.reason
    assert "extract" in (folder / "report.html").read_text()


def test_each_file_is_decoded_once_for_all_encoders_and_the_report_says_so(
    probed: tuple[RunInfo, Path, Store],
) -> None:
    info, folder, _ = probed
    (images,) = info.passes
    assert (images.dataset, images.encoders, images.files) == ("idrid", 2, info.dataset("idrid").images)
    assert images.prepare > 0
    assert images.model > 0
    assert read_run(folder).info.passes == info.passes
    assert "each file decoded once for 2 encoders" in (folder / "report.html").read_text()


def test_an_encoder_that_breaks_while_its_cost_is_measured_costs_no_result(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before, store = probed
    monkeypatch.setattr("benchbench.cost.setup.MATRIX", {"cpu": 64})
    monkeypatch.setattr("benchbench.cost.bench.PROBE_ROWS", (60, 20))
    info, folder = run(tmp_path, store, monkeypatch, measure="quick", broken=True)
    assert info.status == "done"
    assert (folder / "rows.csv").read_bytes() == (before / "rows.csv").read_bytes()
    assert (folder / "report.html").is_file()
    found = by_quantity(folder)
    for quantity in ("throughput_best", "memory_host", "end_to_end", "energy"):
        assert "this network has no head to remove" in found[quantity].reason
    assert found["protocol/linear_probe (retfound_green_paper)/fit"].value > 0


def test_results_are_written_before_cost_is_measured(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pulled_plug(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchbench.cost.measure_encoders", pulled_plug)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, probed[2], monkeypatch, measure="quick")
    (folder,) = (tmp_path / "reports/small").iterdir()
    kept = read_run(folder)
    assert kept.info.status == "interrupted"
    assert {r.status for r in kept.rows} == {"done"}


def test_cost_that_cannot_be_had_is_said_and_costs_neither_the_report_nor_the_other_rows(
    probed: tuple[RunInfo, Path, Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such meter")

    monkeypatch.setattr("benchbench.cost.measure_encoders", broken)
    monkeypatch.setattr(logging.getLogger("benchbench"), "propagate", True)
    info, folder = run(tmp_path, probed[2], monkeypatch, measure="quick")
    assert info.status == "done"
    assert (folder / "report.html").is_file()
    assert "The cost of the encoders is missing from the report" in caplog.text
    assert "no such meter" in caplog.text
    assert by_quantity(folder)["protocol/linear_probe (retfound_green_paper)/fit"].value > 0


def test_a_run_is_not_called_done_while_its_cost_is_measured(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def slow(*_: object, **__: object) -> tuple[CostRow, ...]:
        (folder,) = (tmp_path / "reports/small").iterdir()
        seen.append(json.loads((folder / "run.json").read_text())["status"])
        time.sleep(2.1)
        return ()

    monkeypatch.setattr("benchbench.cost.measure_encoders", slow)
    info, folder = run(tmp_path, probed[2], monkeypatch, measure="quick")
    assert seen == ["running"]
    took = datetime.fromisoformat(info.finished) - datetime.fromisoformat(info.started)
    assert took.total_seconds() >= 2
    assert json.loads((folder / "run.json").read_text())["status"] == "done"


@pytest.mark.parametrize("fresh", [True, False])
def test_a_fresh_run_measures_cost_again(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("benchbench.cost.measure_encoders", lambda *a, **k: (asked.append(k["fresh"]), ())[1])
    run(tmp_path, probed[2], monkeypatch, measure="quick", fresh=fresh)
    assert asked == [fresh]


def test_a_subject_that_is_no_encoder_of_the_suite_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SUITE.replace("{measure: MEASURE}", "{measure: MEASURE, subject: nosuch}")
    with pytest.raises(SuiteError, match="nosuch") as caught:
        run(tmp_path, Store(tmp_path / "store"), monkeypatch, suite=wrong)
    assert caught.value.where.endswith("small.yaml:7")


def test_fine_tuning_several_encoders_decodes_each_file_once(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(probed[2].root / "simulated", store.root / "simulated")
    fine_tune = "[{protocol: fine_tune, config: {augmentation: {source_size: 200}}}]"
    decoded: list[int] = []
    real = prepared_batches()
    monkeypatch.setattr(
        "benchbench.prepared.prepared_batches",
        lambda paths, recipes, cut, **k: (decoded.append(len(recipes)), real(paths, recipes, cut, **k))[1],
    )
    info, folder = run(tmp_path, store, monkeypatch, fine_tune)
    (images,) = info.passes
    assert (images.encoders, images.files) == (0, info.dataset("idrid").images)
    assert decoded == [2]  # one pass for 160 pixels, to judge on, and 200, to train on
    found = by_quantity(folder)
    assert found["protocol/fine_tune/epoch"].value > 0
    assert found["protocol/fine_tune/fit"].value == pytest.approx(found["protocol/fine_tune/epoch"].value)


def test_workers_that_share_the_cores_leave_embedding_and_training_to_the_first_process(
    probed: tuple[RunInfo, Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.work.usable_cores", lambda: 2)
    store = Store(tmp_path / "store")
    shutil.copytree(probed[2].root / "simulated", store.root / "simulated")
    loky = EngineConfig("loky", 2)
    trained, _ = run(tmp_path, store, monkeypatch, "[fine_tune]", engine=loky)
    assert (trained.cells["computed"], trained.workers_mib) == (2, {})
    fitted, _ = run(tmp_path, store, monkeypatch, engine=loky)
    assert fitted.cells["computed"] == 2
    assert 1 <= len(fitted.workers_mib) <= 2
    assert fitted.timings["embed"] > 0


def prepared_batches():  # type: ignore[no-untyped-def]
    from benchbench.images import pipeline

    return pipeline.prepared_batches


class Mean(torch.nn.Module):
    """The means of a 4 x 4 grid."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)


def test_the_deviation_of_fast_decoding_is_the_distance_from_exact_embeddings(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (75, 100, 3), dtype=np.uint8))
        coarse.resize((800, 600)).save(tmp_path / f"{i}.jpg", quality=90)
    paths = tuple(sorted(tmp_path.glob("*.jpg")))
    images = ImageSet("toy", paths, tuple(sha256_of(p) for p in paths))

    def request(decode: str) -> EmbedRequest:
        recipe = Preprocess("p", 64, decode=decode)  # type: ignore[arg-type]
        return EmbedRequest(
            EncoderInfo(decode, decode, "mean", 48, recipe, "", lambda w, d: Mean().eval(), None, "", ""),
            None,
            "",
        )

    fast, exact = (
        np.asarray(rows[:], dtype=np.float64)
        for rows in embed(Store(tmp_path / "s"), [request("fast"), request("exact")], images).values()
    )
    expected = 1 - (fast * exact).sum(1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(exact, axis=1)
    found = _distances(Runner(request("fast")), images)
    assert found.shape == (3,)
    assert (found > 1e-9).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12)


def test_the_report_shows_how_far_fast_decoding_moves_embeddings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probed: tuple[RunInfo, Path, Store]
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(probed[2].root / "simulated", store.root / "simulated")
    fast = SUITE.replace("untrained/test_vit]", "{name: untrained/test_vit, decode: fast}]")
    info, folder = run(tmp_path, store, monkeypatch, suite=fast)
    (deviation,) = info.deviations
    assert (deviation.encoder, deviation.dataset, deviation.images) == (
        "untrained/test_vit +fast",
        "idrid",
        16,
    )
    assert deviation.largest is not None
    assert "What <code>decode: fast</code> changes" in (folder / "report.html").read_text()
