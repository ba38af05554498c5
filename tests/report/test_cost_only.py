"""The report of a suite without tasks, and what the page says of cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from benchbench.cost import CostRow, Unmeasured, cost_table, write_cost
from benchbench.cost.rows import row_of
from benchbench.report import write_report
from benchbench.report.cost_only import verdict

from .builder import FakeEncoder, FakeRun, typical, write_run
from .test_write_report import Page

ENCODERS = (
    FakeEncoder("retfound_green", title="RETFound-Green"),
    FakeEncoder("retfound_mae_cfp", title="RETFound (MAE, CFP)"),
    FakeEncoder("deretfound", title="DERETFound (generated)"),
    FakeEncoder("resnet50", title="ResNet50, supervised"),
)
SPEEDS = {"retfound_green": 8.0, "retfound_mae_cfp": 2.0, "deretfound": 2.0, "resnet50": 24.0}
INFO = SimpleNamespace(hardware={"gpu": "H100"})
HINT = (
    "no counter of the processor; codecarbon estimate: not installed; pip install 'benchbench-retina[energy]'"
)


def timed(name: str, quantity: str, value: float, note: str = "") -> CostRow:
    return CostRow(
        name,
        quantity,
        value,
        "images/s",
        "measured",
        device="cpu",
        batch=8,
        repeats=9,
        spread=0.01,
        note=note,
    )


def made(folder: Path, speeds: Mapping[str, float], note: str = "", **changes: object) -> Page:
    """The page of a run without tasks."""
    spec = FakeRun(encoders=ENCODERS, tasks=(), protocols=(), **changes)  # type: ignore[arg-type]
    write_run(folder, spec)
    info = json.loads((folder / "run.json").read_text())
    info["plugins"] *= 3
    info["hardware"] = {"processor": "EPYC", "cores": "2", "device": "cpu"}
    info["suite_resolved"] |= {"cost": {"measure": "quick"}}
    (folder / "run.json").write_text(json.dumps(info))
    rows = [timed(n, q, v, note) for n, v in speeds.items() for q in ("throughput_best", "end_to_end_single")]
    rows += [row_of(e.name, "energy", Unmeasured(HINT, "J/image")) for e in ENCODERS]
    rows += [row_of(e.name, "throughput_best", Unmeasured("x", "")) for e in ENCODERS if e.name not in speeds]
    write_cost(folder / "cost.csv", rows)
    return Page(write_report(folder).read_text(encoding="utf-8"))


def squeezed(page: Page) -> str:
    return " ".join(page.text.split())


def test_a_run_without_tasks_says_what_it_measured_and_nothing_of_scores(tmp_path: Path) -> None:
    page = made(tmp_path, SPEEDS)
    text = squeezed(page)
    assert (
        "The cost of 4 encoders was measured on EPYC, 2 cores: RETFound-Green passes 8 images/s (batch 8) through its "
        "network, 4.0x faster than RETFound and DERETFound and 3.0x slower than ResNet50." in text
    )
    assert "headline" not in page.ids
    for absent in (
        "No cell of this run",
        "no leak between splits",
        "AUROC",
        "noisy:",
        "tested with",
        "Data sets",
    ):
        assert absent not in text
    assert "There is nothing to audit" in text
    assert page.text.count("benchbench-retina 0.1.0") == 1


def test_with_many_encoders_the_verdict_counts_them() -> None:
    speeds = {f"e{i}": float(i) for i in range(1, 10)}
    table = cost_table(
        [timed(n, "throughput_best", v) for n, v in speeds.items()], list(speeds), subject="e7"
    )
    (sentence,) = verdict(table, INFO)  # type: ignore[arg-type]
    assert sentence.endswith(
        "e7 passes 7 images/s (batch 8) through its network, faster than 6 of the 8 others."
    )


def test_encoders_within_five_per_cent_are_called_as_fast() -> None:
    speeds = {"a": 100.0, "b": 98.0, "c": 50.0}
    table = cost_table([timed(n, "throughput_best", v) for n, v in speeds.items()], list(speeds))
    (sentence,) = verdict(table, INFO)  # type: ignore[arg-type]
    assert "measured on H100: a passes" in sentence
    assert sentence.endswith("as fast within 5% as b and 2.0x faster than c.")


def test_its_methods_say_how_it_was_timed(tmp_path: Path) -> None:
    text = squeezed(made(tmp_path, SPEEDS))
    for said in (
        "with random weights",
        "until three consecutive steps lay within 5 % of each other",
        "for at least 5 s and 10 steps, but no longer than 15 s",
        "medians of the steps",
        "interquartile range",
    ):
        assert said in text


def test_cost_csv_is_among_the_files_that_the_page_was_made_from_where_there_is_one(tmp_path: Path) -> None:
    page = made(tmp_path / "with", SPEEDS)
    assert "rows.csv, predictions.parquet, cost.csv and run.json in the same folder" in squeezed(page)
    assert "cost.csv" in page.links
    other = Page(write_report(write_run(tmp_path / "without", typical())).read_text(encoding="utf-8"))
    assert "rows.csv, predictions.parquet and run.json in the same folder" in squeezed(other)
    assert "cost.csv" not in other.links


def test_the_verdict_owns_up_to_noise_and_to_encoders_that_did_not_run(tmp_path: Path) -> None:
    noisy = squeezed(made(tmp_path / "noisy", SPEEDS, "NOISY: spread 9% is above 5%"))
    assert "Some of these speeds are noisy" in noisy
    three = {n: v for n, v in SPEEDS.items() if n != "resnet50"}
    assert "The cost of 3 of 4 encoders was measured" in squeezed(made(tmp_path / "three", three))
    rest = {n: v for n, v in SPEEDS.items() if n != "retfound_green"}
    text = squeezed(made(tmp_path / "rest", rest))
    assert "3 of 4 encoders was measured on EPYC, 2 cores; the speed of RETFound-Green was not." in text
    nothing = squeezed(made(tmp_path / "nothing", {}))
    assert "no encoder's speed was measured" in nothing
    assert "warmed up" not in nothing


def test_the_page_compares_like_with_like_and_gives_reasons_in_full_once(tmp_path: Path) -> None:
    page = made(tmp_path, SPEEDS)
    text = squeezed(page)
    assert "against RETFound, DERETFound: 4.0x faster" in text
    assert text.count("codecarbon estimate: not installed; pip install 'benchbench-retina[energy]'") == 1
    assert "The same network, measured once: RETFound, DERETFound." in text
