"""The store: content-addressed files that survive a crash at any instant.

An artefact is a folder ``<root>/<kind>/<key[:2]>/<key>/`` whose files are described, with size and sha256, by a
``manifest.json`` written last, and get their name in one rename. A folder of that name whose manifest cannot be read,
names no files, or belongs to another key is corrupt: it is moved to quarantine and said. Keys are hashes over
canonical JSON of everything that can change the content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import StoreError

log = logging.getLogger("benchbench")
STORE_VARIABLE = "BENCHBENCH_STORE"
KINDS = ("prepared", "embeddings", "predictions", "cost", "deviation")
MANIFEST = "manifest.json"
ALWAYS_HASHED = 2**22
"""Artefacts below this many bytes are hashed at every look, which costs milliseconds."""


def default_root() -> Path:
    """The store's folder: $BENCHBENCH_STORE, else the user's cache folder."""
    if os.environ.get(STORE_VARIABLE):
        return Path(os.environ[STORE_VARIABLE]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchbench"


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no blanks, no NaN; the only input of keys and cell ids."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def content_key(value: Any) -> str:
    """Hex key (32 characters) of a JSON-like value."""
    return hashlib.sha256(canonical(value)).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names no file by itself
        raise
    sync_folder(path.parent)


def _umask() -> int:
    """The user's file mode mask: temporary files are made private, results must be as readable as any other."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    with contextlib.suppress(OSError):  # some network file systems refuse fsync on folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class FileRecord:
    """Size, checksum and last verified modification time of one file of an artefact."""

    bytes: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True)
class Artefact:
    """One complete entry of the store."""

    kind: str
    key: str
    folder: Path
    identity: Mapping[str, Any]
    """What the key was computed from."""
    files: Mapping[str, FileRecord]
    created: str
    seconds: float

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(f.bytes for f in self.files.values())

    def fault(self, name: str) -> str:
        """What is wrong with a file, or an empty string; hashed once in the life of a process."""
        found = _stat_fault(self, name)
        if found or (seen := _seen(self.folder / name)) in _sound:
            return found
        with _being_hashed[self.folder / name]:  # threads that read ahead want the same file at the same time
            if seen not in _sound and sha256_of(self.folder / name) != self.files[name].sha256:
                return f"{name} does not have the checksum it was written with"
            _sound.add(seen)
        return ""

    def sound(self, name: str) -> Path:
        """Path of a file that has the bytes it was written with.

        Raises:
            StoreError: it has not, or is missing.
        """
        if fault := self.fault(name):
            raise StoreError(
                f"A file of the store is damaged: {fault}.",
                where=str(self.folder / name),
                fix="bench cache verify moves it aside; the same command then computes it again",
            )
        return self.folder / name


