"""LoRA: small low-rank additions to the encoder's attention are trained, everything else stays as it is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from benchbench.api import ProtocolInfo, Task
from benchbench.context import CellContext
from benchbench.errors import CellError, PluginError

from .fine_tune import DEMO, FineTuneConfig, learn_fine_tune, training_recipes
from .learned import Learned, in_domain
from .samples import Samples


class LoraConfig(FineTuneConfig):
    """Settings of LoRA and of the training recipe."""

    rank: int = Field(8, ge=1, description="Rank of the additions.")
    alpha: int = Field(16, ge=1, description="Their scale is alpha / rank.")
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    modules: tuple[str, ...] = Field(
        ("qkv",), min_length=1, description="Last parts of the names of the linear layers that get additions."
    )
    base_lr: float = Field(8e-3, gt=0, description="Learning rate per 256 images.")
    layer_decay: float | None = None
    drop_path: float = Field(0.0, ge=0, lt=1)
    train: Literal["adapters"] = "adapters"


def learn_lora(
    context: CellContext, train: Samples, validation: Samples | None, task: Task, config: Any
) -> Learned:
    """Fine-tune with additions put into the encoder before training."""
    return learn_fine_tune(
        context,
        train,
        validation,
        task,
        config,
        lambda: with_adapters(context.load_encoder(), config, context.seed),
    )


def with_adapters(backbone: Any, config: LoraConfig, seed: int) -> Any:
    """The encoder with trainable low-rank additions; its own weights no longer train.

    Raises:
        PluginError: peft is not installed.
        CellError: the encoder has no layer of such a name.
    """
    try:
        import peft
    except ImportError as error:
        raise PluginError(
            "LoRA needs the package peft.", fix='pip install "benchbench-retina[lora]"'
        ) from error
    import torch

    from benchbench.training.seeds import derive, seed_of

    names = [n for n, m in backbone.named_modules() if isinstance(m, torch.nn.Linear)]
    if not any(n.rpartition(".")[2] in config.modules for n in names):
        raise CellError(
            f"The encoder has no linear layer called {' or '.join(config.modules)}.",
            details=sorted({n.rpartition(".")[2] for n in names})[:8],
            fix="set modules to some of these names; convolutional networks have none",
        )
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.modules),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("adapters", seed_of("head", config.vary, seed)))
        return peft.inject_adapter_in_model(settings, backbone)


LORA = ProtocolInfo(
    name="lora",
    title="LoRA",
    description=(
        "Low-rank additions to the attention layers (Hu et al., ICLR 2022) and the head are trained; the encoder's own "
        "weights stay as they are."
    ),
    config=LoraConfig,
    run=in_domain(learn_lora),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    demo=DEMO,
    version="3",
)
