"""Reference cases, from this repository and, where it is there, from ../shared."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[1] / "golden" / "statistics"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden" / "statistics"


@dataclass(frozen=True)
class Golden:
    """Reads reference files by name; skips the test where an input is not available."""

    def json(self, name: str) -> dict[str, Any]:
        return json.loads(self._find(name).read_text())

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Columns of an input by name; numbers where every entry is one, else strings."""
        if name in ("c18_n10000", "c19_n100000"):
            return self.npz(name)
        with self._find(f"inputs/{name}.csv").open() as handle:
            rows = list(csv.reader(handle))
        return {column: _numbers(values) for column, *values in zip(*rows, strict=True)}

    def npz(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self._find(f"inputs/{name}.npz")) as file:
            scores = file["scores"]
            return {"y": file["y"], **{f"s{i}": scores[:, i] for i in range(scores.shape[1])}}

    def binary(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and scores (n, k)."""
        table = self.table(name)
        return table["y"], np.stack([table[c] for c in table if c.startswith("s")], axis=1)

    def classes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and class scores (2, n, C)."""
        table = self.table(name)
        cube = [[table[c] for c in table if c.startswith(f"m{model}_")] for model in (0, 1)]
        return table["y"], np.array(cube).transpose(0, 2, 1)

    @staticmethod
    def number(text: object) -> float:
        """A reference number: %.17g, or NaN, NA, Inf as words."""
        return float("nan") if text == "NA" else float(str(text))

    def _find(self, name: str) -> Path:
        for folder in (HERE, SHARED):
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"reference file {name} is not here")


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


def _numbers(values: list[str]) -> np.ndarray:
    try:
        return np.array([float(v) for v in values])
    except ValueError:
        return np.array(values)
