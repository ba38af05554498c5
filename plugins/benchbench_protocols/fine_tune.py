"""Full fine-tune: the encoder and a new head are trained together, by published recipes or benchbench's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from benchbench.api import EncoderInfo, Preprocess, ProtocolInfo, Task
from benchbench.context import CellContext, Part
from benchbench.training.recipe import Recipe

from .learned import Learned, Stopwatch, in_domain
from .samples import Samples

if TYPE_CHECKING:
    import numpy as np

_RETFOUND_AUGMENTATION = {
    "source_size": 448,
    "crop_scale": [0.08, 1.0],
    "crop_ratio": [0.75, 4 / 3],
    "horizontal_flip": 0.5,
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "random_erasing": 0.25,
}
_RETFOUND = {
    "epochs": 50,
    "base_lr": 5e-3,
    "min_lr": 1e-6,
    "warmup_epochs": 10,
    "weight_decay": 0.05,
    "layer_decay": 0.65,
    "drop_path": 0.2,
    "clip_grad": None,
    "head_std": 2e-5,
    "drop_last": True,
    "precision": "fp16",
    "augmentation": _RETFOUND_AUGMENTATION,
}
RETFOUND_2023 = {**_RETFOUND, "batch_size": 16, "label_smoothing": 0.1, "select_on": "macro_auroc"}
RETFOUND_2025 = {**_RETFOUND, "batch_size": 24, "label_smoothing": 0.0, "select_on": "retfound_composite"}
DERETFOUND = {
    **_RETFOUND,
    "batch_size": 32,
    "label_smoothing": 0.1,
    "select_on": "macro_auroc",
    "augmentation": {
        "source_resize": "squash",
        "rotation": 180.0,
        "rotation_interpolation": "nearest",
        "horizontal_flip": 0.5,
        "vertical_flip": 0.5,
        "grayscale": 0.2,
    },
}
CNN = {"optimizer": "sgd", "base_lr": 8e-2, "weight_decay": 1e-4, "layer_decay": None, "drop_path": 0.0}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "benchbench": {},
    "retfound_2023": RETFOUND_2023,
    "retfound_2025": RETFOUND_2025,
    "deretfound": DERETFOUND,
    "retfound_lp": {**RETFOUND_2025, "train": "head"},
    "cnn": CNN,
}
DEMO: Mapping[str, Any] = {
    "epochs": 1,
    "batch_size": 8,
    "warmup_epochs": 0,
    "limit_images": 16,
    "select_on": "last",  # one epoch leaves nothing to select, and few validation images may hold one class
    "drop_last": False,
    "workers": 0,
}


class FineTuneConfig(Recipe):
    """Settings of the fine-tune: a training recipe."""


def learn_fine_tune(
    context: CellContext,
    train: Samples,
    validation: Samples | None,
    task: Task,
    config: Any,
    load_backbone: Callable[[], Any] | None = None,
) -> Learned:
    """Train on `train`, keep the epoch that is best on `validation` (carved out of `train` where there is none)."""
    from benchbench.inference import cpu_threads
    from benchbench.training.data import source_preprocess
    from benchbench.training.loop import Job, Labelled
    from benchbench.training.loop import train as fit

    clock = Stopwatch()
    if validation is None:
        train, validation = carve(train, config.validation_share)
    if config.limit_images is not None and len(train) > config.limit_images:
        train = train.take(evenly(train.labels, config.limit_images))
    source = source_preprocess(context.encoder.preprocess, config.augmentation)
    with clock("read"):
        training = Labelled(train.images(context, source), train.labels)
        judging = Labelled(validation.images(context), validation.labels)
    job = Job(
        encoder=context.encoder,
        load_backbone=load_backbone or context.load_encoder,
        task=task,
        metric=context.metric,
        recipe=config,
        seed=context.seed,
        train=training,
        validation=judging,
        device=context.device,
        precision=context.precision,
        scratch=context.scratch,
        progress=context.progress,
    )
    with cpu_threads(context.threads):
        trained = fit(job)
        kept = trained.scores(judging.images)

    def score(part: Part) -> np.ndarray:
        with cpu_threads(context.threads):
            return trained.scores(Samples((part,)).images(context))

    timings = dict(clock.seconds)
    if trained.epoch_seconds:
        timings |= {"fit": sum(trained.epoch_seconds), "epoch": median(trained.epoch_seconds)}
    details: dict[str, float | int | str] = {
        "n_train": len(train),
        "n_validation": len(validation),
        "best_epoch": trained.best_epoch + 1,
        "steps": trained.steps,
        "precision": trained.precision,
    }
    if (
        trained.best_value == trained.best_value
    ):  # NaN: the last epoch was kept, on images that cannot judge it
        details["validation"] = trained.best_value
    return Learned(score, validation.image_ids, kept, details, timings, validation.labels)


def training_recipes(encoder: EncoderInfo, config: Any) -> tuple[Preprocess, ...]:
    """How images are prepared for training, and for judging."""
    from benchbench.training.data import source_preprocess

    return tuple(
        dict.fromkeys((source_preprocess(encoder.preprocess, config.augmentation), encoder.preprocess))
    )


def carve(train: Samples, share: float) -> tuple[Samples, Samples]:
    """Hold out whole patients for validation, a share of each dataset; the same ones for every seed and encoder."""
    from benchbench.training.carve import carve_validation

    pairs = [carve_validation(p, share) for p in train.parts]
    return Samples(tuple(a for a, _ in pairs)), Samples(tuple(b for _, b in pairs))


def evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of `count` images that take turns between the classes."""
    import numpy as np

    codes = labels if labels.ndim == 1 else np.nan_to_num(labels).sum(axis=1)
    turn = np.zeros(len(codes), dtype=int)
    for c in np.unique(codes):
        turn[codes == c] = np.arange((codes == c).sum())
    return np.sort(np.argsort(turn, kind="stable")[:count])


FINE_TUNE = ProtocolInfo(
    name="fine_tune",
    title="Fine-tune",
    description=(
        "Encoder and head are trained together. The epoch that is best on the validation images is kept, and the "
        "test images are scored once with it. The seed governs data order, augmentation and the head's first weights."
    ),
    config=FineTuneConfig,
    run=in_domain(learn_fine_tune),
    needs="images",
    recipes=training_recipes,
    stochastic=True,
    presets=PRESETS,
    demo=DEMO,
    version="3",
)
