"""Reading files that a stranger wrote.

Sizes are checked before contents, names before anything is opened, and nothing is executed or unpacked to disk.
Everything after this module works on bytes that are known to be small and to belong to a known file name.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BenchError

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How large a submission may be, in bytes where nothing else is said."""

    files: int = 2000
    archive: int = 32 * MIB
    bundle: int = 64 * MIB
    json: int = 1 * MIB
    predictions: int = 4 * MIB
    json_depth: int = 12
    number_digits: int = 40


LIMITS = Limits()
JSON_FILES = ("submission.json", "cost.json", "environment.json")
PREDICTIONS_NAME = re.compile(r"predictions/[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.csv\.gz")
_ALLOWED = f"{', '.join(JSON_FILES)} and predictions/*.csv.gz"
_SHOWN_FAULTS = 25


class Refused(BenchError):
    """A submission that does not meet the rules; `details` holds every fault that was found."""

    def __init__(self, faults: Sequence[str], where: str = "") -> None:
        shown = list(faults[:_SHOWN_FAULTS])
        if len(faults) > len(shown):
            shown.append(f"... and {len(faults) - len(shown)} more")
        super().__init__(
            f"The submission is refused: {len(faults)} fault{'s' if len(faults) > 1 else ''}.",
            where=where,
            details=shown,
            fix="mend these and run bench validate again; the rules are in docs/reference/leaderboard.md",
        )
        self.faults = tuple(faults)


def shown(text: object, length: int = 60) -> str:
    """Foreign text for a message: quoted, without control characters, and not too long."""
    plain = str(text)
    return ascii(plain if len(plain) <= length else plain[:length] + "...")


