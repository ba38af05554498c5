"""Files of a run that were damaged on the way are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchbench.errors import BenchError
from benchbench.results import PREDICTION_COLUMNS, read_predictions, read_rows


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_predictions_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "predictions.parquet"
    path.write_bytes(content)
    with pytest.raises(BenchError, match="is damaged or is not a parquet file") as error:
        read_predictions(path)
    assert error.value.where == str(path)
    assert "run the suite again" in error.value.fix


EXAMPLE = Path(__file__).parents[1] / "reports" / "example"


def _predictions(path: Path, scores: list[Any]) -> Path:
    columns: dict[str, Any] = dict.fromkeys(PREDICTION_COLUMNS, "x")
    images = [f"image {i}" for i in range(len(scores))]
    pd.DataFrame({**columns, "image_id": images, "y_true": 1.0, "scores": scores}).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("scores", "row"),
    [
        ([[0.1, 0.9], [0.5, float("nan")], [0.2, 0.8]], 2),
        ([[0.1], [0.2], [float("-inf")]], 3),
        ([[float("nan")]] * 3, 1),
        ([[0.1], None, [0.2]], 2),
    ],
)
def test_scores_that_are_no_numbers_are_named_with_their_row(
    tmp_path: Path, scores: list[Any], row: int
) -> None:
    path = _predictions(tmp_path / "predictions.parquet", scores)
    with pytest.raises(BenchError, match="missing, NaN or infinite") as error:
        read_predictions(path)
    assert error.value.where == f"{path}, row {row}: cell x, x, image image {row - 1}"


@pytest.mark.parametrize("scores", [["a", "b"], [0.5, 0.7], [["a"], ["b"]]])
def test_a_column_of_something_else_is_no_scores(tmp_path: Path, scores: list[Any]) -> None:
    with pytest.raises(BenchError, match="as scores, not lists of numbers"):
        read_predictions(_predictions(tmp_path / "predictions.parquet", scores))


@pytest.mark.parametrize("scores", [[[0, 1], [1, 0]], [[0.25], [0.5]], []])
def test_sound_scores_are_read(tmp_path: Path, scores: list[Any]) -> None:
    found = read_predictions(_predictions(tmp_path / "predictions.parquet", scores))
    assert [list(s) for s in found["scores"]] == scores


@pytest.mark.parametrize("line", [2, 6])
def test_rows_that_were_cut_short_are_named_with_their_line(tmp_path: Path, line: int) -> None:
    text = (EXAMPLE / "rows.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "rows.csv"
    path.write_text("".join(text[: line - 1]) + text[line - 1][:40], encoding="utf-8")
    with pytest.raises(BenchError, match="the file was cut short or edited") as error:
        read_rows(path)
    assert error.value.where == f"{path}:{line}"


def test_a_line_with_a_column_too_many_is_named(tmp_path: Path) -> None:
    text = (EXAMPLE / "rows.csv").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "rows.csv"
    path.write_text(f"{text[0]}\n{text[1]},more\n", encoding="utf-8")
    with pytest.raises(BenchError, match="the file was cut short or edited"):
        read_rows(path)