class Store:
    """Content-addressed files below one root."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_root()).absolute()

    def folder(self, kind: str, key: str) -> Path:
        """Where the artefact lives, whether or not it exists."""
        return self.root / kind / key[:2] / key

    def scratch(self, key: str) -> Path:
        """A folder for unfinished work on `key`; survives a kill, removed on publication."""
        folder = self.root / "scratch" / key[:2] / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def find(self, kind: str, key: str) -> Artefact | None:
        """The artefact, if it is complete and its files are what the manifest says; else None.

        Small artefacts are hashed every time, large ones where a file changed since it was written; a corrupt
        artefact is moved to quarantine, so that it is computed anew. The files of large ones are hashed when they
        are first opened (`Artefact.fault`).
        """
        folder = self.folder(kind, key)
        if not folder.exists():
            return None
        try:
            artefact = _read_manifest(kind, key, folder)
        except _BadManifest as error:
            self.set_aside(folder, f"{kind}-{key}", str(error))
            return None
        if fault := _first_fault(artefact, deep=artefact.bytes < ALWAYS_HASHED):
            self.quarantine(artefact, fault)
            return None
        return artefact

    def publish(
        self, kind: str, key: str, identity: Mapping[str, Any], write: Callable[[Path], None]
    ) -> Artefact:
        """Let `write(folder)` fill a new folder, then make it the artefact in one rename."""
        final = self.folder(kind, key)
        started = time.monotonic()
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{key}."))
            os.chmod(temporary, 0o777 & ~_umask())
        except OSError as error:
            raise unwritable(self.root, error) from error
        try:
            write(temporary)
            self._seal(temporary, identity, time.monotonic() - started)
            if final.exists():  # unfinished or corrupt leftovers; a complete one was found before
                existing = self.find(kind, key)
                if existing is not None:
                    shutil.rmtree(temporary)
                    return existing
                shutil.rmtree(final, ignore_errors=True)
            try:
                os.rename(temporary, final)
            except OSError:
                existing = self.find(kind, key)  # another process was faster with the same content
                if existing is None:
                    raise
                shutil.rmtree(temporary)
                return existing
            sync_folder(final.parent)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise unwritable(self.root, error) from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        try:
            return _read_manifest(kind, key, final)
        except _BadManifest as error:
            raise StoreError(
                f"An artefact cannot be read right after it was written: {error}.", where=str(final)
            ) from error

    @staticmethod
    def _seal(folder: Path, identity: Mapping[str, Any], seconds: float) -> None:
        files: dict[str, FileRecord] = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            stat = path.stat()
            files[path.relative_to(folder).as_posix()] = FileRecord(
                stat.st_size, sha256_of(path), stat.st_mtime_ns
            )
        manifest = {
            "identity": dict(identity),
            "files": {name: asdict(record) for name, record in files.items()},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(seconds, 6),
        }
        atomic_write(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())

    def quarantine(self, artefact: Artefact, fault: str) -> Path:
        """Move a corrupt artefact aside, with the reason beside it."""
        return self.set_aside(artefact.folder, f"{artefact.kind}-{artefact.key}", fault)

    def set_aside(self, path: Path, name: str, fault: str) -> Path:
        """Move a corrupt file or folder to quarantine, with the reason beside it; it will be computed again."""
        target = self.root / "quarantine" / f"{name}-{time.time_ns()}"
        moved = f"moved to {target}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
            atomic_write(target.with_name(f"{target.name}.reason.txt"), (fault + "\n").encode())
        except FileNotFoundError:
            pass  # another process has moved it
        except OSError as error:
            moved = f"it cannot be moved away ({error.strerror})"
        log.warning("%s is corrupt (%s): %s and computed again", path, fault, moved)
        return target

    def artefacts(self, kinds: tuple[str, ...] = KINDS) -> Iterator[Artefact]:
        """All complete artefacts."""
        for kind in kinds:
            for manifest in sorted((self.root / kind).glob(f"??/*/{MANIFEST}")):
                if not manifest.parent.name.startswith("."):
                    with contextlib.suppress(_BadManifest):
                        yield _read_manifest(kind, manifest.parent.name, manifest.parent)

    def verify(self) -> tuple[tuple[Artefact, str], ...]:
        """Hash every file of every artefact; returns those that are corrupt, with the fault."""
        faults: list[tuple[Artefact, str]] = []
        for kind in KINDS:
            for folder in sorted((self.root / kind).glob("??/[!.]*")):
                try:
                    _read_manifest(kind, folder.name, folder)
                except _BadManifest as error:
                    faults.append((Artefact(kind, folder.name, folder, {}, {}, "", 0.0), str(error)))
        for artefact in self.artefacts():
            fault = _first_fault(artefact, deep=True)
            if fault:
                faults.append((artefact, fault))
        return tuple(faults)

    def leftovers(self, older_than_s: float = 24 * 3600) -> tuple[Path, ...]:
        """Unfinished folders, scratch, shared plans and quarantine that nothing has touched for a while."""
        now = time.time()
        found: list[Path] = []
        for kind in KINDS:
            for folder in (self.root / kind).glob("??/*"):
                if folder.name.startswith(".") or not (folder / MANIFEST).is_file():
                    found.append(folder)
        for place in (
            "scratch/??/*",
            "quarantine/*",
            "plans/*",
            "simulated/.making-*",
            "unpacked/.unpacking.*",
        ):
            found.extend(self.root.glob(place))
        return tuple(p for p in found if now - _newest(p) > older_than_s)


def _newest(path: Path) -> float:
    """Time of the last change in a folder, seconds; whatever vanishes meanwhile does not count."""
    times = [0.0]
    for place in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            times.append(place.lstat().st_mtime)
    return max(times)


def unwritable(place: Path, error: OSError) -> StoreError:
    """The error for a store that cannot be written, with the free space of the disk that it lies on."""
    try:
        free = f" ({shutil.disk_usage(place).free / 1e6:,.0f} MB free on this disk)"
    except OSError:
        free = ""
    return StoreError(
        f"The store cannot be written: {error.strerror or error}.",
        where=f"{place}{free}",
        fix=f"free some space or choose another folder with {STORE_VARIABLE}=/path; "
        "finished work is kept, and the same command carries on",
    )


class _BadManifest(Exception):
    """Why a manifest cannot be believed."""


def _read_manifest(kind: str, key: str, folder: Path) -> Artefact:
    try:
        raw = json.loads((folder / MANIFEST).read_bytes())
        files = {name: FileRecord(**record) for name, record in raw["files"].items()}
        artefact = Artefact(kind, key, folder, raw["identity"], files, raw["created"], float(raw["seconds"]))
        owner = content_key(artefact.identity)
    except FileNotFoundError:
        raise _BadManifest("it has no manifest") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _BadManifest("its manifest cannot be read") from None
    if not files:
        raise _BadManifest("its manifest names no files")
    if owner != key:
        raise _BadManifest(f"it belongs to the key {owner}")
    return artefact


_sound: set[tuple[str, int, int, int]] = set()
"""Files that this process has hashed and found as they were written."""
_being_hashed: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_being_hashed.clear)  # threads that held a lock are not in the child


def _seen(path: Path) -> tuple[str, int, int, int]:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino


def _stat_fault(artefact: Artefact, name: str) -> str:
    record = artefact.files.get(name)
    if record is None:
        return f"{name} is not in the manifest"
    try:
        stat = (artefact.folder / name).stat()
    except OSError:
        return f"{name} is missing"
    if stat.st_size != record.bytes:
        return f"{name} has {stat.st_size} bytes instead of {record.bytes}"
    return ""


def _first_fault(artefact: Artefact, *, deep: bool) -> str:
    for name, record in artefact.files.items():
        if found := _stat_fault(artefact, name):
            return found
        path = artefact.folder / name
        if (deep or path.stat().st_mtime_ns != record.mtime_ns) and sha256_of(path) != record.sha256:
            return f"{name} does not have the checksum it was written with"
    return ""
