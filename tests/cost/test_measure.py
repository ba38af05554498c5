from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchbench import inference
from benchbench.api import EncoderInfo, Preprocess
from benchbench.cost import CostConfig, CostRow, cost_table, footprint, measure_encoders, photograph
from benchbench.cost import setup as setup_room
from benchbench.cost.bench import EncoderBench
from benchbench.cost.memory import Peak
from benchbench.cost.timing import Effort
from benchbench.errors import BenchError
from benchbench.images import pipeline
from benchbench.inference import EmbedRequest
from benchbench.processor import freed_memory_is_kept
from benchbench.store import Store

CONFIG = CostConfig(measure="quick", batches=(1, 4), photograph=(160, 120))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds instead of seconds."""
    short = Effort(seconds=0.01, steps=10, longest=1.0, warm_up=0.01)
    monkeypatch.setattr(setup_room, "QUICK", short)
    monkeypatch.setattr(setup_room, "MATRIX", {"cpu": 64})
    monkeypatch.setattr("benchbench.cost.bench.PROBE_ROWS", (60, 20))
    real = photograph.photograph_jpeg
    monkeypatch.setattr(photograph, "photograph_jpeg", lambda width, height, seed: real(160, 120, seed))
    monkeypatch.setitem(__import__("sys").modules, "codecarbon", None)
    peak = Peak(900_000_000, 100_000_000, None, "", "no GPU here")
    monkeypatch.setattr(footprint, "measure_alone", lambda request, device, threads: peak)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nothing else runs."""
    monkeypatch.setattr("benchbench.cost.bench.noise_note", lambda *a: "")
    monkeypatch.setattr("benchbench.cost.setup.noise_note", lambda *a: "")
    monkeypatch.setattr("benchbench.cost.footprint.noise_note", lambda *a: "")
    monkeypatch.setattr("benchbench.cost.bench.NOISY_SPREAD", 99.0)


