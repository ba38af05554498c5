from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchbench.assemble import build_predictions, cell_records, encoder_record, protocol_records, stamps
from benchbench.errors import StoreError
from benchbench.origin import Origin
from benchbench.plugins import registry
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


@pytest.mark.parametrize(
    ("encoder", "dataset", "seen"),
    [
        ("retfound_mae_oct", "octmnist", True),  # made from Kermany's set, which its card lists
        ("flair", "retfound_idrid", True),  # another split of IDRiD
        ("retfound_mae_oct", "idrid", False),
        ("mae_imagenet", "octmnist", False),
    ],
)
def test_the_contaminated_stamp_follows_where_the_images_came_from(
    encoder: str, dataset: str, seen: bool
) -> None:
    info, data = registry().encoder(encoder), registry().datasets[dataset]
    state: Any = types.SimpleNamespace(
        info=info,
        label=encoder,
        precision="fp32",
        weights=types.SimpleNamespace(status="verified", sha256="0"),
    )
    survey: Any = types.SimpleNamespace(datasets={dataset: types.SimpleNamespace(info=data, loaded=None)})
    plan: Any = types.SimpleNamespace(survey=survey, demo=False)
    cell: Any = types.SimpleNamespace(encoder=state, spec=types.SimpleNamespace(sources=()))
    assert ("CONTAMINATED" in stamps(plan, cell, f"{dataset}/label")) is seen
    assert (dataset in dict(encoder_record(state, [data]).seen)) is seen


def test_a_run_says_which_version_of_a_protocol_it_used_and_whose() -> None:
    """benchbench's own by the card's version, a third party's by its plugin's version too."""
    own = registry().protocol("linear_probe")
    foreign = dataclasses.replace(
        own, version="7", origin=Origin("benchbench-other", "1.2", "other", "other")
    )
    plans = [types.SimpleNamespace(label=p.name, info=p, settings={}, config=None) for p in (own, foreign)]
    plan: Any = types.SimpleNamespace(protocols=plans)
    first, second = protocol_records(plan)
    assert (first.version, first.plugin) == (own.version, "")
    assert (second.version, second.plugin) == ("7", "benchbench-other 1.2")
