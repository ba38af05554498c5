"""Files of a run that were damaged on the way are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import BenchError
from benchbench.results import read_predictions


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_damaged_predictions_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "predictions.parquet"
    path.write_bytes(content)
    with pytest.raises(BenchError, match="is damaged or is not a parquet file") as error:
        read_predictions(path)
    assert error.value.where == str(path)
    assert "run the suite again" in error.value.fix