class Net(torch.nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


def card(name: str, width: int = 6, load: Callable[[Path | None, str], object] | None = None) -> EncoderInfo:
    def default(weights: Path | None, device: str) -> torch.nn.Module:
        return Net(width).eval().to(device)

    return EncoderInfo(name, name, "net", width, Preprocess("p", 16), "mean", load or default, None, "", "")


def by_quantity(rows: tuple[CostRow, ...], encoder: str) -> dict[str, CostRow]:
    return {r.quantity: r for r in rows if r.encoder == encoder}


def test_every_quantity_is_there_and_says_how_it_was_had() -> None:
    rows = measure_encoders([card("a")], CONFIG, threads=1)
    found = by_quantity(rows, "a")
    assert found["parameters"].value == 6 * 48 + 6
    assert found["flops"].value == 2 * 16 * 48 * 6
    assert found["encoder_bytes"].value == 4 * (6 * 48 + 6)
    assert found["embedding_bytes_fp16"].value == 12e6
    for quantity in (
        "throughput_best",
        "latency_p50",
        "latency_p90",
        "end_to_end",
        "end_to_end_single",
        "prepare",
        "probe",
    ):
        row = found[quantity]
        assert row.provenance == "measured"
        assert row.value > 0
        assert row.device == "cpu"
        assert row.repeats >= 3
        assert row.threads == 1
        assert "torch" in row.versions
    for quantity in ("memory_device", "energy", "pretraining_gpu_days"):
        assert found[quantity].provenance == "unmeasured"
        assert found[quantity].reason
    assert {r.batch for r in rows if r.quantity == "throughput"} == {1, 4}
    assert found["memory_host"].value == 900_000_000
    assert found["memory_rise"].value == 100_000_000
    assert found["run_to_run"].repeats == 3
    assert found["run_to_run"].value >= 0
    assert {r.precision for r in rows if r.quantity == "matrix_rate"} == {"fp32", "bf16"}
    assert cost_table(rows, ["a"]).group("measured")


@pytest.mark.usefixtures("quiet")
def test_encoders_that_differ_in_their_weights_only_are_measured_once(tmp_path: Path) -> None:
    loads: list[str] = []

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        loads.append(device)
        return Net().eval().to(device)

    store = Store(tmp_path)
    rows = measure_encoders([card("a", load=load), card("b", load=load)], CONFIG, store=store, threads=1)
    assert loads.count("cpu") == 1
    a, b = by_quantity(rows, "a"), by_quantity(rows, "b")
    assert a["throughput_best"].value == b["throughput_best"].value
    again = measure_encoders([card("a", load=load)], CONFIG, store=store, threads=1)
    assert loads.count("cpu") == 1
    assert by_quantity(again, "a")["end_to_end"] == a["end_to_end"]
    measure_encoders([card("a", load=load)], CONFIG, store=store, threads=1, fresh=True)
    assert loads.count("cpu") == 2


@pytest.mark.usefixtures("quiet")
def test_other_constants_do_not_measure_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = measure_encoders([card("a")], CONFIG, store=store, threads=1)
    dearer = CONFIG.model_copy(update={"price_per_gpu_hour": 99.0})
    second = measure_encoders([card("a")], dearer, store=store, threads=1)
    assert by_quantity(first, "a")["throughput_best"] == by_quantity(second, "a")["throughput_best"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no such layer"), AttributeError("weights"), KeyError("pos_embed")]
)
def test_an_encoder_that_fails_gives_every_value_the_reason_and_the_others_go_on(error: Exception) -> None:
    def broken(weights: Path | None, device: str) -> object:
        raise error

    bad, good = card("bad", load=broken), card("good")
    rows = measure_encoders([bad, good], CONFIG, threads=1)
    failed = by_quantity(rows, "bad")
    for quantity in ("parameters", "throughput_best", "latency_p99", "energy", "end_to_end"):
        assert failed[quantity].provenance == "unmeasured"
        assert failed[quantity].reason == f"{type(error).__name__}: {error}"
    assert failed["embedding_bytes_fp32"].value == 24e6
    assert by_quantity(rows, "good")["throughput_best"].provenance == "measured"
    measured = cost_table(rows, ["bad", "good"]).group("measured")
    assert not [c for line in measured for c in line.cells if c.reason == "was not asked for"]


def test_what_fails_costs_no_other_value_of_the_same_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise AttributeError("no photographs today")

    monkeypatch.setattr("benchbench.cost.bench._photographs", broken)
    found = by_quantity(measure_encoders([card("a")], CONFIG, threads=1), "a")
    assert found["throughput_best"].provenance == "measured"
    assert found["end_to_end"].reason == "AttributeError: no photographs today"
    assert found["probe"].provenance == "measured"


@pytest.mark.usefixtures("quiet")
def test_noisy_values_are_shown_and_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        loads.append(device)
        return Net().eval().to(device)

    for noise in ("NOISY: a band is playing next door", ""):
        monkeypatch.setattr("benchbench.cost.bench.noise_note", lambda *a, n=noise: n)
        loads.clear()
        found = by_quantity(
            measure_encoders([card("a", load=load)], CONFIG, store=Store(tmp_path), threads=1), "a"
        )
        assert ("NOISY" in found["throughput_best"].note) == bool(noise)
        assert loads.count("cpu") == 1  # measured both times: the noisy rows were not kept
    loads.clear()
    measure_encoders([card("a", load=load)], CONFIG, store=Store(tmp_path), threads=1)
    assert loads.count("cpu") == 0


def test_loading_the_network_is_no_part_of_a_step() -> None:
    def load(weights: Path | None, device: str) -> torch.nn.Module:
        if device == "cpu":
            time.sleep(0.3)
        return Net().eval().to(device)

    bench = EncoderBench(
        EmbedRequest(card("a", load=load), None, ""), setup_room.Setup(CONFIG, "cpu", 1, None)
    )
    steps = Effort(seconds=0.0, steps=1, longest=1.0, warm_up=0.0)
    timing, _ = bench.time_model(1, steps)
    assert timing is not None
    assert timing.warm_up_steps == 1
    assert max(timing.steps) < 0.3


def test_slow_networks_say_why_they_have_no_99th_percentile(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Effort(seconds=0.01, steps=10, longest=0.1, warm_up=0.01)
    monkeypatch.setattr(setup_room, "QUICK", short)

    class Slow(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type != "meta":
                time.sleep(0.005)
            return super().forward(x)

    slow = card("slow", load=lambda w, d: Slow().eval().to(d))
    found = by_quantity(measure_encoders([slow], CONFIG, threads=1), "slow")
    assert found["latency_p90"].provenance == "measured"
    assert "needs 100 steps" in found["latency_p99"].reason


def test_a_batch_that_would_take_too_long_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type != "meta":
                time.sleep(0.02 * len(x))
            return super().forward(x)

    config = CONFIG.model_copy(update={"batches": (1, 1000)})
    rows = measure_encoders([card("a", load=lambda w, d: Slow().eval().to(d))], config, threads=1)
    (long,) = [r for r in rows if r.quantity == "throughput" and r.batch == 1000]
    assert long.provenance == "unmeasured"
    assert "above the limit" in long.reason


def test_what_does_not_fit_into_memory_is_said_of_every_larger_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.device.type != "meta" and len(x) > 4:
                raise RuntimeError("CUDA out of memory")
            return super().forward(x)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    config = CONFIG.model_copy(update={"batches": (1, 4, 8, 16)})
    rows = measure_encoders([card("a", load=lambda w, d: Large().eval().to(d))], config, threads=1)
    swept = {r.batch: r for r in rows if r.quantity == "throughput"}
    assert [b for b, r in swept.items() if r.provenance == "measured"] == [1, 4]
    assert "does not hold" in swept[8].reason
    assert "does not hold 8 images" in swept[16].reason
    assert by_quantity(rows, "a")["throughput_best"].batch in (1, 4)


def test_a_single_run_has_no_difference_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = EncoderBench(EmbedRequest(card("a"), None, ""), setup_room.Setup(CONFIG, "cpu", 1, None))
    first, note = bench.time_model(4, Effort(seconds=0.0, steps=3, longest=1.0, warm_up=0.0))
    assert first is not None
    monkeypatch.setattr(bench, "time_model", lambda *a: (None, "the memory of the device does not hold it"))
    best, apart = bench._best(4, first, note)
    assert best.value == pytest.approx(4 / first.median)
    assert apart.provenance == "unmeasured"


def test_a_store_that_cannot_be_written_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "publish", full)
    monkeypatch.setattr("benchbench.cost.bench.noise_note", lambda *a: "")
    monkeypatch.setattr("benchbench.cost.bench.NOISY_SPREAD", 99.0)
    found = by_quantity(measure_encoders([card("a")], CONFIG, store=Store(tmp_path), threads=1), "a")
    assert found["throughput_best"].value > 0
    assert found["probe"].value > 0


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("changed", ["scikit-learn", "allocator"])
def test_what_speed_depends_on_measures_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    setups = [setup_room.Setup(CONFIG, "cpu", 1, Store(tmp_path)) for _ in range(2)]
    measured: list[int] = []

    def measure() -> list[CostRow]:
        measured.append(1)
        return []

    setups[0].cached({"what": "probe"}, measure, "a")
    if changed == "allocator":
        monkeypatch.setattr("benchbench.processor._keeps_freed_memory", not freed_memory_is_kept())
    else:
        real = setup_room.versions()
        monkeypatch.setattr(setup_room, "versions", lambda: {**real, changed: "99"})
    setups[1].cached({"what": "probe"}, measure, "a")
    assert len(measured) == 2


def rates(monkeypatch: pytest.MonkeyPatch, stage: str) -> dict[str, float]:
    """Speeds with a sleep of 10 ms per image planted in one stage."""

    def slow(function: Callable[..., object], images: Callable[..., int]) -> Callable[..., object]:
        return lambda *a, **k: (time.sleep(0.01 * images(*a)), function(*a, **k))[1]

    if stage == "prepare":
        monkeypatch.setattr(pipeline, "prepare_many", slow(pipeline.prepare_many, lambda *a: 1))
    if stage == "model":
        monkeypatch.setattr(
            inference,
            "module_forward",
            slow(inference.module_forward, lambda module, x: 0 if x.device.type == "meta" else len(x)),
        )
    rows = by_quantity(measure_encoders([card("a")], CONFIG, threads=1), "a")
    return {q: rows[q].value for q in ("throughput_best", "prepare", "end_to_end")}


def test_a_sleep_in_decoding_shows_in_decoding_and_not_in_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates(monkeypatch, "prepare")
    assert found["prepare"] < 1 / 0.01
    assert found["end_to_end"] < 1 / 0.01
    assert found["throughput_best"] > 2 / 0.01


def test_a_sleep_in_the_model_shows_in_the_model_and_not_in_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates(monkeypatch, "model")
    assert found["throughput_best"] < 1 / 0.01
    assert found["end_to_end"] < 1 / 0.01
    assert found["prepare"] > 2 / 0.01


def test_bench_speed_prints_the_table_and_writes_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from benchbench.cli.speed import speed
    from benchbench.cost import read_cost

    class Cards:
        def encoder(self, name: str) -> EncoderInfo:
            return card(name, width=6 if name == "a" else 12)

    monkeypatch.setattr("benchbench.plugins.registry", lambda: Cards())
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "cost.csv"
    done = CliRunner().invoke(speed, ["a", "b", "--batches", "1,2", "--device", "cpu", "--csv", str(path)])
    assert done.exit_code == 0, done.output
    for text in ("Parameters", "2.0x less", "Model alone", "random weights", "a versus best"):
        assert text in done.output
    for text in (
        "by batch size",
        "Difference between runs",
        "spread",
        "Measured on cpu, fp32, torch",
        "torch 2",
    ):
        assert text in done.output
    assert {r.encoder for r in read_cost(path)} == {"", "a", "b"}
    wrong = CliRunner().invoke(speed, ["a", "--batches", "0"])
    assert wrong.exit_code == 2
    nobody = CliRunner().invoke(speed, ["a", "--subject", "nosuch"])
    assert isinstance(nobody.exception, BenchError)
    assert "nosuch" in str(nobody.exception)


def test_bench_speed_says_why_an_encoder_does_not_run_here_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from benchbench.cli.speed import speed

    class Cards:
        def encoder(self, name: str) -> EncoderInfo:
            return card(name)

    monkeypatch.setattr("benchbench.plugins.registry", lambda: Cards())
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["a", "--precision", "fp16", "--device", "cpu", "--fresh"]
    done = CliRunner().invoke(speed, arguments, standalone_mode=False)
    assert done.return_value == 1
    assert "Parameters" in done.output
    assert "Half precision (fp16) is hundreds of times slower than fp32 on a CPU." in done.output
    assert "was not asked for" not in done.output
