"""Pictures that two datasets share are found whatever became of their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchbench.datasets import LoadedDataset, load_dataset
from benchbench.datasets.shared import shared_pictures
from benchbench.plugins import registry
from benchbench.store import Store


def loaded(root: Path, name: str) -> LoadedDataset:
    return load_dataset(registry().datasets[name], root, store=Store(root / "store"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two simulated hospitals."""
    for name in ("idrid", "messidor2"):
        simulate = registry().datasets[name].simulate
        assert simulate is not None
        (tmp_path / name).mkdir()
        simulate(tmp_path / name, 60, 0)
    return tmp_path


def test_simulated_hospitals_share_nothing(root: Path) -> None:
    assert shared_pictures(loaded(root, "idrid"), loaded(root, "messidor2"), Store(root / "store")) == ()


def test_a_copy_of_another_size_and_quality_is_the_same_picture(root: Path) -> None:
    first, second = loaded(root, "idrid"), loaded(root, "messidor2")
    picture = Image.open(first.paths[5])
    smaller = picture.resize((int(picture.width * 0.8), int(picture.height * 0.8)))
    smaller.convert("RGB").save(second.paths[7], quality=80)
    again = loaded(root, "messidor2")
    store = Store(root / "store")
    expected = (first.image_ids[5], again.image_ids[7])
    assert shared_pictures(first, again, store) == (expected,)
    assert shared_pictures(again, first, store) == (expected[::-1],)
