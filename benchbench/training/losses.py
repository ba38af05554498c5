"""Losses per head, with class weights, label smoothing, mixed targets and missing labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .recipe import Recipe

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(head: str, recipe: Recipe, labels: np.ndarray, classes: int, device: str) -> Loss:
    """The loss of a head; `labels` are the training labels, for class weights.

    The returned function maps logits (B, K) and targets to a mean. Targets are class codes (B,), mixed class
    shares (B, K), or 0/1/NaN per label (B, L), where NaN does not count.
    """
    if head == "sigmoid":
        return _Sigmoid(
            _positive_weights(labels, device) if recipe.class_weights == "balanced" else None,
            recipe.label_smoothing,
        )
    weights = _class_weights(labels, classes, device) if recipe.class_weights == "balanced" else None
    if head == "ordinal":
        return lambda logits, y: F.nll_loss(logits, y.long(), weight=weights)

    def softmax(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        target = y if y.ndim == 2 else y.long()
        smoothing = 0.0 if y.ndim == 2 else recipe.label_smoothing  # mixed targets are smoothed already
        return F.cross_entropy(logits.float(), target, weight=weights, label_smoothing=smoothing)

    return softmax


class _Sigmoid:
    def __init__(self, positive_weights: torch.Tensor | None, smoothing: float) -> None:
        self.positive_weights, self.smoothing = positive_weights, smoothing

    def __call__(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        known = ~torch.isnan(y)
        target = torch.where(known, y, torch.zeros_like(y)).float()
        target = target * (1 - self.smoothing) + 0.5 * self.smoothing
        each = F.binary_cross_entropy_with_logits(
            logits.float(), target, pos_weight=self.positive_weights, reduction="none"
        )
        return (each * known).sum() / known.sum().clamp(min=1)


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
