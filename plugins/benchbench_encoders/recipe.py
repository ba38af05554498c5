"""How an official checkpoint becomes a timm model that gives exactly the official feature.

A `Recipe` is data: which architecture, which wrappers and names the container has, which tensors belong to other
parts (decoder, heads), how names are translated, how tokens become one vector. Its `load` is the `load` of an
encoder card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench.checkpoints import PREFIXES, WRAPPERS, drop, fit, tensors
from benchbench.errors import WeightsError

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

SEED = 0
"""Random weights of ``load(None, device)`` are the same on every run."""


def _as_is(state: State, model: Any) -> State:
    return state


@dataclass(frozen=True)
class Recipe:
    """Builds an architecture and installs a checkpoint in it."""

    encoder: str
    """Name of the encoder, for messages."""
    timm_model: str
    build: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `timm.create_model`."""
    wrappers: tuple[str, ...] = WRAPPERS
    prefixes: tuple[str, ...] = (*PREFIXES, "model.")
    """``model.`` is what Lightning's checkpoints have before every name."""
    dropped: tuple[str, ...] = ()
    """Tensors in the container that are no part of the encoder; a final dot means all names below."""
    head: tuple[str, str] | None = None
    """Names of weight and bias of a classification head in the container, used for logits only."""
    class_token_form: str = ""
    """Set for patch-mean features: the encoder that takes checkpoints fine-tuned on the class token."""
    convert: Callable[[State, Any], State] = _as_is
    """Translates the container's names to timm's; gets the state dict and the model that it is for."""
    pooling: str = ""
    """Name of a function in `pooling`; empty: what the timm model's own forward does."""

    def load(self, path: Path | None, device: str) -> torch.nn.Module:
        """The encoder in eval mode: normalised images (B, 3, H, W) to embeddings (B, D).

        Raises:
            WeightsError: the file's tensors are not exactly the expected ones.
        """
        if path is None:
            model, head = self._new_model(), None
        else:
            import torch

            with torch.device("meta"):
                model = self._new_model()
            state, head = self._split_head(tensors(path, self.wrappers, self.prefixes))
            if head is not None and self.class_token_form:
                self._require_patch_mean_head(state, path)
            fit(model, self.convert(state, model), path, self.encoder)
        if self.pooling:
            from .pooling import Pooled

            model = Pooled(model, self.pooling)
        model.classification_head = head  # type: ignore[assignment]  # plain tensors: no parameter of the encoder
        return model.eval().to(device)

    def slim(self, path: Path) -> State:
        """The tensors of a container that the encoder uses, under their official names."""
        return drop(tensors(path, self.wrappers, self.prefixes), self.dropped)

    def _new_model(self) -> torch.nn.Module:
        import timm
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return timm.create_model(self.timm_model, pretrained=False, num_classes=0, **self.build)

    def _split_head(self, state: State) -> tuple[State, tuple[torch.Tensor, torch.Tensor] | None]:
        state = drop(state, self.dropped)
        if self.head is None or not all(name in state for name in self.head):
            return state, None
        weight, bias = (state[name].float().contiguous().clone() for name in self.head)
        return drop(state, self.head), (weight, bias)

    def _require_patch_mean_head(self, state: State, path: Path) -> None:
        """A head without ``fc_norm`` was trained on the class token: on the patch mean its logits mean nothing."""
        if not any(name.startswith("fc_norm.") for name in state):
            raise WeightsError(
                f"The weights file was fine-tuned on the class token (it has a head, and no fc_norm), and "
                f"{self.encoder} takes the mean of the patch tokens here.",
                where=str(path),
                fix=f"load it as {self.class_token_form}",
            )


def vit_layer_groups(module: Any) -> tuple[tuple[str, ...], ...]:
    """Parameter names of a vision transformer by depth: embeddings, each block, final norm."""
    groups: dict[int, list[str]] = {}
    names = [name for name, _ in module.named_parameters()]
    depth = 1 + max(int(n.split("blocks.")[1].split(".")[0]) for n in names if "blocks." in n)
    for name in names:
        if "blocks." in name:
            position = 1 + int(name.split("blocks.")[1].split(".")[0])
        else:
            position = depth + 1 if "norm." in name else 0
        groups.setdefault(position, []).append(name)
    return tuple(tuple(groups[i]) for i in sorted(groups))
