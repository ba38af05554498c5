from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchbench.api import DeclaredCompute, EncoderInfo, Preprocess, PretrainingSet, WeightsSource
from benchbench.cli.speed import show
from benchbench.cost import (
    CostConfig,
    CostLine,
    CostRow,
    CostTable,
    Measured,
    Unmeasured,
    cost_table,
    read_cost,
    write_cost,
)
from benchbench.cost.cells import detail
from benchbench.cost.config import constants
from benchbench.cost.declared import declared_rows
from benchbench.cost.rows import row_of
from benchbench.cost.table import format_value
from benchbench.errors import BenchError

GREEN, MEH, DE = "retfound_green", "retfound_mae_cfp", "deretfound"


def measured(name: str, quantity: str, value: float, unit: str = "images/s", **changes: object) -> CostRow:
    fields: dict[str, object] = {
        "device": "cpu",
        "precision": "fp32",
        "batch": 8,
        "threads": 2,
        "repeats": 10,
        "spread": 0.01,
        "versions": "torch 2",
        **changes,
    }
    return CostRow(name, quantity, value, unit, "measured", **fields)  # type: ignore[arg-type]


def card(**changes: object) -> EncoderInfo:
    fields: dict[str, object] = {
        "name": MEH,
        "title": "RETFound",
        "architecture": "ViT-L/16",
        "embed_dim": 1024,
        "preprocess": Preprocess("p", 224),
        "pooling": "",
        "load": lambda w, d: None,
        "weights": None,
        "licence": "",
        "citation": "",
        **changes,
    }
    return EncoderInfo(**fields)  # type: ignore[arg-type]


def test_rows_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    rows = (
        measured("a", "throughput", 1 / 3, note='with "quotes", commas\nand lines'),
        row_of("b", "energy", Unmeasured("no meter here", "J/image"), "torch"),
        row_of("c", "probe", Measured(1.5, "s/task", "cpu", "fp32", 0, 1, 5, math.nan, "v", "estimated")),
    )
    write_cost(tmp_path / "cost.csv", rows)
    back = read_cost(tmp_path / "cost.csv")
    assert repr(back) == repr(rows)  # repr: NaN equals NaN


@pytest.mark.parametrize(
    ("value", "provenance", "reason"),
    [
        (math.nan, "measured", ""),
        (0.0, "unmeasured", "x"),
        (math.nan, "unmeasured", ""),
        (1.0, "guessed", ""),
    ],
)
def test_a_row_has_a_value_or_a_reason_never_both_or_neither(
    value: float, provenance: str, reason: str
) -> None:
    with pytest.raises(BenchError):
        CostRow("a", "energy", value, "J", provenance, reason=reason)  # type: ignore[arg-type]


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    write_cost(path, [measured("a", "throughput", 2.5)])
    path.write_text(path.read_text().replace("2.5", "fast"))
    with pytest.raises(BenchError) as caught:
        read_cost(path)
    assert caught.value.where.endswith("cost.csv:2")
    path.write_text("encoder,quantity\n")
    with pytest.raises(BenchError, match="lacks the columns"):
        read_cost(path)


def test_declared_compute_becomes_money_and_carbon_by_the_stated_constants() -> None:
    config = CostConfig(
        price_per_gpu_hour=2, gpu_watts=500, pue=1.5, grid_kg_co2_per_kwh=0.4, kg_co2_per_kg_coal=2
    )
    info = card(
        compute=DeclaredCompute(112, "8 x A100", "the card"),
        pretraining=(PretrainingSet("eyes", 904_170, "Nature"),),
    )
    rows = {r.quantity: r for r in declared_rows(info, MEH, config)}
    assert rows["pretraining_images"].value == 904_170
    assert rows["pretraining_price"].value == 112 * 24 * 2
    assert rows["pretraining_energy"].value == pytest.approx(112 * 24 * 0.5 * 1.5)
    assert rows["pretraining_carbon"].value == pytest.approx(112 * 24 * 0.5 * 1.5 * 0.4)
    assert rows["pretraining_coal"].value == pytest.approx(112 * 24 * 0.5 * 1.5 * 0.4 / 2)
    assert {r.provenance for r in rows.values()} == {"declared", "unmeasured"}


def test_the_default_price_gives_back_the_published_one() -> None:
    rows = {
        r.quantity: r.value
        for days in (112.0, 163.0)
        for r in declared_rows(card(compute=DeclaredCompute(days, "", "")), str(days), CostConfig())
        if r.quantity == "pretraining_price"
    }
    assert rows["pretraining_price"] == pytest.approx(14_357, rel=1e-3)


def test_what_authors_do_not_state_is_unmeasured_with_a_reason() -> None:
    info = card(pretraining=(PretrainingSet("eyes", None, "?"),), weights=WeightsSource("f", "", ""))
    rows = declared_rows(info, MEH, CostConfig())
    assert all(r.provenance == "unmeasured" and r.reason for r in rows)


