"""How far `decode: fast` moves embeddings: a few images of each dataset, decoded both ways."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import PLUGIN_FAULTS
from .machine import choose_device
from .plan import Plan
from .results import Deviation
from .store import Store, atomic_write, content_key
from .survey import EncoderState

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from .embedding import EmbedRequest
    from .inference import Runner
    from .prepared import ImageSet

log = logging.getLogger("benchbench")
IMAGES = 16
"""Spread evenly over the dataset."""


def measure_deviations(
    plan: Plan, store: Store, device: str, run: Callable[[Callable[[], Any]], Any]
) -> tuple[Deviation, ...]:
    """Of every encoder with `decode: fast` on every dataset that it works on; measured once, then from the store.

    What cannot be measured says why; it never fails a run. `run` runs a job where the work of the plan runs, on the
    `device` there.
    """
    found = []
    for state in plan.survey.encoders:
        if state.info.preprocess.decode == "fast":
            cells = [c for c in plan.cells if c.encoder is state and c.id]
            names = dict.fromkeys(n.rpartition("/")[0] for c in cells for n in c.spec.tasks)
            try:
                found.extend(_of_encoder(state, tuple(names), plan, store, device, run))
            except PLUGIN_FAULTS as error:  # the results of the run are worth more than this remark on them
                log.warning("the deviation of %s cannot be measured: %s", state.label, error)
                reason = (str(error) or type(error).__name__).splitlines()[0]
                found.extend(Deviation(state.label, name, 0, None, None, reason) for name in names)
    return tuple(found)


def _of_encoder(
    state: EncoderState,
    datasets: tuple[str, ...],
    plan: Plan,
    store: Store,
    device: str,
    run: Callable[[Callable[[], Any]], Any],
) -> list[Deviation]:
    from .embedding import embedding_identity
    from .passes import embed_request, image_set

    request = embed_request(state)
    sets = {name: image_set(plan.survey, name) for name in datasets}
    identities = {
        name: {**embedding_identity(request, images), "what": "deviation", "count": IMAGES}
        for name, images in sets.items()
    }
    kept = {name: store.find("deviation", content_key(identity)) for name, identity in identities.items()}
    missing = [name for name in datasets if kept[name] is None]
    if missing:
        measured = run(functools.partial(_measure, request, [sets[name] for name in missing], device))
        for name, distances in zip(missing, measured, strict=True):
            identity = identities[name]
            kept[name] = store.publish(
                "deviation", content_key(identity), identity, functools.partial(_write, distances)
            )
    found = []
    for name, artefact in kept.items():
        assert artefact is not None
        values = json.loads((artefact.folder / "distances.json").read_bytes())
        found.append(Deviation(state.label, name, len(values), sum(values) / len(values), max(values)))
    return found


def _measure(request: EmbedRequest, sets: list[ImageSet], device: str) -> list[list[float]]:
    from .inference import Runner

    runner = Runner(request, choose_device(device))
    return [[float(d) for d in _distances(runner, images)] for images in sets]


def _write(distances: list[float], folder: Path) -> None:
    atomic_write(folder / "distances.json", json.dumps(distances).encode())


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
