"""Two cheap second views on frozen embeddings: nearest neighbours, and the nearest class mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbench.api import ProtocolInfo, Task
from benchbench.context import CellContext, Part

from .learned import Learned, Stopwatch, in_domain, keep_positive
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np


class KnnConfig(BaseModel):
    """Settings of the nearest-neighbour vote."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(20, ge=1, description="Neighbours that vote; all training images where there are fewer.")
    temperature: float = Field(
        0.07, gt=0, description="A neighbour's vote weighs exp(cosine similarity / temperature)."
    )


class PrototypeConfig(BaseModel):
    """Settings of the nearest class mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distance: Literal["cosine", "euclidean"] = "cosine"
    temperature: float = Field(
        0.07, gt=0, description="Scores are softmax(-distance / temperature); euclidean distances are in units of "
        "the mean distance of a training image to its own class mean."
    )  # fmt: skip


def learn_knn(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Weighted vote of the nearest training images by cosine similarity (Wu et al., CVPR 2018)."""
    import numpy as np

    clock = Stopwatch()
    with clock("fit"):
        X, y = _unit(train.features(context)), train.labels
        groups = np.unique(np.asarray(train.groups), return_inverse=True)[1]

    def vote(Z: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        votes = _votes_per_column(y, task)
        return _vote(_unit(Z), X, votes, config.k, config.temperature, own, groups)

    def score(part: Part) -> np.ndarray:
        return keep_positive(vote(context.features(part), None), task)

    ids, kept = _held_out(
        context, train, validation, lambda Z, own: keep_positive(vote(Z, own), task), groups
    )
    return Learned(score, ids, kept, {"n": len(train), "width": X.shape[1]}, clock.seconds)


def learn_prototype(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Softmax over the distances to the class means of standardised training embeddings."""
    import numpy as np

    clock = Stopwatch()
    with clock("fit"):
        raw = train.features(context).astype(np.float64)
        mean, scale = raw.mean(axis=0), raw.std(axis=0)
        scale[scale == 0] = 1.0
        X, y = (raw - mean) / scale, train.labels
        groups = np.unique(np.asarray(train.groups), return_inverse=True)[1]

    def compare(Z: np.ndarray, keep: np.ndarray) -> np.ndarray:
        return _prototype_scores(Z, X[keep], y[keep], task, config)

    def scores(Z: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        Z = (Z.astype(np.float64) - mean) / scale
        if own is None:
            return keep_positive(compare(Z, np.ones(len(X), bool)), task)
        out = [compare(Z[own == g], groups != g) for g in np.unique(own)]  # without the patient's own images
        order = np.concatenate([np.flatnonzero(own == g) for g in np.unique(own)])
        return keep_positive(np.concatenate(out)[np.argsort(order)], task)

    ids, kept = _held_out(context, train, validation, scores, groups)
    return Learned(
        lambda part: scores(context.features(part), None),
        ids,
        kept,
        {"n": len(train), "width": X.shape[1]},
        clock.seconds,
    )


def _held_out(
    context: CellContext, train: Samples, validation: Samples | None, scores: Any, groups: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Validation scores; without validation images, each training image judged without its patient."""
    if validation is not None:
        return validation.image_ids, scores(validation.features(context), None)
    return train.image_ids, scores(train.features(context), groups)


def _unit(X: np.ndarray) -> np.ndarray:
    import numpy as np

    X = X.astype(np.float64)
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)


def _votes_per_column(y: np.ndarray, task: Task) -> np.ndarray:
    """(n, C) what each training image votes for: its class, or per label 0/1 and NaN where it has no vote."""
    import numpy as np

    if y.ndim == 2:
        return y
    return (y[:, None] == np.arange(max(2, len(task.classes)))[None, :]).astype(np.float64)


def _vote(
    Z: np.ndarray,
    X: np.ndarray,
    votes: np.ndarray,
    k: int,
    temperature: float,
    own: np.ndarray | None,
    groups: np.ndarray,
) -> np.ndarray:
    """(m, C) weighted votes of the k nearest of X for each row of Z, images of `own` patient aside."""
    import numpy as np

    out = np.empty((len(Z), votes.shape[1]))
    known = ~np.isnan(votes)
    for start in range(0, len(Z), 512):
        rows = slice(start, start + 512)
        near = Z[rows] @ X.T
        if own is not None:
            near[own[rows][:, None] == groups[None, :]] = -np.inf
        index = np.argsort(-near, axis=1, kind="stable")[:, :k]
        weight = np.exp((np.take_along_axis(near, index, 1) - near.max(axis=1, keepdims=True)) / temperature)
        counted = weight[:, :, None] * known[index]
        total = counted.sum(axis=1)
        won = (counted * np.nan_to_num(votes)[index]).sum(axis=1)
        prior = np.nanmean(votes, axis=0) if known.any(axis=0).all() else np.full(votes.shape[1], 0.5)
        out[rows] = np.where(total > 0, won / np.where(total > 0, total, 1), prior)
    return out


def _prototype_scores(Z: np.ndarray, X: np.ndarray, y: np.ndarray, task: Task, config: Any) -> np.ndarray:
    import numpy as np

    if y.ndim == 1:
        return _softmax_to_means(Z, X, y, max(2, len(task.classes)), config)
    columns = []
    for j in range(y.shape[1]):
        known = ~np.isnan(y[:, j])
        columns.append(_softmax_to_means(Z, X[known], y[known, j], 2, config)[:, 1])
    return np.column_stack(columns)


def _softmax_to_means(Z: np.ndarray, X: np.ndarray, y: np.ndarray, classes: int, config: Any) -> np.ndarray:
    """(m, classes) scores; a class without training images gets 0."""
    import numpy as np

    present = np.unique(y).astype(int)
    means = np.stack([X[y == c].mean(axis=0) for c in present])
    if config.distance == "cosine":
        distance = 1 - _unit(Z) @ _unit(means).T
    else:
        own = means[np.searchsorted(present, y.astype(int))]
        spread = np.linalg.norm(X - own, axis=1).mean() or 1.0
        distance = np.linalg.norm(Z[:, None, :] - means[None], axis=2) / spread
    logits = -distance / config.temperature
    logits -= logits.max(axis=1, keepdims=True)
    scores = np.zeros((len(Z), classes))
    scores[:, present] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores


KNN = ProtocolInfo(
    name="knn",
    title="Nearest neighbours",
    description=(
        "The k training images with the most similar frozen embeddings (cosine) vote, the more similar the more. "
        "Nothing is fitted, so it shows what the embedding space holds as it is."
    ),
    config=KnnConfig,
    run=in_domain(learn_knn),
    needs="embeddings",
    stochastic=False,
)

PROTOTYPE = ProtocolInfo(
    name="prototype",
    title="Nearest class mean",
    description=(
        "Frozen embeddings are standardised on the training images; an image is scored by its distance to the mean "
        "of each class."
    ),
    config=PrototypeConfig,
    run=in_domain(learn_prototype),
    needs="embeddings",
    stochastic=False,
)
