"""YAML read safely, with the line of every key, so that an error can point at it.

Only plain data is read: no tags, no aliases (a short file with nested aliases can expand without bound), no
duplicate keys, and bounded size and depth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import SuiteError

MAX_BYTES = 200_000  # PyYAML takes up to 20 s for a megabyte; the longest shipped file has 3 kB
MAX_DEPTH = 32
_SHOWN = 80

_SURROGATE = re.compile("[\ud800-\udfff]")

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A YAML document and where its parts stand."""

    path: Path
    text: str
    value: Any
    lines: Mapping[Location, int]

    def where(self, location: Location) -> str:
        """``file:line`` of the innermost part of `location` that exists in the file."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.lines:
                return f"{self.path}:{self.lines[location[:end]]}"
        return str(self.path)


def read_yaml(
    path: Path, kind: str = "suite file", fix: str = "list the suites with: bench list suites"
) -> YamlFile:
    """Read one YAML document; every fault is a `SuiteError` with file and line.

    Args:
        path: The file.
        kind: What it is called in messages.
        fix: What to do where it does not exist.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SuiteError(f"The file has {size} bytes; a {kind} may have {MAX_BYTES}.", where=str(path))
        if not path.is_file():  # a pipe would be waited for without end
            raise SuiteError(f"The {kind} is not a file.", where=str(path), fix=fix)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SuiteError(f"There is no such {kind}.", where=str(path), fix=fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"The {kind} cannot be read: {error}", where=str(path)) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """Parse YAML text; `path` is used in messages."""
    try:
        _refuse_what_is_not_plain(text, path)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise SuiteError("The file is empty.", where=str(path))
            lines: dict[Location, int] = {}
            return YamlFile(path, text, _build(loader, node, (), lines, path), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SuiteError(f"This is not valid YAML: {error.problem}.", where=where) from error
    except yaml.YAMLError as error:
        raise SuiteError(f"This is not valid YAML: {error}", where=str(path)) from error
    except RecursionError:
        raise SuiteError("The file is nested too deeply.", where=str(path)) from None


def _refuse_what_is_not_plain(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise SuiteError(
                "YAML aliases (*name) are not read here.",
                where=f"{path}:{line}",
                fix="write the value out",
            )
        if tag := getattr(event, "tag", None):
            raise SuiteError(
                f"YAML tags such as {tag} are not read here.",
                where=f"{path}:{line}",
                fix="write plain values",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise SuiteError(
                    f"The file is nested more than {MAX_DEPTH} levels deep.",
                    where=f"{path}:{line}",
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _build(
    loader: yaml.SafeLoader, node: yaml.Node, at: Location, lines: dict[Location, int], path: Path
) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = None
            if isinstance(key_node, yaml.ScalarNode):
                key = _scalar(loader, key_node, "key", f"{path}:{line}")
            if key is None or isinstance(key, bool):
                raise SuiteError(
                    f"A key must be a plain word, not {getattr(key_node, 'value', key)!r}.",
                    where=f"{path}:{line}",
                )
            key = str(key)
            if _SURROGATE.search(key):
                raise SuiteError("A key holds half a character (a lone surrogate).", where=f"{path}:{line}")
            if key in result:
                raise SuiteError(f"The key {key!r} appears twice.", where=f"{path}:{line}", fix="remove one")
            lines[(*at, key)] = line
            result[key] = _build(loader, value_node, (*at, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    where = f"{path}:{node.start_mark.line + 1}"
    value = _scalar(loader, node, "value", where)
    if isinstance(value, float) and not math.isfinite(value):
        raise SuiteError(f"The value {node.value} is not a finite number.", where=where)
    if isinstance(value, str) and _SURROGATE.search(value):
        raise SuiteError(
            "A text holds half a character (a lone surrogate).", where=where, fix="write it again"
        )
    return value


def _scalar(loader: yaml.SafeLoader, node: yaml.Node, what: str, where: str) -> Any:
    try:
        value = loader.construct_object(node)
        if isinstance(value, int):
            str(value)  # Python refuses to print a number of thousands of digits, so no message could show it
        return value
    except (ValueError, OverflowError) as error:
        # PyYAML checks the form of dates and numbers, not their range.
        shown = node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}..."
        raise SuiteError(f"The {what} {shown!r} cannot be read: {error}.", where=where) from error