_BLANKS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks that leave no ink, by their Unicode category though not by their look."""


def has_hidden_characters(text: str) -> bool:
    """Whether text holds characters that a reader cannot see, such as terminal codes or reversed writing."""
    coded = any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") and c not in "\n\t" for c in text)
    return coded or _BLANKS.search(text) is not None


# ------------------------------------------------------------------------------------------- files


def read_bundle(path: Path, limits: Limits = LIMITS) -> Mapping[str, bytes]:
    """The files of a submission, a folder or a zip archive, by name.

    Raises:
        Refused: a link, a name outside the folder, an unexpected file, or anything too large.
    """
    if path.is_symlink():
        raise Refused([f"{shown(path.name)} is a symbolic link"], str(path))
    if path.is_dir():
        return _read_folder(path, limits)
    if path.is_file():
        return _read_zip(path, limits)
    raise BenchError(
        f"There is no submission at {path}.",
        fix="give the folder that holds submission.json, or a zip archive of it",
    )


def _read_folder(root: Path, limits: Limits) -> Mapping[str, bytes]:
    faults: list[str] = []
    sizes: dict[str, int] = {}
    _list_folder(root, "", sizes, faults, limits)
    check_sizes(sizes, limits, faults, str(root))
    return {name: _read_file(root / name, size) for name, size in sizes.items()}


def _list_folder(folder: Path, prefix: str, sizes: dict[str, int], faults: list[str], limits: Limits) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if len(sizes) + len(faults) > limits.files:
                return
            if entry.is_symlink():
                faults.append(f"{shown(name)} is a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                if name == "predictions":
                    _list_folder(folder / entry.name, "predictions/", sizes, faults, limits)
                else:
                    faults.append(f"{shown(name)} is an unexpected folder: a submission holds {_ALLOWED}")
            elif not entry.is_file(follow_symlinks=False):
                faults.append(f"{shown(name)} is not a plain file")
            else:
                sizes[name] = entry.stat(follow_symlinks=False).st_size


def _read_file(path: Path, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise Refused([f"{shown(path.name)} is not a plain file"], str(path.parent))
        data = stream.read(size + 1)
    if len(data) > size:
        raise Refused([f"{shown(path.name)} grew while it was read"], str(path.parent))
    return data


def _read_zip(path: Path, limits: Limits) -> Mapping[str, bytes]:
    if path.stat().st_size > limits.archive:
        raise Refused([f"the archive has more than {_mib(limits.archive)}"], str(path))
    _check_directory(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(archive, path, limits)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise Refused([f"the archive cannot be read: {shown(error, 120)}"], str(path)) from error


_END = b"PK\x05\x06"
_END_SIZE = 22
_LONGEST_COMMENT = 65535
_ENTRY = 46 + 1024
"""Bytes of a directory entry with a generous name."""


def _check_directory(path: Path, limits: Limits) -> None:
    """Refuse an archive whose list of files is too long before the list is read: every entry costs memory."""
    with path.open("rb") as stream:
        stream.seek(-min(path.stat().st_size, _END_SIZE + _LONGEST_COMMENT), os.SEEK_END)
        tail = stream.read()
    at = len(tail) - _END_SIZE
    if tail[at : at + 4] != _END or tail[-2:] != b"\0\0":  # with a comment the record lies further ahead
        at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        return  # no archive, which is found on reading it
    entries, length = struct.unpack_from("<HL", tail, at + 10)
    if (
        entries > limits.files
        or length > limits.files * _ENTRY
        or b"PK\x06\x07" in tail[max(at - 20, 0) : at]
    ):
        raise Refused([f"the archive holds more than {limits.files} files"], str(path))


def _read_members(archive: zipfile.ZipFile, path: Path, limits: Limits) -> Mapping[str, bytes]:
    faults: list[str] = []
    sizes: dict[str, int] = {}
    if len(archive.infolist()) > limits.files:
        raise Refused([f"the archive holds more than {limits.files} files"], str(path))
    prefix = _wrapping_folder([m.filename for m in archive.infolist()])
    for member in archive.infolist():
        name = member.filename.removeprefix(prefix)
        fault = _member_fault(member)
        if fault:
            faults.append(fault)
        elif member.is_dir() and name in ("", "predictions/"):
            continue
        elif name in sizes:
            faults.append(f"{shown(name)} is in the archive twice")
        else:
            sizes[name] = member.file_size
    check_sizes(sizes, limits, faults, str(path))
    return {name: _read_member(archive, prefix + name, size, path) for name, size in sizes.items()}


def _wrapping_folder(names: Sequence[str]) -> str:
    """``folder/`` where an archive holds the submission within one folder, as many programs pack it; else nothing."""
    first = {name.partition("/")[0] for name in names}
    prefix = f"{first.pop()}/" if len(first) == 1 else ""
    return prefix if f"{prefix}submission.json" in names else ""


def _member_fault(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if name.startswith(("/", "\\")) or "\\" in name or ":" in name or ".." in name.split("/"):
        return f"{shown(name)} points outside the submission's folder"
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
        return f"{shown(name)} is {kind}"
    if member.flag_bits & 0x1:
        return f"{shown(name)} is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{shown(name)} is compressed by a method other than deflate"
    return ""


def _read_member(archive: zipfile.ZipFile, name: str, size: int, path: Path) -> bytes:
    with archive.open(name) as stream:  # the declared size may be a lie, so never read more than that
        data = stream.read(size + 1)
    if len(data) > size:
        raise Refused([f"{shown(name)} expands to more than the archive declares"], str(path))
    return data


def check_sizes(
    sizes: Mapping[str, int], limits: Limits = LIMITS, found: Sequence[str] = (), where: str = ""
) -> None:
    """Refuse files that do not belong to a submission, or that are too large.

    Args:
        sizes: Bytes by name within the submission.
        limits: How large it may be.
        found: Faults that are known already and are refused together with these.
        where: Where the files are, for the message.

    Raises:
        Refused: every fault, those of `found` first.
    """
    faults = list(found)
    for name, size in sizes.items():
        if name in JSON_FILES:
            allowed = limits.json
        elif PREDICTIONS_NAME.fullmatch(name):
            allowed = limits.predictions
        else:
            faults.append(f"{shown(name)} is an unexpected file: a submission holds {_ALLOWED}")
            continue
        if size > allowed:
            faults.append(f"{shown(name)} has {size} bytes; {_mib(allowed)} are allowed")
    if len(sizes) + len(faults) > limits.files:
        faults.append(f"there are more than {limits.files} files")
    if sum(sizes.values()) > limits.bundle:
        faults.append(f"the files have more than {_mib(limits.bundle)} together")
    if faults:
        raise Refused(faults, where)


def _mib(size: int) -> str:
    return f"{size / MIB:g} MiB"


# ------------------------------------------------------------------------------------------- contents


def gunzip(data: bytes, name: str, limit: int) -> bytes:
    """The content of a gzip file of one member, at most `limit` bytes."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        content = inflate.decompress(data, limit + 1)
    except zlib.error as error:
        raise Refused([f"{name} is not a gzip file: {shown(error)}"]) from error
    if len(content) > limit:
        raise Refused([f"{name} expands to more than the {limit} bytes that its spec needs"])
    if not inflate.eof:
        raise Refused([f"{name} is cut short"])
    if inflate.unused_data:
        raise Refused([f"{name} holds bytes after its end"])
    return content


