"""Claims: one holder at a time, freed by death, and a message that names the holder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchbench.claims import claim, claims, holder, is_claimed
from benchbench.hashing import HashCache
from benchbench.store import Store

HOLD = """
import sys, time
from pathlib import Path
from benchbench.claims import claim
from benchbench.store import Store
with claim(Store(Path(sys.argv[1])), "key"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_claim_fails_while_the_first_is_held_and_names_the_holder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with claim(store, "key", wait=False) as first, claim(store, "key", wait=False) as second:
        assert first
        assert not second
        assert f"process {os.getpid()}" in holder(store, "key")
    with claim(store, "key", wait=False) as again:
        assert again


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with claim(store, "key", wait=False) as ours:
        assert not ours
    process.send_signal(signal.SIGKILL)
    process.wait()
    with claim(store, "key", wait=False) as ours:
        assert ours


def test_where_nothing_may_be_written_work_goes_on_without_a_claim(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, so that no folder can be made here")
    with claim(Store(tmp_path / "store"), "key") as ours:
        assert ours


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_flock")
def test_where_locks_are_refused_work_goes_on_and_no_marker_can_outlive_its_holder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with claim(store, "key", wait=False) as first, claim(store, "key", wait=False) as second:
        assert first
        assert second
        assert not is_claimed(store, "key")


@pytest.mark.usefixtures("no_flock")
def test_where_locks_are_refused_file_hashes_are_remembered_all_the_same(tmp_path: Path) -> None:
    file, store = tmp_path / "a", Store(tmp_path / "s")
    file.write_bytes(b"a")
    # A marker that a killed process has left must not be waited for.
    store.root.mkdir()
    (store.root / "hashes.json.lock").write_text(f"{os.getppid()}\n{socket.gethostname()}\n")
    HashCache(store).sha256(file)
    assert (store.root / "hashes.json").is_file()


def test_several_claims_are_held_at_once_and_name_whom_they_wait_for(tmp_path: Path) -> None:
    store, waited = Store(tmp_path), []
    with claims(store, ["b", "a"], waited.append):
        assert is_claimed(store, "a")
        assert is_claimed(store, "b")
    assert not is_claimed(store, "a")
    assert waited == []
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()

    def waiting(who: str) -> None:
        waited.append(who)
        process.kill()

    with claims(store, ["key"], waiting):
        assert waited == [f"process {process.pid} on {socket.gethostname()} since {waited[0].split()[-1]}"]
    process.wait()
