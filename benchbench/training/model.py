"""An encoder with a head: heads per kind of task, drop path, and the depth of each parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import CellError
from .seeds import derive

if TYPE_CHECKING:
    from ..api import EncoderInfo, Task
    from .recipe import Recipe

HEAD_LAYER = 10**6
"""Depth key of the head, beyond any encoder's."""


class Classifier(nn.Module):
    """Encoder, dropout, head: (B, 3, H, W) normalised images to (B, outputs) logits.

    Implements timm's two hooks for parameter groups, `group_matcher` and `no_weight_decay`, so that timm's own
    `param_groups_layer_decay` works on any encoder plugin.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, layers: dict[str, int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = head
        self._layers = {f"backbone.{name}": layer for name, layer in layers.items()}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.dropout(self.backbone(x)).float()
        # In full precision also under autocast: logits of 8 bits would make ties among the scores.
        with torch.autocast(x.device.type, enabled=False):
            out: torch.Tensor = self.head(features)
        return out

    def group_matcher(self, coarse: bool = False) -> Any:
        """Depth of a parameter by its name, as timm's `group_parameters` asks for it."""
        return lambda name: self._layers.get(name, HEAD_LAYER)

    def no_weight_decay(self) -> set[str]:
        """Parameters that the encoder's authors exempt from weight decay (tokens, position embeddings)."""
        found = set()
        for prefix, module in self.backbone.named_modules():
            if hasattr(module, "no_weight_decay"):
                stem = f"backbone.{prefix}." if prefix else "backbone."
                found |= {stem + name for name in module.no_weight_decay()}
        return found


class OrdinalHead(nn.Module):
    """Proportional-odds head: one score and increasing thresholds; returns log-probabilities of the classes.

    McCullagh, J. R. Stat. Soc. B 42, 1980: P(y <= k) = sigmoid(threshold_k - score).
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        self.first = nn.Parameter(torch.tensor([-0.5 * (classes - 2)]))
        self.steps = nn.Parameter(torch.full((classes - 2,), 0.5413))  # softplus(0.5413) = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, classes) log-probabilities."""
        steps = nn.functional.softplus(self.steps.float())
        thresholds = torch.cat([self.first.float(), self.first.float() + torch.cumsum(steps, 0)])
        z = thresholds - self.score(x).float()
        upper = torch.cat([nn.functional.logsigmoid(z), torch.zeros_like(z[:, :1])], 1)
        lower = torch.cat([torch.full_like(z[:, :1], -torch.inf), nn.functional.logsigmoid(z)], 1)
        ratio = (lower - upper).exp().clamp(max=1 - 1e-6)
        return upper + torch.log1p(-ratio)


def head_kind(task: Task, recipe: Recipe) -> str:
    """softmax, sigmoid or ordinal; checks that the recipe's head fits the task."""
    if recipe.head == "auto":
        return "sigmoid" if task.kind == "multilabel" else "softmax"
    fits = {
        "softmax": ("binary", "ordinal", "multiclass"),
        "sigmoid": ("multilabel",),
        "ordinal": ("ordinal",),
    }
    if task.kind not in fits[recipe.head] or (recipe.head == "ordinal" and len(task.classes) < 3):
        raise CellError(
            f"The head {recipe.head!r} does not fit the {task.kind} task {task.name!r}.",
            fix="use head: auto",
        )
    return recipe.head


def build_classifier(
    encoder: EncoderInfo, backbone: nn.Module, task: Task, recipe: Recipe, seed: int
) -> Classifier:
    """Put a freshly initialised head on an encoder; `seed` decides the head's weights and nothing else."""
    set_drop_path(backbone, recipe.drop_path)
    if recipe.grad_checkpointing:
        set_grad_checkpointing(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("head", seed))
        head: nn.Module
        if head_kind(task, recipe) == "ordinal":
            head = OrdinalHead(encoder.embed_dim, len(task.classes))
        else:
            head = nn.Linear(encoder.embed_dim, len(task.classes))
            nn.init.zeros_(head.bias)
        weight = head.score.weight if isinstance(head, OrdinalHead) else head.weight
        nn.init.trunc_normal_(weight, std=recipe.head_std)
    layers = layer_of(encoder, backbone) if recipe.layer_decay is not None else {}
    model = Classifier(backbone, head, layers, recipe.dropout)
    for name, parameter in model.named_parameters():
        adapter = recipe.train == "adapters" and parameter.requires_grad
        parameter.requires_grad_(recipe.train == "all" or adapter or name.startswith("head."))
    return model


def layer_of(encoder: EncoderInfo, backbone: nn.Module) -> dict[str, int]:
    """Depth of each parameter of an encoder, stem 0: from its card, else from timm's own grouping.

    The final norm after the last block belongs to the head's layer, as in the MAE and RETFound code.
    """
    if encoder.layer_groups is not None:
        groups = encoder.layer_groups(backbone)
        layers = {name: depth for depth, names in enumerate(groups) for name in names}
        missing = [n for n, _ in backbone.named_parameters() if n not in layers]
        if missing:
            raise CellError(
                f"The layer groups of encoder {encoder.name!r} leave out {len(missing)} parameters.",
                details=missing[:5],
                fix="correct its layer_groups, or fine-tune with layer_decay: null",
            )
    else:
        layers = _timm_layers(encoder, backbone)
    return {n: HEAD_LAYER if _is_final_norm(backbone, n) else depth for n, depth in layers.items()}


def _is_final_norm(backbone: nn.Module, name: str) -> bool:
    """Whether a parameter belongs to the norm that stands beside a transformer's blocks."""
    *parent, norm, _ = ("", *name.split("."))
    return norm in ("norm", "fc_norm") and hasattr(backbone.get_submodule(".".join(parent[1:])), "blocks")


def _timm_layers(encoder: EncoderInfo, backbone: nn.Module) -> dict[str, int]:
    from timm.models import group_parameters

    for prefix, module in backbone.named_modules():
        if hasattr(module, "group_matcher"):
            groups = group_parameters(module, module.group_matcher(coarse=False), reverse=True)
            stem = f"{prefix}." if prefix else ""
            layers = {n: HEAD_LAYER for n, _ in backbone.named_parameters()}
            return layers | {f"{stem}{n}": depth for n, depth in groups.items()}
    raise CellError(
        f"It is not known how deep the parameters of encoder {encoder.name!r} lie.",
        fix="give its card layer_groups, or fine-tune with layer_decay: null",
    )


def set_drop_path(module: nn.Module, rate: float) -> None:
    """Stochastic depth growing linearly from 0 at the first block to `rate` at the last, as timm builds it."""
    from timm.layers import DropPath

    if rate == 0:
        return
    slots = ("drop_path1", "drop_path2", "drop_path")
    blocks = [m for m in module.modules() if any(hasattr(m, slot) for slot in slots)]
    for i, block in enumerate(blocks):
        p = rate * i / max(1, len(blocks) - 1)
        for slot in slots:
            if hasattr(block, slot):
                setattr(block, slot, DropPath(p) if p > 0 else nn.Identity())


def set_grad_checkpointing(backbone: nn.Module) -> None:
    """Recompute activations in the backward pass; refused where the architecture cannot."""
    for module in backbone.modules():
        if hasattr(module, "set_grad_checkpointing"):
            module.set_grad_checkpointing(True)  # type: ignore[operator]
            return
    raise CellError(
        "This encoder's architecture has no gradient checkpointing.", fix="grad_checkpointing: false"
    )
