"""The linear probe of Masked Autoencoders (He et al., CVPR 2022) on cached embeddings.

Source: facebookresearch/mae, main_linprobe.py: batch normalisation without learned scale, one linear layer, LARS
without weight decay, a base learning rate of 0.1 per 256 images, ten epochs of warm-up and a half cosine over 90.
Augmented crops cannot be cached, so every epoch sees the same embeddings; that is the one difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks
from .path import Floats, class_probabilities
from .presets import MAE_LINPROBE, MaeSettings
from .threads import thread_limit


@dataclass(frozen=True)
class MaeProbe:
    """`weight` (K, D) and `bias` (K,) act on (x - mean) / sqrt(variance + epsilon) of the running statistics."""

    classes: NDArray
    mean: Floats
    variance: Floats
    weight: Floats
    bias: Floats
    losses: tuple[float, ...]
    settings: MaeSettings

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Probabilities (n, K) in the order of `classes`."""
        table = checks.embeddings(X, what="embeddings to predict")
        z = (table - self.mean) / np.sqrt(self.variance + self.settings.batch_norm_epsilon)
        logits = z @ self.weight.T + self.bias
        if len(self.classes) == 2:
            logits = logits[:, 1:] - logits[:, :1]
        return class_probabilities(logits.T[None])[0]


def learning_rate(step: int, steps_per_epoch: int, batch: int, settings: MaeSettings) -> float:
    """Rate at a step: linear warm-up from 0, then half a cosine down to `min_lr`, changed at every step."""
    epoch = step / steps_per_epoch
    peak = settings.blr * batch / 256
    if epoch < settings.warmup_epochs:
        return peak * epoch / settings.warmup_epochs
    share = (epoch - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
    return settings.min_lr + (peak - settings.min_lr) * 0.5 * (1 + math.cos(math.pi * share))


def mae_linear_probe(
    X: ArrayLike,
    y: ArrayLike,
    *,
    settings: MaeSettings = MAE_LINPROBE,
    device: str = "cpu",
    seed: int = 0,
    threads: int | None = None,
) -> MaeProbe:
    """Train the head of MAE's linear probe. The seed sets the order of the images and the first weights.

    Args:
        X: (n, D) embeddings.
        y: (n,) labels; rows without one are left out.
        settings: The recipe's numbers. A batch is never larger than the training set.
        device: Where it trains.
        seed: Seed of order and initial weights.
        threads: Cap on threads.

    Raises:
        ProbeInputError: Embeddings or labels that cannot be used.
    """
    import torch
    from timm.optim.lars import Lars

    table = checks.embeddings(X)
    checks.same_length(len(table), y=np.asarray(y))
    classes, codes = checks.labels(y)
    kept = codes >= 0
    random = torch.Generator().manual_seed(seed)
    features = torch.from_numpy(np.ascontiguousarray(table[kept], dtype=np.float32)).to(device)
    targets = torch.from_numpy(codes[kept]).to(device)
    normalise = torch.nn.BatchNorm1d(features.shape[1], affine=False, eps=settings.batch_norm_epsilon).to(
        device
    )
    linear = torch.nn.Linear(features.shape[1], len(classes))
    torch.nn.init.trunc_normal_(linear.weight, std=settings.init_std, generator=random)
    torch.nn.init.zeros_(linear.bias)
    linear = linear.to(device)
    # Only the matrix gets the layer-wise rate, as in the original; a bias would start with a norm of 0.
    optimiser = Lars(
        [{"params": [linear.weight], "always_adapt": True}, {"params": [linear.bias]}],
        lr=0.0,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    n = len(features)
    batch = min(settings.batch_size, n)
    steps = max(1, n // batch)
    losses = []
    with thread_limit(threads):
        for epoch in range(settings.epochs):
            order = torch.randperm(n, generator=random).to(device)
            total = 0.0
            for i in range(steps):
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(epoch * steps + i, steps, batch, settings)
                rows = order[i * batch : (i + 1) * batch]
                loss = torch.nn.functional.cross_entropy(linear(normalise(features[rows])), targets[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach())
            losses.append(total / steps)

    def numbers(tensor: torch.Tensor | None) -> Floats:
        assert tensor is not None
        return tensor.detach().cpu().double().numpy()

    return MaeProbe(
        classes,
        numbers(normalise.running_mean),
        numbers(normalise.running_var),
        numbers(linear.weight),
        numbers(linear.bias),
        tuple(losses),
        settings,
    )
