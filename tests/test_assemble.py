from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchbench.assemble import build_predictions, cell_records
from benchbench.errors import StoreError
from benchbench.store import Store, content_key


def test_damaged_predictions_and_records_are_not_read(tmp_path: Path) -> None:
    key = content_key({"cell": 1})

    def write(folder: Path) -> None:
        pd.DataFrame({"score": [0.25, 0.5]}).to_parquet(folder / "predictions.parquet")
        (folder / "cell.json").write_text(json.dumps({"n_test": 2}))

    artefact = Store(tmp_path).publish("predictions", key, {"cell": 1}, write)
    plan: Any = types.SimpleNamespace(cells=[types.SimpleNamespace(id=key)])
    found = {key: artefact}
    assert list(build_predictions(plan, found)["score"]) == [0.25, 0.5]
    assert cell_records(found) == {key: {"n_test": 2}}

    other = pd.DataFrame({"score": [0.75, 0.5]})  # readable, of the same length, and wrong
    other.to_parquet(artefact.folder / "predictions.parquet")
    (artefact.folder / "cell.json").write_text(json.dumps({"n_test": 3}))
    with pytest.raises(StoreError, match="bench cache verify"):
        build_predictions(plan, found)
    with pytest.raises(StoreError, match="bench cache verify"):
        cell_records(found)
