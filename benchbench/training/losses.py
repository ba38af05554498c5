"""Losses per head, with class weights, label smoothing, mixed targets and missing labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .recipe import Recipe


@dataclass(frozen=True)
class Loss:
    """A weighted mean over images (or labels), kept as its two sums so that a batch can be cut into parts.

    `total(logits, y)` is the sum of the weighted losses of a part, `weight(y)` the sum of the weights. Totals of
    the parts over the weight of the whole batch add up to its mean, and so do their gradients; means of the parts
    would not, wherever labels are missing or classes are weighted.
    """

    total: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean over a whole batch."""
        return self.total(logits, y) / self.weight(y)


def build_loss(head: str, recipe: Recipe, labels: np.ndarray, classes: int, device: str) -> Loss:
    """The loss of a head; `labels` are the training labels, for class weights.

    Logits are (B, K). Targets are class codes (B,), mixed class shares (B, K), or 0/1/NaN per label (B, L), where
    NaN does not count.
    """
    balanced = recipe.class_weights == "balanced"
    if head == "sigmoid":
        return _sigmoid(_positive_weights(labels, device) if balanced else None, recipe.label_smoothing)
    weights = _class_weights(labels, classes, device) if balanced else None

    def weight(y: torch.Tensor) -> torch.Tensor:
        if weights is None or y.ndim == 2:  # mixed targets carry the class weights in their sum
            return torch.full((), float(len(y)), device=y.device)  # made there: a copy would wait for the GPU
        return weights[y.long()].sum()

    def ordinal(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.nll_loss(logits, y.long(), weight=weights, reduction="sum")

    def softmax(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        target = y if y.ndim == 2 else y.long()
        smoothing = 0.0 if y.ndim == 2 else recipe.label_smoothing  # mixed targets are smoothed already
        return F.cross_entropy(
            logits.float(), target, weight=weights, label_smoothing=smoothing, reduction="sum"
        )

    return Loss(ordinal if head == "ordinal" else softmax, weight)


def _sigmoid(positive_weights: torch.Tensor | None, smoothing: float) -> Loss:
    def total(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        known = ~torch.isnan(y)
        target = torch.where(known, y, torch.zeros_like(y)).float()
        target = target * (1 - smoothing) + 0.5 * smoothing
        each = F.binary_cross_entropy_with_logits(
            logits.float(), target, pos_weight=positive_weights, reduction="none"
        )
        return (each * known).sum()

    return Loss(total, lambda y: (~torch.isnan(y)).sum().clamp(min=1))


def _class_weights(labels: np.ndarray, classes: int, device: str) -> torch.Tensor:
    counts = np.bincount(labels.astype(int), minlength=classes)
    weights = np.where(counts > 0, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32, device=device)


def _positive_weights(labels: np.ndarray, device: str) -> torch.Tensor:
    positives = np.nansum(labels, axis=0)
    negatives = (~np.isnan(labels)).sum(axis=0) - positives
    return torch.tensor(negatives / np.maximum(positives, 1), dtype=torch.float32, device=device)


def to_scores(logits: torch.Tensor, head: str, binary: bool) -> np.ndarray:
    """(n, K) float64 probabilities; the positive class only for a binary task."""
    logits = logits.detach().double()
    if head == "sigmoid":
        probabilities = torch.sigmoid(logits)
    elif head == "ordinal":
        probabilities = nn.functional.normalize(logits.exp(), p=1, dim=1)
    else:
        probabilities = torch.softmax(logits, 1)
    scores: np.ndarray = (probabilities[:, 1:] if binary else probabilities).cpu().numpy()
    return scores