def embedding_rows() -> list[CostRow]:
    return [
        CostRow(name, "embedding_bytes_fp32", dim * 4e6, "B/million", "computed")
        for name, dim in ((GREEN, 384), (MEH, 1024), (DE, 1024))
    ]


def test_the_table_has_our_value_the_published_one_and_the_erratum_beside_each_other() -> None:
    table = cost_table(embedding_rows(), [GREEN, MEH, DE])
    line, wins = table.lines
    assert [c.text for c in line.cells] == ["1.43 GiB (1.54 GB)", "3.81 GiB (4.1 GB)", "3.81 GiB (4.1 GB)"]
    assert line.versus == "2.7x smaller"
    assert line.published == ("14.6 GB", "39.1 GB", "39.1 GB")
    assert line.published_versus == "2.6x less"
    assert "Ten times too large" in line.erratum
    assert sum("Published values" in note for note in table.notes) == 1
    assert wins.published == ("5 + 9 wins", "0 + 2 wins", "4 + 2 wins")
    assert "Not paired tests" in wins.erratum
    assert [c.reason for c in wins.cells] == ["this run made no paired test of it"] * 3


def test_paired_tests_of_the_run_stand_beside_the_published_wins() -> None:
    table = cost_table(embedding_rows(), [GREEN, MEH, DE], wins={GREEN: "3 won, 0 lost"})
    wins = table.lines[-1]
    assert [c.text for c in wins.cells] == ["3 won, 0 lost", "—", "—"]
    assert wins.versus == ""


def test_a_subject_that_is_no_encoder_of_the_table_is_refused() -> None:
    with pytest.raises(BenchError, match="nosuch"):
        cost_table(embedding_rows(), [GREEN, MEH, DE], subject="nosuch")


def test_encoders_that_were_not_published_get_no_published_values() -> None:
    rows = [CostRow("x", "embedding_bytes_fp32", 1e9, "B/million", "computed")]
    table = cost_table(rows, ["x"])
    assert table.lines[0].published == ()
    assert table.lines[0].erratum == ""
    assert not any("Published values" in note for note in table.notes)


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (16.0, (6.0, 5.0), "2.7x faster"),
        (6.0, (16.0, 5.0), "2.7x slower"),
        (10.0, (10.2, 3.0), "equal within 5%"),
        (500.0, (1.0, 2.0), "250x faster"),
    ],
)
def test_the_subject_is_compared_with_the_best_of_the_others(
    own: float, others: tuple[float, ...], verdict: str
) -> None:
    rows = [measured(n, "throughput_best", v) for n, v in zip("abc", (own, *others), strict=True)]
    assert cost_table(rows, ["a", "b", "c"]).lines[0].versus == verdict
    assert cost_table(rows, ["c", "b", "a"], subject="a").lines[0].versus == verdict


def test_missing_values_are_left_out_of_the_comparison_and_keep_their_reason() -> None:
    rows = [measured("a", "energy", 3.0, "J/image"), row_of("b", "energy", Unmeasured("no meter", "J/image"))]
    line = cost_table(rows, ["a", "b"]).lines[0]
    assert line.versus == ""
    assert line.cells[1].value is None
    assert line.cells[1].reason == "no meter"


def test_noise_is_shown_and_explained() -> None:
    rows = [
        measured("a", "throughput_best", 3.0, note="NOISY: spread 9%"),
        measured("b", "throughput_best", 1.0),
    ]
    table = cost_table(rows, ["a", "b"])
    assert [c.noisy for c in table.lines[0].cells] == [True, False]
    assert table.lines[0].versus.endswith("(noisy)")
    assert any("noisy" in note for note in table.notes)


def test_the_share_of_the_matrix_rate_follows_from_speed_and_operations() -> None:
    rows = [
        CostRow("", "matrix_rate", 4e11, "FLOP/s", "measured", precision="fp32"),
        CostRow("a", "flops", 1e11, "FLOP/image", "computed"),
        measured("a", "throughput_best", 3.0),
    ]
    line = next(x for x in cost_table(rows, ["a"]).lines if x.quantity == "matrix_share")
    assert line.cells[0].text == "75%"


def test_another_backend_is_no_share_of_torchs_matrix_rate() -> None:
    rows = [
        CostRow("", "matrix_rate", 1e11, "FLOP/s", "measured", precision="fp32"),
        CostRow("a", "flops", 1e11, "FLOP/image", "computed"),
        measured("a", "throughput_best", 3.0, backend="openvino"),
    ]
    line = next(x for x in cost_table(rows, ["a"]).lines if x.quantity == "matrix_share")
    assert line.cells[0].value is None
    assert "torch's own matrix product" in line.cells[0].reason


