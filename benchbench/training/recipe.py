"""The settings of a training, all of them, with the defaults of benchbench's own recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SeedAxis = Literal["order", "augmentation", "head"]
SEED_AXES: tuple[SeedAxis, ...] = ("order", "augmentation", "head")


class Augmentation(BaseModel):
    """How a training image is varied; applied in the order of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_size: int | None = Field(
        None,
        ge=16,
        description="Side in pixels of the prepared images that crops are drawn from; None: the encoder's input size.",
    )
    source_resize: Literal["encoder", "squash"] = Field(
        "encoder",
        description="How files become prepared images: as the encoder's own preprocess does, or squashed.",
    )
    rotation: float = Field(0.0, ge=0, le=180, description="Rotation by up to this many degrees, either way.")
    rotation_interpolation: Literal["bilinear", "nearest"] = Field(
        "bilinear", description="How a rotated image is sampled."
    )
    crop_scale: tuple[float, float] = Field(
        (1.0, 1.0), description="Area of the random crop, as shares of the image."
    )
    crop_ratio: tuple[float, float] = Field((1.0, 1.0), description="Width over height of the random crop.")
    horizontal_flip: float = Field(0.5, ge=0, le=1, description="Probability.")
    vertical_flip: float = Field(0.0, ge=0, le=1, description="Probability.")
    grayscale: float = Field(0.0, ge=0, le=1, description="Probability.")
    color_jitter: float = Field(
        0.0, ge=0, le=1, description="Strength for brightness, contrast and saturation."
    )
    rand_augment: str = Field(
        "", description="timm's RandAugment policy, such as rand-m9-mstd0.5-inc1; empty: none."
    )
    random_erasing: float = Field(
        0.0, ge=0, le=1, description="Probability of erasing a rectangle (pixel noise)."
    )


class Recipe(BaseModel):
    """Every hyper-parameter of a training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1, description="Images per optimiser step.")
    accumulate: int = Field(
        1,
        ge=1,
        description="Parts that a batch is cut into so that it fits in memory; the step stays the same.",
    )
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (sgd only, with Nesterov).")
    base_lr: float = Field(
        2e-3, gt=0, description="Learning rate per 256 images: lr = base_lr x batch_size / 256."
    )
    min_lr: float = Field(1e-6, ge=0, description="Where the cosine ends.")
    warmup_epochs: float = Field(3.0, ge=0, description="Linear from 0.")
    weight_decay: float = Field(
        0.05, ge=0, description="Not applied to vectors, tokens and position embeddings."
    )
    layer_decay: float | None = Field(
        0.75,
        gt=0,
        le=1,
        description="Learning-rate factor per layer, from the head down; None: one rate for all.",
    )
    clip_grad: float | None = Field(1.0, gt=0, description="Largest norm of the gradient; None: no clipping.")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="Stochastic depth at the last block, linear from 0."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head.")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0, description="Alpha of mixup; 0: none.")
    cutmix: float = Field(0.0, ge=0, description="Alpha of CutMix; 0: none.")
    class_weights: Literal["none", "balanced"] = "none"
    augmentation: Augmentation = Augmentation(
        source_size=320,
        rotation=30.0,
        crop_scale=(0.5, 1.0),
        crop_ratio=(0.8, 1.25),
        color_jitter=0.2,
        random_erasing=0.1,
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Moving average of the weights, which is then what is judged; None: none.",
    )
    head: Literal["auto", "softmax", "sigmoid", "ordinal"] = Field(
        "auto", description="auto: softmax for classes, one sigmoid per label; ordinal: cumulative logits."
    )
    head_std: float = Field(0.01, gt=0, description="Standard deviation of the head's initial weights.")
    train: Literal["all", "head", "adapters"] = Field(
        "all",
        description="Which weights are trained; adapters: those that a protocol has put in, and the head.",
    )
    limit_images: int | None = Field(
        None, ge=4, description="Train on no more than this many images; for demonstrations only."
    )
    select_on: Literal["declared", "macro_auroc", "retfound_composite", "last"] = Field(
        "declared",
        description="What the best epoch is chosen by on validation images: the declared primary metric, macro AUROC, "
        "the mean of macro F1, macro AUROC and kappa (RETFound 2025), or the last epoch.",
    )
    validation_share: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of training patients held out where the split has no validation images.",
    )
    drop_last: bool = Field(False, description="Leave out the last batch of an epoch where it is smaller.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: the encoder's precision in the suite; bf16 on a GPU where that is fp32."
    )
    vary: tuple[SeedAxis, ...] = Field(
        SEED_AXES, description="What a cell's seed governs; the other axes keep seed 0."
    )
    grad_checkpointing: bool = Field(False, description="Trade a third more compute for far less memory.")
    channels_last: bool = True
    compile: bool = Field(False, description="torch.compile; a warm-up of minutes, then faster on a GPU.")
    workers: int | None = Field(
        None, ge=0, description="Processes that load images; None: 0 on a CPU, up to 12 for each GPU."
    )
    checkpoint_seconds: float = Field(
        120.0, ge=0, description="Shortest time between two checkpoints; longer where saving one takes long."
    )

    @model_validator(mode="after")
    def _parts_divide_the_batch(self) -> Recipe:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}; use a divisor"
            )
        return self

    @property
    def lr(self) -> float:
        """Peak learning rate by the linear scaling rule."""
        return self.base_lr * self.batch_size / 256
