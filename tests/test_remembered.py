"""Facts that save time survive, are shared, and are not written more often than they are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchbench import remembered
from benchbench.remembered import Remembered
from benchbench.threads import in_threads


def numbers(path: Path, version: int = 1) -> Remembered:
    return Remembered(path, version, lambda key, value: isinstance(value, int))


def test_what_was_remembered_is_known_to_the_next_and_another_version_is_not(tmp_path: Path) -> None:
    first = numbers(tmp_path / "n.json")
    first.remember("a", 1)
    first.save()
    again = numbers(tmp_path / "n.json")
    assert "a" in again
    assert again["a"] == 1
    assert "a" not in numbers(tmp_path / "n.json", version=2)


def test_two_that_write_one_file_keep_what_the_other_wrote(tmp_path: Path) -> None:
    one, two = numbers(tmp_path / "n.json"), numbers(tmp_path / "n.json")
    assert "x" not in one  # both have read the file before either writes
    assert "x" not in two
    one.remember("a", 1)
    one.save()
    two.remember("b", 2)
    two.save()
    assert [numbers(tmp_path / "n.json")[k] for k in "ab"] == [1, 2]


@pytest.mark.parametrize(
    "content", [b"{half", b"[]", b'{"version": 1}', b'{"version": 1, "known": [1]}', b""]
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "n.json").write_bytes(content)
    again = numbers(tmp_path / "n.json")
    assert "a" not in again
    again.remember("a", 1)
    again.save()
    assert json.loads((tmp_path / "n.json").read_text())["known"] == {"a": 1}


def test_values_that_cannot_be_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"version": 1, "known": {"a": "one", "b": 2}}')
    found = numbers(tmp_path / "n.json")
    assert "a" not in found
    assert found["b"] == 2


def test_many_values_are_written_a_few_times_and_all_of_them_at_the_end(
    tmp_path: Path, monkeypatch: Any
) -> None:
    clock = [0.0]
    monkeypatch.setattr(remembered.time, "monotonic", lambda: clock[0])
    writes = []
    real = remembered.atomic_write

    def slow(path: Path, content: bytes) -> None:
        writes.append(path)
        clock[0] += 5  # what half a million entries take
        real(path, content)

    monkeypatch.setattr(remembered, "atomic_write", slow)
    memory = numbers(tmp_path / "n.json")
    for i in range(1000):
        clock[0] += 1
        memory.remember(str(i), i)
    memory.save()
    assert 1000 / (20 * 5) / 2 <= len(writes) <= 1 + 1000 / (20 * 5) + 1
    assert len(json.loads((tmp_path / "n.json").read_text())["known"]) == 1000
    before = len(writes)
    memory.save()
    assert len(writes) == before, "nothing new, nothing written"


def test_a_file_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "n.json").mkdir()
    memory = numbers(tmp_path / "n.json")
    memory.remember("a", 1)
    memory.save()
    assert memory["a"] == 1
    assert "cannot remember" in caplog.text


def test_threads_keep_the_order_and_stop_at_the_first_error() -> None:
    assert list(in_threads(lambda i: i * i, range(1000))) == [i * i for i in range(1000)]
    started = []

    def work(i: int) -> int:
        started.append(i)
        if i == 3:
            raise OSError("no")
        return i

    with pytest.raises(OSError, match="no"):
        list(in_threads(work, range(100_000)))
    assert len(started) < 1000


def test_threads_take_no_more_items_than_they_need_soon() -> None:
    taken = []
    results = in_threads(lambda i: i, (taken.append(i) or i for i in range(100_000)))
    assert next(results) == 0
    assert len(taken) < 1000
    results.close()
