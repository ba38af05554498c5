"""What a column of somebody's own table may be: the images, the patients, a split, classes, or none of these.

A table made by hand says in many ways what it means. What is not certain is said and not decided: a column that is
left alone has its reason, which `bench data verify` prints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 40
NAMES: Mapping[str, tuple[str, ...]] = {
    # column: further headers that mean the same, compared without case, blanks and signs
    "image": ("filename", "imagename", "imageid", "imagefile", "file"),
    "patient": (
        "patientid",
        "patientno",
        "patientnumber",
        "patientnr",
        "patid",
        "pid",
        "mrn",
        "subject",
        "subjectid",
        "participant",
        "participantid",
        "caseid",
        "case",
        "fallnr",
    ),
    "eye": ("laterality",),
    "split": ("partition", "subset", "set", "fold", "datasplit"),
}
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
EYES = {
    **dict.fromkeys(("od", "r", "re", "right", "righteye"), "OD"),
    **dict.fromkeys(("os", "l", "le", "left", "lefteye"), "OS"),
    "": "",
}
_EMPTY = frozenset(
    {
        "",
        "nan",
        "na",
        "n/a",
        "<na>",
        "#n/a",
        "#na",
        "null",
        "#null!",
        "?",
        "missing",
        ".",
        "-",
        "--",
        "–",
        "—",
    }
)
_NEGATIVE = frozenset(
    {
        "no",
        "n",
        "normal",
        "healthy",
        "negative",
        "negativ",
        "neg",
        "false",
        "control",
        "absent",
        "none",
        "nein",
        "non-referable",
        "-",
    }
)
_DENIAL = re.compile(r"(no|non|not|nein|healthy|normal|without)(?![a-z])|-(?!\d)")
_CAMEL = re.compile(r"(No|Non|Not)(?=[A-Z])")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}([ T]\d.*)?")
_NUMBERED = re.compile(r"[^\W\d_]{1,10}[-_ ]?\d+")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_KEYS = frozenset({"id", "uid", "nr", "no", "number", "key", "identifier", "mrn"})
_FEW_KEYS = 10  # as many grades have been seen; that many identifiers would be a very small set


@dataclass(frozen=True)
class Labels:
    """What a column says of the images."""

    classes: tuple[str, ...]
    """Class names in code order; empty where the column is no task."""
    why: str = ""
    """Why it is no task."""
    numbers: bool = False
    """Whether the classes are numbers, whose order is known."""
    doubt: str = ""
    """What a person should look at although the column is a task."""


def column_of(name: str, frame: pd.DataFrame) -> str:
    """The header that stands for `name`: the name itself, else one of its other spellings, else empty.

    A column ``split`` under another header must hold a word of a split, and ``case`` more than two values: case or
    control is a label. Under any header, a column of nothing but such words, ``train`` and ``test`` among them, is
    the split.
    """
    for wanted in (name, *NAMES[name]):
        for column in dict.fromkeys(frame.columns):
            if bare(column) != wanted or _means_something_else(name, wanted, frame[column]):
                continue
            return str(column)
    if name == "split":
        for column in dict.fromkeys(frame.columns):
            words = _words(frame[column])
            if words <= set(SPLITS) and {"train", "test"} <= {SPLITS[w] for w in words}:
                return str(column)
    return ""


def _means_something_else(name: str, header: str, values: pd.Series | pd.DataFrame) -> bool:
    if header == "case":
        return len(_words(values)) <= 2
    return name == "split" and header != "split" and not _words(values) & set(SPLITS)


def _words(values: pd.Series | pd.DataFrame) -> set[str]:
    """The different cells in lower case; none of two columns of one name, which are refused elsewhere."""
    return set() if values.ndim == 2 else {str(v).casefold() for v in values if v}


def image_column(header: Iterable[str]) -> str:
    """The header of the column of images, or empty."""
    found = {bare(h): h for h in header}
    return next((found[n] for n in ("image", *NAMES["image"]) if n in found), "")


def bare(header: str) -> str:
    """A header without case, blanks and signs."""
    return "".join(c for c in header.casefold() if c.isalnum())


def read_labels(column: str, values: Sequence[str]) -> Labels:
    """The classes of a column, in code order: numbers ascending; words by the alphabet, negative-sounding ones first.

    Neither upper case nor the order of the rows matters; words that differ in case are one class, spelled as it comes
    first. `Labels.why` says what keeps a column from being a task.
    """
    words: dict[str, str] = {}
    for value in values:
        words.setdefault(tidy(value).casefold(), tidy(value))
    found = [w for key, w in words.items() if not is_empty(key, words)]
    numbers = [w for w in found if is_number(w)]
    others = [w for w in found if not is_number(w)]
    if numbers and all(w.casefold() == "none" for w in others):  # beside numbers it means "not labelled"
        found, others = numbers, []
    why = _why_not(column, found, numbers, others)
    if why:
        return Labels((), why)
    if not others:
        return Labels(tuple(sorted(numbers, key=float)), numbers=True)
    doubt = ""
    if len(numbers) > 1 and len(others) <= 2:
        doubt = (
            f"{' and '.join(map(repr, others))} beside numbers became a class of {column!r}; "
            "if it means that a label is missing, leave these cells empty"
        )
    return Labels(tuple(sorted(found, key=lambda w: _rank(w, found))), doubt=doubt)


def _why_not(column: str, found: Sequence[str], numbers: Sequence[str], others: Sequence[str]) -> str:
    """Why a column with these different values is no task; empty if it is one."""
    if not found:
        return "it is empty"
    if "/" in column:
        return "the name of a task has no slash; rename the column"
    if len(found) == 1:
        return f"every label is {found[0]!r}, and a task needs two classes"
    if sum(bool(_DATE.fullmatch(w)) for w in found) > len(found) / 2:
        return "its values look like dates"
    keys = _last_word(column) in _KEYS or all(_NUMBERED.fullmatch(w) for w in found)
    if len(found) > _FEW_KEYS and keys:
        return "its values look like identifiers"
    fractions = [w for w in numbers if not float(w).is_integer()]
    fractions += [w for w in others if _DECIMAL_COMMA.fullmatch(w)]
    if fractions and all(w in fractions for w in others):
        return f"measurements such as {fractions[0]} are no classes; grades made from them would be"
    strange = [w for w in numbers if not 0 <= float(w) < MAX_CLASSES]
    if strange and not others:
        return f"{strange[0]} is no class: as numbers, classes are 0 to {MAX_CLASSES - 1}"
    if len(found) > MAX_CLASSES:
        return f"a task has at most {MAX_CLASSES} classes"
    return ""


def _last_word(header: str) -> str:
    """The last word of a header, also of ``StudyID`` and ``Fall-Nr``, in lower case."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", header)
    return words[-1].casefold() if words else ""


