"""File hashes are right, remembered, and never stale."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from benchbench import hashing
from benchbench.hashing import HashCache
from benchbench.store import Store


def test_hash_equals_hashlib_and_is_remembered_by_the_next_process(tmp_path: Path, monkeypatch) -> None:
    files = [tmp_path / f"{i}|odd name.png" for i in range(20)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]) * (1000 + i))
    expected = [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
    assert HashCache(Store(tmp_path / "s")).sha256_many([*files, files[0]]) == [*expected, expected[0]]

    def never(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(hashing, "sha256_of", never)
    assert HashCache(Store(tmp_path / "s")).sha256_many(files) == expected


def test_a_file_replaced_with_its_old_size_and_time_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"aaaa")
    stat = file.stat()
    cache = HashCache(Store(tmp_path / "s"))
    first = cache.sha256(file)
    file.write_bytes(b"bbbb")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cache.sha256(file) == hashlib.sha256(b"bbbb").hexdigest() != first
    entries = json.loads((tmp_path / "s" / "hashes.json").read_text())["known"]
    assert len(entries) == 1, "the stale entry of the same path is dropped"


def test_two_caches_of_one_store_keep_each_others_entries(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"a")
    b.write_bytes(b"b")
    one, two = HashCache(Store(tmp_path / "s")), HashCache(Store(tmp_path / "s"))
    one.sha256(a)
    two.sha256(b)
    assert len(json.loads((tmp_path / "s" / "hashes.json").read_text())["known"]) == 2


def test_a_damaged_cache_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "hashes.json").write_bytes(b"{half")
    file = tmp_path / "a"
    file.write_bytes(b"a")
    assert HashCache(Store(tmp_path / "s")).sha256(file) == hashlib.sha256(b"a").hexdigest()


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HashCache(Store(tmp_path / "s")).sha256(tmp_path / "none")


def test_one_unreadable_file_does_not_lose_the_hashes_of_the_others(tmp_path: Path, monkeypatch) -> None:
    files = [tmp_path / f"{i}.png" for i in range(30)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]))
    real = hashing.sha256_of

    def broken(path: Path) -> str:
        if path.name == "29.png":
            raise OSError(5, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(hashing, "sha256_of", broken)
    with pytest.raises(OSError, match="Input/output"):
        HashCache(Store(tmp_path / "s")).sha256_many(files)
    assert len(json.loads((tmp_path / "s" / "hashes.json").read_text())["known"]) == 29