def parse_json(data: bytes, name: str, limits: Limits = LIMITS) -> Any:
    """JSON without duplicate keys, NaN, infinities, enormous numbers or deep nesting."""
    if len(data) > limits.json:
        raise Refused([f"{name} has {len(data)} bytes; {_mib(limits.json)} are allowed"])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused([f"{name} is not UTF-8 text: {error.reason} at byte {error.start}"]) from error
    depth = _depth(text)
    if depth > limits.json_depth:
        raise Refused([f"{name} is nested more than {limits.json_depth} levels deep"])

    def number(digits: str) -> int | float:
        if len(digits) > limits.number_digits:
            raise ValueError(f"a number has {len(digits)} digits")
        value = int(digits) if digits.lstrip("-").isdigit() else float(digits)
        if abs(value) > 1e300:
            raise ValueError("a number is too large")
        return value

    def constant(word: str) -> None:
        raise ValueError(f"{word} is not a number")

    try:
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_int=number,
            parse_float=number,
            parse_constant=constant,
        )
    except (ValueError, RecursionError) as error:
        raise Refused([f"{name} is not valid JSON: {shown(error, 120)}"]) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        repeated = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(repeated)} occurs twice")
    return found


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside strings; linear in the text, whatever it holds."""
    deepest = level = 0
    inside = escaped = False
    for c in text:
        if inside:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                inside = False
        elif c == '"':
            inside = True
        elif c in "[{":
            level += 1
            deepest = max(deepest, level)
        elif c in "]}":
            level -= 1
    return deepest


_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")


def parse_scores(data: bytes, name: str, images: Sequence[str], width: int) -> Any:
    """Scores of a predictions file in the order of `images`, (n, width) float64.

    Raises:
        Refused: with up to ten faults of the file, each naming its line.
    """
    import numpy as np

    header = ["image", *score_columns(width)]
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Refused([f"{name} holds bytes that are not plain ASCII, at byte {error.start}"]) from error
    if lines and lines[-1] == "":
        lines.pop()
    if not lines or lines[0].rstrip("\r").split(",") != header:
        found = shown(lines[0]) if lines else "nothing"
        raise Refused([f"{name} begins with {found}; its columns must be {','.join(header)}"])
    position = {image: i for i, image in enumerate(images)}
    scores = np.full((len(images), width), np.nan)
    faults: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], start=2):
        fault = _read_line(line.rstrip("\r").split(","), width, position, seen, scores)
        if fault:
            faults.append(f"{name}, line {number}: {fault}")
            if len(faults) == 10:
                raise Refused(faults)
    missing = [image for image in images if image not in seen]
    if missing:
        faults.append(
            f"{name}: {len(missing)} of {len(images)} test images have no row, for instance {missing[0]}"
        )
    if faults:
        raise Refused(faults)
    return scores


def score_columns(width: int) -> list[str]:
    """Names of the score columns: ``score``, or ``score_0``, ``score_1`` ... by class."""
    return ["score"] if width == 1 else [f"score_{k}" for k in range(width)]


def _read_line(cells: list[str], width: int, position: Mapping[str, int], seen: set[str], scores: Any) -> str:
    if len(cells) != width + 1:
        return f"{len(cells)} columns instead of {width + 1}"
    image, values = cells[0], cells[1:]
    if image not in position:
        return f"{shown(image)} is not a test image of the spec"
    if image in seen:
        return f"the image {image} has a second row"
    seen.add(image)
    for k, text in enumerate(values):
        if text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity", ""):
            return f"the score {shown(text)} is missing, NaN or infinite"
        if len(text) > LIMITS.number_digits or not _NUMBER.fullmatch(text):
            return f"the score {shown(text)} is not a plain number"
        value = float(text)
        if not -1e-6 <= value <= 1 + 1e-6:
            return f"the score {text} is not a probability between 0 and 1"
        scores[position[image], k] = value
    return ""
