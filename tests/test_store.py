"""The store: whole artefacts or none, corruption noticed, the same content under the same key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench.errors import StoreError
from benchbench.store import MANIFEST, Store, atomic_write, canonical, content_key


def put(store: Store, key: str = "k" * 32, text: str = "hello") -> None:
    store.publish("predictions", key, {"of": text}, lambda folder: (folder / "a.txt").write_text(text))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s")


def test_an_artefact_comes_back_as_it_was_written(store: Store) -> None:
    put(store)
    found = store.find("predictions", "k" * 32)
    assert found is not None
    assert (found.folder / "a.txt").read_text() == "hello"
    assert found.identity == {"of": "hello"}
    assert found.bytes == 5


def test_keys_depend_on_content_and_not_on_the_order_of_keys() -> None:
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
    with pytest.raises(ValueError):
        canonical({"x": float("nan")})


def test_a_failed_write_leaves_nothing_behind(store: Store) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError):
        store.publish("predictions", "k" * 32, {}, write)
    assert store.find("predictions", "k" * 32) is None
    assert list((store.root / "predictions").rglob("*.txt")) == []


@pytest.mark.parametrize("fault", ["truncate", "flip", "delete", "manifest"])
def test_a_corrupt_artefact_is_set_aside_and_can_be_written_again(store: Store, fault: str) -> None:
    put(store)
    folder = store.folder("predictions", "k" * 32)
    file = folder / "a.txt"
    if fault == "truncate":
        file.write_text("hel")
    elif fault == "flip":
        file.write_text("hallo")
    elif fault == "delete":
        file.unlink()
    else:
        (folder / MANIFEST).write_text("{")
    assert store.find("predictions", "k" * 32) is None
    put(store)
    found = store.find("predictions", "k" * 32)
    assert found is not None
    assert (found.folder / "a.txt").read_text() == "hello"
    if fault != "manifest":
        assert list((store.root / "quarantine").glob("*.reason.txt"))


def test_verify_finds_a_change_that_kept_size_and_time(store: Store) -> None:
    put(store)
    file = store.folder("predictions", "k" * 32) / "a.txt"
    stat = file.stat()
    file.write_text("hallo")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [a.key for a, _ in store.verify()] == ["k" * 32]


def test_the_second_writer_of_the_same_content_is_harmless(store: Store) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text("hello")
        put(store)  # somebody else finishes first

    store.publish("predictions", "k" * 32, {}, write)
    assert len(list(store.artefacts())) == 1


def test_leftovers_are_found_and_finished_work_is_not(store: Store) -> None:
    put(store)
    half = store.root / "predictions" / "kk" / ".half"
    half.mkdir()
    store.scratch("z" * 32)
    (store.root / "simulated" / ".making-x").mkdir(parents=True)
    (store.root / "simulated" / "idrid-v1-n300-s0").mkdir()
    assert store.leftovers(older_than_s=3600) == ()
    names = {p.name for p in store.leftovers(older_than_s=-1)}
    assert names == {".half", "z" * 32, ".making-x"}


def test_an_unwritable_store_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        put(Store(tmp_path / "file"))
    assert "BENCHBENCH_STORE" in caught.value.fix


def test_atomic_write_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


WRITER = """
import sys
from pathlib import Path
from benchbench.store import Store
store = Store(Path(sys.argv[1]))
i = 0
while True:
    key = f"{i:032x}"
    def write(folder):
        for part in range(4):
            (folder / f"{part}.bin").write_bytes(bytes([i % 256]) * 50_000)
    store.publish("embeddings", key, {"i": i}, write)
    print(i, flush=True)
    i += 1
"""


def test_a_killed_writer_leaves_only_whole_artefacts(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    finished = 0
    for delay in (0.02, 0.05, 0.09):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        finished = max(finished, 1 + process.stdout.read().count("\n"))
        process.wait()
    found = list(store.artefacts())
    assert len(found) >= finished
    assert store.verify() == ()
    for artefact in found:
        manifest = json.loads((artefact.folder / MANIFEST).read_bytes())
        assert len(manifest["files"]) == 4
