"""BibTeX of what a run used, and the same references as plain lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..results import RunInfo

_START = re.compile(r"@(\w+)\s*\{\s*([^,\s{}]+)\s*,")
_FIELD = re.compile(r"([A-Za-z]+)\s*=\s*")


def bibtex(info: RunInfo) -> str:
    """Entries of every encoder and data set used, each key once; the first text of a key stands."""
    return (
        "\n\n".join(entries([*(e.citation for e in info.encoders), *(d.citation for d in info.datasets)]))
        + "\n"
    )


def entries(texts: Iterable[str]) -> list[str]:
    """The BibTeX entries in `texts`, each key once. Text without a key is kept as it is."""
    found: dict[str, str] = {}
    for text in texts:
        for entry in re.split(r"\n(?=\s*@\w+\s*\{)", text.strip()):
            if entry.strip():
                start = _START.match(entry.strip())
                found.setdefault(start[2].casefold() if start else entry.strip(), entry.strip())
    return list(found.values())


def plain_reference(entry: str) -> str:
    """One entry as a line for a list of references: authors, title, where and when."""
    fields = _fields(entry)
    if "title" not in fields:
        return " ".join(entry.split())
    people = [" ".join(reversed(p.split(", ", 1))) for p in fields.get("author", "").split(" and ") if p]
    people = ["et al." if p == "others" else p for p in people]
    shown = people if len(people) <= 6 else [*people[:6], "et al."]
    where = (
        fields.get("journal")
        or fields.get("booktitle")
        or fields.get("howpublished")
        or fields.get("note", "")
    )
    volume = fields.get("volume", "")
    pages = fields.get("pages", "").replace("--", "-")
    numbers = volume + (f":{pages}" if volume and pages else pages)
    source = " ".join(x for x in (where, fields.get("year", "")) if x) + (f";{numbers}" if numbers else "")
    doi = f"doi:{fields['doi']}" if "doi" in fields else ""
    parts = (", ".join(shown), fields["title"], source, doi)
    return ". ".join(p.rstrip(".") for p in parts if p) + "."


def _fields(entry: str) -> dict[str, str]:
    """Fields by lower-case name; values without their outer braces or quotes and without inner braces."""
    found: dict[str, str] = {}
    at = 0
    while match := _FIELD.search(entry, at):
        value, at = _value(entry, match.end())
        found.setdefault(match[1].lower(), " ".join(re.sub(r"[{}]|\\(?=[_&%#$])", "", value).split()))
    return found


def _value(entry: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, and where it ends."""
    opening = entry[start : start + 1]
    if opening == '"':
        end = entry.find('"', start + 1)
        return (entry[start + 1 : end], end + 1) if end > 0 else (entry[start + 1 :], len(entry))
    if opening != "{":
        bare = re.match(r"[^,}\s]*", entry[start:])
        return (bare[0], start + bare.end()) if bare else ("", start)
    depth = 0
    for at in range(start, len(entry)):
        depth += {"{": 1, "}": -1}.get(entry[at], 0)
        if depth == 0:
            return entry[start + 1 : at], at + 1
    return entry[start + 1 :], len(entry)
