"""Reading dataset folders as they are really distributed; for every dataset plugin, first-party or not.

The problems are collected and reported together: a person who must mend a folder wants the whole list.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..errors import DataError

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm"})
_NOT_LABELLED = frozenset({"", "nan", "na", "n/a", "none"})
_FULL, _DEEPEST = 2, 4  # levels below the dataset's folder that are searched in full, and at all
_FEW = 4  # folders within one that may still be a wrapper; patients and classes are more
LISTED = 20  # problems printed in full; the rest is counted


class FileFaults(DataError):
    """Rows and files that are wrong, each on a line of `details`; the folder itself could be read."""


class Problems:
    """Faults found while a folder is read; `stop` raises them all in one error."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Note one fault."""
        self.lines.append(line)

    def stop(self, what: str = "", fix: str = "", where: str = "") -> None:
        """Raise `FileFaults` if anything was noted."""
        if self.lines:
            raise FileFaults(
                what or f"{self.dataset}: {len(self.lines)} problem(s) in the files.",
                where=where,
                details=self.lines,
                fix=fix
                or f"compare the folder with the layout that `bench data how-to {self.dataset}` shows",
            )


def find_base(root: Path, wanted: Sequence[str], dataset: str) -> Path:
    """The folder at or below `root` that holds every path in `wanted` (``a|b`` means one of them).

    Archives and mirrors wrap a set in folders of many spellings, so the folder itself is tried, then those below,
    nearest first. Names compare without regard to case and ``%20``.
    """
    tried: list[tuple[int, Path]] = []
    for base in _nearest_first(root):
        found = sum(any(find_entry(base, p) for p in alternatives.split("|")) for alternatives in wanted)
        if found == len(wanted):
            return base
        tried.append((found, base))
    most, best = max(tried, key=lambda t: t[0])
    missing = [a for a in wanted if not any(find_entry(best, p) for p in a.split("|"))]
    cause = (
        "a download may be unfinished" if most else f"it may lie deeper than {_DEEPEST} folders: move it up"
    )
    raise DataError(
        f"{dataset}: the folder does not hold what it should.",
        where=str(best),
        details=[f"not found: {m.replace('|', ' or ')}" for m in missing],
        fix=f"`bench data how-to {dataset}` shows the layout and how to get the files; {cause}",
    )


def _nearest_first(root: Path) -> Iterator[Path]:
    """`root` and the folders below it, level by level; far down only along folders that hold few others."""
    level = [root]
    for depth in range(_DEEPEST + 1):
        yield from level
        below = [_folders(f) for f in level]
        level = [f for inner in below if depth < _FULL or len(inner) <= _FEW for f in inner]


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX"))]
    return [folder / name for name in sorted(names)]


def find_entry(base: Path, relative: str) -> Path | None:
    """`base/relative` whatever the spelling of upper and lower case, ``%20`` and blanks at the ends; else None."""
    current = base
    for piece in PurePosixPath(relative).parts:
        exact = current / piece
        if exact.exists():
            current = exact
            continue
        if not current.is_dir():
            return None
        wanted = _plain(piece)
        found = sorted(p for p in current.iterdir() if _plain(p.name) == wanted)
        if not found:
            return None
        current = found[0]
    return current


def _plain(name: str) -> str:
    return _stem_key(unquote(name).strip())


def _stem_key(name: str) -> str:
    """A name without regard to case and to how accents are stored: some systems take letters apart, others do not."""
    return unicodedata.normalize("NFC", name).casefold()


def content(folder: Path, most: int = 8) -> str:
    """What a folder holds, for a message."""
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir()) if folder.is_dir() else []
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more]) or "nothing"


def image_files(folder: Path) -> dict[str, Path]:
    """Image files directly in `folder`, by lower-case stem; only the last suffix is taken off (``x..JPG``: ``x.``).

    Raises:
        DataError: files that differ only in suffix or case (``1.png``, ``1.jpg``); a label could mean either.
    """
    found: dict[str, Path] = {}
    clashes = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            first = found.setdefault(_stem_key(path.stem), path)
            if first is not path:
                clashes.append(f"{first.name} and {path.name}")
    if clashes:
        raise DataError(
            f"{len(clashes)} image(s) are there twice under one name, so a label could mean either file.",
            where=str(folder),
            details=clashes[:LISTED],
            fix="keep one file of each pair",
        )
    return found


def find_image(files: Mapping[str, Path], name: str) -> Path | None:
    """The file that a label table means by `name`: with or without suffix, in any case."""
    path = PurePosixPath(name.strip())
    if path.suffix.lower() in IMAGE_SUFFIXES and _stem_key(path.stem) in files:
        return files[_stem_key(path.stem)]
    return files.get(_stem_key(path.name))


def read_table(
    path: Path, required: Iterable[str] = (), dataset: str = "", separator: str = ""
) -> pd.DataFrame:
    """A label file as text cells: BOM, CRLF and ``;`` are understood, names are stripped, empty columns dropped.

    Raises:
        DataError: the file is missing, is not a table, or lacks one of the `required` columns.
    """
    return numbered_table(path, required, dataset, separator)[0]


