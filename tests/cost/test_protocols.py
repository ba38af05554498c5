from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchbench.cost import cost_table, protocol_rows
from benchbench.results import Row


def row(cell: str, encoder: str, task: str, target: str = "", status: str = "done", axes: str = "{}") -> Row:
    empty = {
        f.name: {"int": 0, "float": 0.0, "bool": False}.get(str(f.type), "") for f in dataclasses.fields(Row)
    }
    known = {
        "cell_id": cell,
        "encoder": encoder,
        "source_task": task,
        "task": target or task,
        "status": status,
        "axes": axes,
    }
    return Row(**{**empty, **known, "protocol": "linear_probe", "device": "cpu"})  # type: ignore[arg-type]


def record(seconds: float, **energy: Any) -> dict[str, Any]:
    return {
        "timings": {"fit": seconds, "total": 2 * seconds},
        "threads": 2,
        "machine": "a processor; torch 2",
        "energy": energy,
    }


RECORDS = {c: record(s) for c, s in {"a1": 1.0, "a2": 3.0, "a3": 2.0, "b1": 10.0, "c1": 4.0}.items()}


def test_the_value_is_the_mean_over_tasks_of_the_median_over_seeds() -> None:
    rows = [
        *(row(c, "x", "d/one") for c in ("a1", "a2", "a3")),
        row("b1", "x", "d/two"),
        row("c1", "y", "d/one"),
    ]
    found = {(r.encoder, r.quantity): r for r in protocol_rows(rows, RECORDS)}
    assert found["x", "protocol/linear_probe/fit"].value == (2.0 + 10.0) / 2
    total = found["x", "protocol/linear_probe/total"]
    assert total.value == 12.0
    assert total.repeats == 1  # the task with the fewest seeds
    assert total.spread == pytest.approx(0.5)  # 1, 2, 3 seconds: quartiles 1.5 and 2.5 around 2
    assert total.threads == 2
    assert total.versions == "a processor; torch 2"
    line = next(x for x in cost_table(found.values(), ["y", "x"]).lines if x.quantity.endswith("total"))
    assert line.group == "protocols"
    assert line.versus == "1.5x faster"


def test_a_cell_with_several_targets_counts_once_and_failed_cells_do_not() -> None:
    rows = [
        row("a1", "x", "d/one"),
        row("a1", "x", "d/one", "e/one"),
        row("a2", "x", "d/one", status="failed"),
    ]
    found = {r.quantity: r for r in protocol_rows(rows, RECORDS)}
    assert found["protocol/linear_probe/fit"].value == 1.0
    assert found["protocol/linear_probe/fit"].repeats == 1


def test_cells_that_differ_in_more_than_the_seed_are_no_repeats_of_each_other() -> None:
    rows = [row(c, "x", "d/one", axes=f'{{"fraction": "{c}"}}') for c in ("a1", "a2", "a3")]
    found = {r.quantity: r for r in protocol_rows(rows, RECORDS)}
    assert found["protocol/linear_probe/fit"].repeats == 1
    assert found["protocol/linear_probe/fit"].spread != found["protocol/linear_probe/fit"].spread  # NaN


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), "soon", None])
def test_a_record_that_holds_no_number_costs_its_own_stage_only(broken: Any) -> None:
    records = {"a1": {**record(1.0), "timings": {"fit": broken, "total": 2.0}, "energy": None}}
    found = {r.quantity: r for r in protocol_rows([row("a1", "x", "d/one")], records)}
    assert "protocol/linear_probe/fit" not in found
    assert found["protocol/linear_probe/total"].value == 2.0
    assert found["protocol/linear_probe/energy"].reason


def test_what_embedding_took_is_told_with_the_threads_and_the_machine_that_embedded() -> None:
    extracted = {"device": "cuda", "machine": "a GPU", "processor": "a processor", "threads": 16}
    timings = {"extract": 3.0, "prepare": 5.0, "fit": 1.0}
    records = {"a1": {**record(1.0), "timings": timings, "extracted": extracted}}
    found = {r.quantity.rpartition("/")[2]: r for r in protocol_rows([row("a1", "x", "d/one")], records)}
    told = {stage: (r.device, r.threads, r.versions) for stage, r in found.items() if stage in timings}
    assert told == {
        "extract": ("cuda", 16, "a GPU"),
        "prepare": ("cpu", 16, "a processor"),
        "fit": ("cpu", 2, "a processor; torch 2"),
    }


def test_energy_is_metered_or_says_why_it_is_not() -> None:
    records = {
        "a1": record(1.0, meter="RAPL", joules=50.0, reason=""),
        "c1": record(1.0, meter="RAPL", joules=None, reason="RAPL: no energy counter here"),
        "b1": {"timings": {"total": 1.0}},
    }
    rows = [row("a1", "x", "d/one"), row("c1", "y", "d/one"), row("b1", "z", "d/one")]
    found = {r.encoder: r for r in protocol_rows(rows, records) if r.quantity.endswith("/energy")}
    assert (found["x"].value, found["x"].unit) == (50.0, "J/task")
    assert "RAPL" in found["x"].note
    assert found["y"].reason == "RAPL: no energy counter here"
    assert "not recorded" in found["z"].reason
    line = next(x for x in cost_table(found.values(), ["x", "y"]).lines)
    assert [c.text for c in line.cells] == ["50 J/task", "—"]


def test_a_run_without_records_gives_no_rows() -> None:
    assert protocol_rows([row("a1", "x", "d/one")], {}) == ()
