"""The plan as workers see it: written once to the store, loaded once per worker process."""

from __future__ import annotations

import functools
import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..store import Store, atomic_write, sha256_of


@dataclass(frozen=True)
class SharedPlan:
    """A small stand-in for a plan that travels to workers; `load` reads the plan itself, once per process."""

    path: Path
    sha256: str

    def load(self) -> Any:
        """The plan, if the file has the bytes that this run wrote; unpickling any others would run their code."""
        return _load(self.path, self.sha256)


def share(plan: Any, store: Store) -> SharedPlan:
    """Write a plan where all workers can read it."""
    import cloudpickle

    data = cloudpickle.dumps(plan)
    digest = hashlib.sha256(data).hexdigest()
    path = store.root / "plans" / f"{digest[:32]}.pkl"
    if not path.exists() or sha256_of(path) != digest:
        atomic_write(path, data)
    return SharedPlan(path, digest)


@functools.lru_cache(maxsize=2)
def _load(path: Path, sha256: str) -> Any:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(
            "The shared plan is damaged.",
            where=str(path),
            fix="run the same command again, which writes it anew",
        )
    return pickle.loads(data)
