"""The store: whole artefacts or none, corruption noticed, the same content under the same key."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench.errors import StoreError
from benchbench.store import MANIFEST, Store, atomic_write, canonical, content_key

IDENTITY = {"of": "hello"}
KEY = content_key(IDENTITY)


def put(store: Store) -> None:
    store.publish("predictions", KEY, IDENTITY, lambda folder: (folder / "a.txt").write_text("hello"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s")


def test_an_artefact_comes_back_as_it_was_written(store: Store) -> None:
    put(store)
    found = store.find("predictions", KEY)
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
        store.publish("predictions", KEY, IDENTITY, write)
    assert store.find("predictions", KEY) is None
    assert list((store.root / "predictions").rglob("*.txt")) == []


@pytest.mark.parametrize("fault", ["truncate", "flip", "delete", "manifest"])
def test_a_corrupt_artefact_is_set_aside_and_can_be_written_again(store: Store, fault: str) -> None:
    put(store)
    folder = store.folder("predictions", KEY)
    file = folder / "a.txt"
    if fault == "truncate":
        file.write_text("hel")
    elif fault == "flip":
        file.write_text("hallo")
    elif fault == "delete":
        file.unlink()
    else:
        (folder / MANIFEST).write_text("{")
    assert store.find("predictions", KEY) is None
    put(store)
    found = store.find("predictions", KEY)
    assert found is not None
    assert (found.folder / "a.txt").read_text() == "hello"
    assert list((store.root / "quarantine").glob("*.reason.txt"))


@pytest.mark.parametrize(
    "manifest",
    ["{", "[]", '{"files": {}}', '{"files": []}', '{"files": {"a.txt": {"bytes": 5}}}', "[" * 100_000],
)
def test_a_manifest_that_cannot_be_believed_is_said_and_set_aside(
    store: Store, manifest: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    (store.folder("predictions", KEY) / MANIFEST).write_text(manifest)
    assert [artefact.key for artefact, _ in store.verify()] == [KEY]
    assert store.find("predictions", KEY) is None
    assert "manifest" in caplog.text
    assert not store.folder("predictions", KEY).exists()


def test_a_manifest_without_files_is_not_a_complete_artefact(store: Store) -> None:
    put(store)
    path = store.folder("predictions", KEY) / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": {}}))
    assert store.find("predictions", KEY) is None


def test_an_artefact_copied_to_another_key_is_not_that_key_s(store: Store) -> None:
    put(store)
    other = content_key({"of": "something else"})
    shutil.copytree(store.folder("predictions", KEY), store.folder("predictions", other))
    assert store.find("predictions", other) is None
    assert store.find("predictions", KEY) is not None


def test_a_flipped_byte_in_a_large_file_is_found_when_it_is_first_opened(store: Store) -> None:
    big = bytes(5_000_000)
    store.publish("embeddings", KEY, IDENTITY, lambda folder: (folder / "a.bin").write_bytes(big))
    path = store.folder("embeddings", KEY) / "a.bin"
    stat = path.stat()
    path.write_bytes(big[:-1] + b"x")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = store.find("embeddings", KEY)
    assert found is not None
    assert "checksum" in found.fault("a.bin")


def test_a_store_that_may_only_be_read_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store)
    (store.folder("predictions", KEY) / "a.txt").write_text("hallo")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("benchbench.store.os.rename", refused)
    assert store.find("predictions", KEY) is None


def test_verify_finds_a_change_that_kept_size_and_time(store: Store) -> None:
    put(store)
    file = store.folder("predictions", KEY) / "a.txt"
    stat = file.stat()
    file.write_text("hallo")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [a.key for a, _ in store.verify()] == [KEY]


def test_the_second_writer_of_the_same_content_is_harmless(store: Store) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text("hello")
        put(store)  # somebody else finishes first

    store.publish("predictions", KEY, IDENTITY, write)
    assert len(list(store.artefacts())) == 1


def test_leftovers_are_found_and_finished_work_is_not(store: Store) -> None:
    put(store)
    half = store.root / "predictions" / KEY[:2] / ".half"
    half.mkdir()
    store.scratch("z" * 32)
    (store.root / "simulated" / ".making-x").mkdir(parents=True)
    (store.root / "simulated" / ".making-x" / "link").symlink_to(store.root / "gone")
    (store.root / "unpacked" / ".unpacking.x").mkdir(parents=True)
    (store.root / "simulated" / "idrid-v1-n300-s0").mkdir()
    atomic_write(store.root / "plans" / "p.pkl", b"a plan that workers have read")
    assert store.leftovers(older_than_s=3600) == ()
    names = {p.name for p in store.leftovers(older_than_s=-1)}
    assert names == {".half", "z" * 32, ".making-x", ".unpacking.x", "p.pkl"}


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


def test_a_full_disk_names_the_file_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchbench.store.os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        atomic_write(tmp_path / "rows.csv", b"text")
    assert caught.value.filename == str(tmp_path / "rows.csv")
    with pytest.raises(StoreError, match="MB free on this disk"):
        put(Store(tmp_path))


WRITER = """
import sys
from pathlib import Path
from benchbench.store import Store, content_key
store = Store(Path(sys.argv[1]))
i = 0
while True:
    key = content_key({"i": i})
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
