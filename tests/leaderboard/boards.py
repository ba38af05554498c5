"""Helpers of these tests: runs without computing, boards from runs, and edits of submissions."""

from __future__ import annotations

import dataclasses
import gzip
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchbench.leaderboard.bundle import Declaration, bundle_of, write_bundle
from benchbench.leaderboard.freeze import freeze, write_spec
from benchbench.leaderboard.spec import Spec, read_specs
from benchbench.results import Run

PLUGIN = ("benchbench-retina", "0.1.0")
ENCODERS = ("alpha", "beta")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_builder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


builder = _load(Path(__file__).parents[1] / "report" / "builder.py")


def make_run(folder: Path, encoders: Sequence[str], **changes: Any) -> Path:
    """The folder of a run with these encoders on a binary and an ordinal task; earlier names are better."""
    tasks = (
        builder.FakeTask("idrid/referable", n=80, title="referable DR"),
        builder.FakeTask("idrid/grade", n=80, title="DR grade", **builder.ORDINAL),
    )
    made = tuple(builder.FakeEncoder(name, 2.0 / (i + 1), name.title()) for i, name in enumerate(encoders))
    spec = dataclasses.replace(builder.FakeRun(encoders=made, tasks=tasks), **changes)
    folder.mkdir(parents=True, exist_ok=True)
    written: Path = builder.write_run(folder, spec)
    return written


def make_board(root: Path, run: Run, encoders: Sequence[str], submitter: str = "Test group") -> Spec:
    """Freeze the run's spec in `root` and submit these encoders to it."""
    frozen = freeze(run, "1")
    write_spec(frozen, root)
    for i, name in enumerate(encoders):
        declaration = Declaration(submitter, f"2026-{i // 28 + 1:02d}-{i % 28 + 1:02d}", PLUGIN)
        write_bundle(bundle_of(run, name, frozen.spec, declaration), frozen.spec, root)
    return frozen.spec


@dataclass(frozen=True)
class Place:
    """A leaderboard's folder, and the submission that a test edits."""

    root: Path

    @property
    def specs(self) -> dict[str, Spec]:
        return read_specs(self.root)

    @property
    def spec(self) -> Spec:
        return next(iter(self.specs.values()))

    @property
    def bundle(self) -> Path:
        """The submission of the first encoder."""
        return next((self.root / "submissions" / self.spec.name).glob(f"*__{ENCODERS[0]}/*"))

    def predictions(self, task: str = "referable") -> Path:
        return next((self.bundle / "predictions").glob(f"*{task}*.csv.gz"))

    def edit_json(self, change: Callable[[dict[str, Any]], None], name: str = "submission.json") -> None:
        """Change a JSON file of the submission."""
        path = self.bundle / name
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    def edit_lines(self, change: Callable[[list[str]], list[str]], task: str = "referable") -> None:
        """Change the lines of a predictions file."""
        path = self.predictions(task)
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        path.write_bytes(gzip.compress(("\n".join(change(lines)) + "\n").encode()))
