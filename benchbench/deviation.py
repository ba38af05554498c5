"""How far `decode: fast` moves embeddings: a few images of each dataset, decoded both ways."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING

from .plan import Plan
from .results import Deviation
from .store import Store, atomic_write, content_key
from .survey import EncoderState

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from .embedding import ImageSet
    from .inference import Runner

log = logging.getLogger("benchbench")
IMAGES = 16
"""Spread evenly over the dataset."""


def measure_deviations(plan: Plan, store: Store, device: str) -> tuple[Deviation, ...]:
    """Of every encoder with `decode: fast` on every dataset that it works on; measured once, then from the store.

    What cannot be measured says why; it never fails a run.
    """
    found = []
    for state in plan.survey.encoders:
        if state.info.preprocess.decode == "fast":
            cells = [c for c in plan.cells if c.encoder is state and c.id]
            names = dict.fromkeys(n.rpartition("/")[0] for c in cells for n in c.spec.tasks)
            try:
                found.extend(_of_encoder(state, tuple(names), plan, store, device))
            except Exception as error:  # the results of the run are worth more than this remark on them
                log.warning("the deviation of %s cannot be measured: %s", state.label, error)
                reason = (str(error) or type(error).__name__).splitlines()[0]
                found.extend(Deviation(state.label, name, 0, None, None, reason) for name in names)
    return tuple(found)


def _of_encoder(
    state: EncoderState, datasets: tuple[str, ...], plan: Plan, store: Store, device: str
) -> list[Deviation]:
    from .embedding import embedding_identity
    from .inference import Runner
    from .passes import embed_request, image_set

    request, runner = embed_request(state), None
    found = []
    for name in datasets:
        images = image_set(plan.survey, name)
        identity = {**embedding_identity(request, images), "what": "deviation", "count": IMAGES}
        key = content_key(identity)
        artefact = store.find("deviation", key)
        if artefact is None:
            runner = runner or Runner(request, device)
            distances = [float(d) for d in _distances(runner, images)]

            def write(folder: Path, values: list[float] = distances) -> None:
                atomic_write(folder / "distances.json", json.dumps(values).encode())

            artefact = store.publish("deviation", key, identity, write)
        values = json.loads((artefact.folder / "distances.json").read_bytes())
        found.append(Deviation(state.label, name, len(values), sum(values) / len(values), max(values)))
    return found


def _distances(runner: Runner, images: ImageSet) -> np.ndarray:
    """(n,) cosine distances between the embeddings of the same files decoded fast and exactly."""
    import numpy as np

    from .images import prepare_many

    fast = runner.request.encoder.preprocess
    exact = dataclasses.replace(fast, decode="exact")
    rows = np.unique(np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(int))
    pairs = [prepare_many(images.paths[i], [fast, exact]) for i in rows]
    a, b = (
        np.concatenate([runner(np.stack([pair[k]])).cpu().numpy() for pair in pairs]).astype(np.float64)
        for k in (0, 1)
    )
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return ((a - b) ** 2).sum(1) / 2  # 1 - cosine, without losing the digits of small distances
