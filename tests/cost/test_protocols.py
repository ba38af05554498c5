from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchbench.cost import cost_table, protocol_rows
from benchbench.results import Row


def row(cell: str, encoder: str, task: str, target: str = "", status: str = "done") -> Row:
    empty = {
        f.name: {"int": 0, "float": 0.0, "bool": False}.get(str(f.type), "") for f in dataclasses.fields(Row)
    }
    known = {
        "cell_id": cell,
        "encoder": encoder,
        "source_task": task,
        "task": target or task,
        "status": status,
    }
    return Row(**{**empty, **known, "protocol": "linear_probe", "device": "cpu"})  # type: ignore[arg-type]


@pytest.fixture
def timings(tmp_path: Path) -> Path:
    path = tmp_path / "timings.csv"
    cells = {"a1": 1.0, "a2": 3.0, "a3": 2.0, "b1": 10.0, "c1": 4.0}
    lines = [
        f"{cell},{stage},{s * f}" for cell, s in cells.items() for stage, f in (("fit", 1), ("total", 2))
    ]
    path.write_text("cell_id,stage,seconds\n" + "\n".join(lines) + "\n")
    return path


def test_the_value_is_the_mean_over_tasks_of_the_median_over_seeds(timings: Path) -> None:
    rows = [
        *(row(c, "x", "d/one") for c in ("a1", "a2", "a3")),
        row("b1", "x", "d/two"),
        row("c1", "y", "d/one"),
    ]
    found = {(r.encoder, r.quantity): r for r in protocol_rows(rows, timings)}
    assert found["x", "protocol/linear_probe/fit"].value == (2.0 + 10.0) / 2
    assert found["x", "protocol/linear_probe/total"].value == 12.0
    assert found["x", "protocol/linear_probe/total"].repeats == 4
    line = next(x for x in cost_table(found.values(), ["y", "x"]).lines if x.quantity.endswith("total"))
    assert line.group == "protocols"
    assert line.versus == "1.5x faster"


def test_a_cell_with_several_targets_counts_once_and_failed_cells_do_not(timings: Path) -> None:
    rows = [
        row("a1", "x", "d/one"),
        row("a1", "x", "d/one", "e/one"),
        row("a2", "x", "d/one", status="failed"),
    ]
    found = {r.quantity: r for r in protocol_rows(rows, timings)}
    assert found["protocol/linear_probe/fit"].value == 1.0
    assert found["protocol/linear_probe/fit"].repeats == 1


def test_a_run_without_recorded_times_gives_no_rows(tmp_path: Path) -> None:
    assert protocol_rows([row("a1", "x", "d/one")], tmp_path / "timings.csv") == ()