def _rank(word: str, all_words: Sequence[str]) -> tuple[int, str]:
    """Sorts negative-sounding words first, and then by the alphabet."""
    text = word.casefold()
    if text in _NEGATIVE:
        return 0, text
    denied = _DENIAL.match(text) or _CAMEL.match(word)
    denies = any(
        bare(text) in (f"no{bare(w)}", f"non{bare(w)}", f"not{bare(w)}") for w in all_words if bare(w)
    )
    return (1 if denied or denies else 2), text


def is_empty(text: str, words: Iterable[str]) -> bool:
    """Whether a cell (in lower case) says that there is no label; ``-`` says it only where no cell is ``+``."""
    return text in _EMPTY and not (text == "-" and "+" in words)


def label_text(cell: object, allowed: Mapping[str, float]) -> str:
    """A cell as the name or code of a class that `allowed` may hold; empty where it says that there is no label."""
    text = tidy(cell)
    return "" if is_empty(text.casefold(), ()) and text not in allowed else text


def is_number(text: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def tidy(cell: object) -> str:
    """A cell as text, with ``1.0`` as ``1``."""
    text = str(cell).strip()
    return format(float(text), ".15g") if is_number(text) else text


def codes(classes: tuple[str, ...]) -> Mapping[str, float]:
    """Cell -> class code. A table may hold the names of the classes, or the codes of classes with names."""
    numbers = {} if any(map(is_number, classes)) else {str(k): float(k) for k in range(len(classes))}
    return {name: float(k) for k, name in enumerate(classes)} | numbers


def may_tell_patients_apart(values: Sequence[str]) -> bool:
    """Whether the values of a column that is no task mostly come several times, as those of a patient do."""
    there = [v for v in values if v]
    return len(there) > 2 and 2 < len(set(there)) <= 0.7 * len(there)