def numbered_table(
    path: Path, required: Iterable[str] = (), dataset: str = "", separator: str = ""
) -> tuple[pd.DataFrame, list[int]]:
    """`read_table`, and the line of the file on which each row ends, counted from 1."""
    import pandas as pd

    if not path.is_file():
        raise DataError(
            f"{dataset}: the label file is missing.",
            where=str(path),
            fix=f"`bench data how-to {dataset}` says where it comes from; labels are never guessed",
        )
    try:
        found = list(_rows(_decode(path.read_bytes()), separator))
    except csv.Error as error:
        raise DataError(
            f"{dataset}: the label file is not a table: {error}.",
            where=str(path),
            fix="look for a quotation mark that is not closed, or download the file again",
        ) from error
    lines, rows = [n for n, _ in found], [r for _, r in found]
    if not rows:
        raise DataError(f"{dataset}: the label file is empty.", where=str(path), fix="download it again")
    header = [h.strip() for h in rows[0]]
    keep = [i for i, h in enumerate(header) if h and not h.startswith("Unnamed:")]
    twice = [c for c in required if header.count(c) > 1]
    cells = [[r[i].strip() if i < len(r) else "" for i in keep] for r in rows[1:]]
    frame = pd.DataFrame(cells, columns=[header[i] for i in keep], dtype=object)
    lacking = [c for c in required if c not in frame.columns]
    if lacking or twice:
        fault = f"lacks the column(s) {', '.join(lacking)}" if lacking else f"has {', '.join(twice)} twice"
        raise DataError(
            f"{dataset}: the label file {fault}.",
            where=str(path),
            details=[f"it has: {', '.join(frame.columns)}"],
            fix=f"compare it with `bench data how-to {dataset}`",
        )
    if frame.empty:
        raise DataError(
            f"{dataset}: the label file has a header and no row.",
            where=str(path),
            fix="download it again; it may have been cut short",
        )
    return frame, lines[1:]


def table_header(path: Path) -> list[str]:
    """Column names of a label file, read from its first 64 kB; the same encodings as `read_table`."""
    with path.open("rb") as stream:
        rows = _rows(_decode(stream.read(65536)), "")
    return [h.strip() for h in next(rows, (0, []))[1]]


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank; a first line ``sep=;``, as Excel writes it, gives the separator."""
    told = re.match(r"\s*\"?sep=([^\r\n])\"?[,;\t]*\r?\n", text, re.IGNORECASE)
    skipped = text[: told.end()].count("\n") if told else 0
    body = text[told.end() :] if told else text
    separator = separator or (told[1] if told else _separator(body))
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num + skipped, row


def _decode(raw: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("cp1252", errors="replace")


def _separator(text: str) -> str:
    first = text.lstrip().split("\n", 1)[0]
    return max(",;\t", key=first.count)


def report_rowless(
    files: Mapping[str, Path], named: Collection[Path], table: Path, problems: Problems
) -> None:
    """Note every file of `image_files` that no row of a label table named: a table cut short, or a wrong one."""
    for path in files.values():
        if path not in named:
            problems.add(f"{path.parent.name}/{path.name} has no row in {table.name}")


def whole_number(cell: str, problems: Problems, where: str) -> str:
    """An identifier that a spreadsheet may have turned into ``12.0``, as ``12``; anything else is a problem."""
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not value.is_integer():
        problems.add(f"{where}: {cell!r} is not a whole number")
        return ""
    return str(int(value))


def code(cell: str, allowed: Mapping[str, float] | int, problems: Problems, where: str) -> float:
    """A class code from a cell: a number below `allowed`, or a word of the mapping; empty is NaN.

    The mapping is asked first, so that ``none`` can be a class. Anything else is a problem and never a class.
    """
    text = str(cell).strip()
    if not isinstance(allowed, int):
        for word, number in allowed.items():
            if word.casefold() == text.casefold():
                return float(number)
    if text.casefold() in _NOT_LABELLED:
        return float("nan")
    if not isinstance(allowed, int):
        problems.add(f"{where}: {text!r} is none of {', '.join(allowed)}")
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value.is_integer() or not 0 <= value < allowed:
        problems.add(f"{where}: {text!r} is not a whole number from 0 to {allowed - 1}")
        return float("nan")
    return value


def table(records: Sequence[Mapping[str, object]], labels: Sequence[str]) -> pd.DataFrame:
    """Records to the contract's table, with the columns that a plugin left out filled in."""
    import pandas as pd

    frame = pd.DataFrame.from_records([dict(r) for r in records])
    for column in ("image_id", "path", "patient_id", "eye", "split"):
        if column not in frame.columns:
            frame[column] = ""
        frame[column] = frame[column].astype(str).astype(object)
    for column in labels:
        if column not in frame.columns:
            frame[column] = float("nan")
        frame[column] = frame[column].astype("float64")
    return frame
