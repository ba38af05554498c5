"""The plan as workers see it: written once to the store, loaded once per worker process."""

from __future__ import annotations

import functools
import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import Store, atomic_write


@dataclass(frozen=True)
class SharedPlan:
    """A small stand-in for a plan that travels to workers; `load` reads the plan itself, once per process."""

    path: Path

    def load(self) -> Any:
        """The plan. The file is the user's own: it was written by this run into its own store."""
        return _load(self.path)


def share(plan: Any, store: Store) -> SharedPlan:
    """Write a plan where all workers can read it."""
    import cloudpickle

    data = cloudpickle.dumps(plan)
    path = store.root / "plans" / f"{hashlib.sha256(data).hexdigest()[:32]}.pkl"
    if not path.exists():
        atomic_write(path, data)
    return SharedPlan(path)


@functools.lru_cache(maxsize=2)
def _load(path: Path) -> Any:
    return pickle.loads(path.read_bytes())