def test_the_table_says_on_what_it_was_measured_and_how_far_repeats_are_apart() -> None:
    rows = [
        CostRow("", "matrix_rate", 4e11, "FLOP/s", "measured", precision="fp32"),
        measured("a", "throughput_best", 3.0, spread=0.012),
        measured("b", "throughput_best", 2.0, precision="bf16"),
    ]
    table = cost_table(rows, ["a", "b"])
    assert table.lines[0].cells[0].spread == "1.2%"
    assert table.conditions == (
        "Measured on cpu, fp32, torch, 2 threads: a. torch 2.",
        "Measured on cpu, bf16, torch, 2 threads: b. torch 2.",
        "Products of large matrices here: fp32 400 GFLOP/s.",
    )


def test_the_sweep_keeps_every_batch_and_those_that_were_too_slow() -> None:
    rows = [
        measured("a", "throughput", 3.0, batch=1),
        CostRow("a", "throughput", math.nan, "images/s", "unmeasured", reason="22 s a batch", batch=32),
    ]
    sweep = cost_table(rows, ["a"]).sweep
    assert [(p.batch, p.cell.text) for p in sweep] == [(1, "3 images/s"), (32, "—")]


def test_declared_computed_and_measured_values_never_share_a_line() -> None:
    info = card(name=GREEN, compute=DeclaredCompute(0.27, "1 GPU", "paper"))
    rows = [
        *declared_rows(info, GREEN, CostConfig()),
        *embedding_rows(),
        measured(GREEN, "throughput_best", 1.0),
    ]
    table = cost_table(rows, [GREEN], constants=constants(CostConfig()))
    for line in table.lines:
        assert {c.provenance for c in line.cells} <= {line.group, "unmeasured", "estimated"}
    hardware = next(line for line in table.lines if line.quantity == "hardware")
    assert hardware.cells[0].text == "1 GPU"
    assert any("3.67 USD" in note for note in table.notes)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (87_396_676, "B", "0.0814 GiB (0.0874 GB)"),
        (3_952_489_221, "B", "3.68 GiB (3.95 GB)"),
        (123.107e9, "FLOP/image", "123 GFLOP"),
        (303_301_632, "parameters", "303.3 M"),
        (294, "parameters", "294"),
        (48_384, "parameters", "48,384"),
        (904_170, "images", "904,170 images"),
        (2.7e12, "FLOP/s", "2.7 TFLOP/s"),
        (9865.0, "USD", "9,865 USD"),
        (0.27, "GPU-days", "0.27 GPU-days"),
    ],
)
def test_values_are_written_for_people(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_the_table_is_built_without_torch() -> None:
    code = "import sys, benchbench.cost as c; c.cost_table([], []); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def line_of(table: CostTable, quantity: str) -> CostLine:
    return next(line for line in table.lines if line.quantity == quantity)


def test_the_published_ratio_has_ours_against_the_same_encoders_above_it() -> None:
    speeds = {GREEN: 16.0, MEH: 5.0, DE: 6.4, "resnet50": 64.0}
    rows = [measured(name, "end_to_end_single", v) for name, v in speeds.items()]
    line = line_of(cost_table(rows, list(speeds)), "end_to_end_single")
    assert (line.versus, line.versus_published) == ("4.0x slower", "2.5x faster")
    assert cost_table(rows, list(speeds)).opponents == f"{MEH}, {DE}"
    alone = line_of(cost_table(rows, [GREEN, MEH, DE]), "end_to_end_single")
    assert (alone.versus, alone.versus_published) == ("2.5x faster", "")
    other = line_of(cost_table(rows, list(speeds), subject="resnet50"), "end_to_end_single")
    assert (other.versus, other.versus_published) == ("4.0x faster", "")


def test_the_published_ratio_of_green_is_not_shown_as_that_of_another_subject() -> None:
    assert line_of(cost_table(embedding_rows(), [GREEN, MEH, DE]), "embedding_bytes_fp32").published_versus
    turned = cost_table(embedding_rows(), [GREEN, MEH, DE], subject=MEH)
    assert {line.published_versus for line in turned.lines} == {""}


def test_every_missing_value_is_explained_once_in_full() -> None:
    reason = "no counter here; " + "x" * 80 + "; pip install 'benchbench-retina[energy]'"
    rows = [
        *(row_of(n, "energy", Unmeasured(reason, "J/image")) for n in "ab"),
        *(row_of(n, "memory_device", Unmeasured("on the CPU", "B")) for n in "ab"),
        *(row_of("a", f"latency_p{p}", Unmeasured("too few steps", "ms")) for p in (90, 99)),
        *(measured("b", f"latency_p{p}", 1.0, "ms") for p in (90, 99)),
        CostRow("b", "throughput", math.nan, "images/s", "unmeasured", reason="22 s a batch", batch=32),
    ]
    assert sorted(cost_table(rows, ["a", "b"]).missing) == [
        f"Energy per image: {reason}.",
        "Latency at batch 1, 90th percentile; Latency at batch 1, 99th percentile (a): too few steps.",
        "Model alone, 32 images at once (b): 22 s a batch.",
        "Peak memory on the device: on the CPU.",
    ]


def test_what_was_timed_stands_at_the_line_where_all_values_share_it() -> None:
    rows = [
        measured("a", "probe", 1.0, "s/task", note="fit; 60 + 20 embeddings; NOISY: spread 9% is above 5%"),
        measured("b", "probe", 2.0, "s/task", note="fit; 60 + 20 embeddings"),
        CostRow("a", "embedding_bytes_fp32", 1.0, "B/million", "computed", note="384 x 4"),
        CostRow("b", "embedding_bytes_fp32", 2.0, "B/million", "computed", note="1024 x 4"),
    ]
    table = cost_table(rows, ["a", "b"])
    assert line_of(table, "probe").how == "fit; 60 + 20 embeddings"
    assert line_of(table, "embedding_bytes_fp32").how == ""


def test_encoders_that_share_a_measurement_are_named_by_short_titles() -> None:
    class Record:
        def __init__(self, name: str, title: str) -> None:
            self.name, self.title = name, title

    rows = [measured(n, "throughput_best", v) for n, v in (("a", 1.5), ("b", 1.5), ("c", 1.6))]
    records = [Record("a", "RETFound (MAE)"), Record("b", "MAE ViT-L/16, ImageNet"), Record("c", "Other")]
    shared = "The same network, measured once: RETFound, MAE ViT-L/16."
    assert [n for n in cost_table(rows, records).notes if "same network" in n] == [shared]
    apart = [*rows[:1], measured("b", "throughput_best", 1.5, repeats=11)]
    assert not any("same network" in n for n in cost_table(apart, records[:2]).notes)
    twins = cost_table(rows, [Record("a", "RETFound (MAE)"), Record("b", "RETFound (DINO)")])
    assert list(twins.names.values()) == ["RETFound (MAE)", "RETFound (DINO)"]


@pytest.mark.parametrize(
    ("quantity", "said", "unsaid"),
    [
        ("latency_p50", "median of 20", "percentile"),
        ("latency_p90", "90th percentile of 20 steps", "median"),
        ("latency_p99", "99th percentile of 20 steps", "median"),
        ("run_to_run", "slowest less fastest of 20 runs, as a share of their median", "median of 20"),
        ("matrix_share", "from the best throughput", "median of 20"),
        ("throughput_best", "20 steps in all", "median of 20"),
    ],
)
def test_the_detail_says_what_was_made_of_the_repeats(quantity: str, said: str, unsaid: str) -> None:
    text = detail(measured("a", quantity, 1.0, repeats=20))
    assert said in text
    assert unsaid not in text


def test_each_kind_of_noise_is_said_once_with_its_largest_value() -> None:
    note = (
        "decoding ahead; NOISY: spread 8% is above 5%; NOISY: spread 12% is above 5%; NOISY: 3 runs differ by 9%; "
        "NOISY: spread 6% is above 5%"
    )
    text = detail(measured("a", "end_to_end", 1.0, note=note))
    assert text.count("NOISY") == 2
    assert "decoding ahead; NOISY: spread 12% is above 5%; NOISY: 3 runs differ by 9%; torch 2" in text


def test_the_terminal_tells_lines_apart_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [GREEN, MEH, DE, "mae_imagenet", "resnet50"]
    quantities = (
        "latency_p50",
        "latency_p90",
        "end_to_end",
        "end_to_end_single",
        "memory_host",
        "memory_rise",
    )
    rows = [measured(n, q, 10.0 + i) for i, n in enumerate(names) for q in quantities]
    missing = [row_of(n, "pretraining_price", Unmeasured("nobody says", "USD")) for n in names[1:]]
    price = CostRow(GREEN, "pretraining_price", 9.0, "USD", "declared", reason="paper")
    show(cost_table([*rows, *missing, price], names))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    first = [line.split("│")[1] for line in printed.splitlines() if line.startswith("│")]
    labels = " ".join(" ".join(first).split())
    for title in ("Price of that compute", "Latency at batch 1, 90th percentile", "From files, one by one"):
        assert title in labels
    assert f"against {MEH}, {DE}" in labels
    last = [line.split("│")[-2] for line in printed.splitlines() if line.startswith("│")]
    assert any("faster" in cell or "slower" in cell for cell in last)
    said = " ".join(printed.split())
    assert (
        "No value: Price of that compute (retfound_mae_cfp, deretfound, mae_imagenet, resnet50): nobody says."
        in said
    )
