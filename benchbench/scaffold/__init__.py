"""New plugin packages: what `bench new encoder|dataset|protocol NAME` writes.

The templates beside this module are complete, working packages; ``$name`` and its like are filled in.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from ..errors import BenchError

Kind = Literal["encoder", "dataset", "protocol"]
_SUFFIX = ".tmpl"


def new_package(kind: Kind, name: str, folder: Path) -> tuple[Path, ...]:
    """Write an installable plugin package below `folder`; returns the files written.

    Raises:
        BenchError: the name is not usable, or the folder of the package exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BenchError(
            f"{name!r} cannot be the name of a plugin.",
            fix="use lower-case letters, digits and underscores, starting with a letter, for instance my_encoder",
        )
    root = folder / f"benchbench-{name.replace('_', '-')}"
    if root.exists():
        raise BenchError(
            "The folder exists already; nothing was written.", where=str(root), fix="choose another name"
        )
    values = {
        "kind": kind,
        "name": name,
        "module": f"benchbench_{name}",
        "distribution": root.name,
        "title": name.replace("_", " ").capitalize(),
    }
    written = []
    for group in ("common", kind):
        for template in sorted(files(__package__).joinpath(group).iterdir(), key=lambda t: t.name):
            if template.name.endswith(_SUFFIX):
                path = root / _place(template.name.removesuffix(_SUFFIX), values["module"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(
                    Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8"
                )
                written.append(path)
    return tuple(written)


def _place(file: str, module: str) -> Path:
    """Modules go into the package, tests into their folder, the rest to the top."""
    if file.startswith("test_"):
        return Path("tests") / file
    return Path(module) / file if file.endswith(".py") else Path(file)
