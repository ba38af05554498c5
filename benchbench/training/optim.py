"""Optimiser, parameter groups and learning-rate schedule, all by timm."""

from __future__ import annotations

from typing import Any

import torch

from .model import Classifier
from .recipe import Recipe


def parameter_groups(model: Classifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups by depth (``lr_scale`` = layer_decay^(layers above)) and by weight decay (none on vectors and tokens)."""
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay

    exempt = model.no_weight_decay()
    if recipe.layer_decay is None or recipe.train == "head":
        return param_groups_weight_decay(model, recipe.weight_decay, no_weight_decay_list=exempt)
    return param_groups_layer_decay(
        model, recipe.weight_decay, no_weight_decay_list=exempt, layer_decay=recipe.layer_decay
    )


def build_optimizer(model: Classifier, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """AdamW with torch's default betas, or SGD with Nesterov momentum."""
    groups = parameter_groups(model, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=device.startswith("cuda"))


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> Any:
    """Linear warm-up from 0, then half a cosine to `min_lr`; ``step_update(k)`` sets the rates of step k."""
    from timm.scheduler import CosineLRScheduler

    total = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total - 1)
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=max(2, total - warmup),  # of a single step only the first value is used; timm warns of 1
        lr_min=min(recipe.min_lr, recipe.lr),
        warmup_t=warmup,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    schedule.step_update(0)
    return schedule
