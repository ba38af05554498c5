"""The training loop: from an encoder and labelled images to the best classifier on validation images."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..api import EncoderInfo, Task
from ..context import ImageSource
from ..errors import CellError
from ..images import to_input
from ..inference import full_fp32
from .checkpoint import load_checkpoint, save_checkpoint
from .data import AugmentedImages, Order, build_augmentation, training_batches
from .losses import build_loss, to_scores
from .model import Classifier, build_classifier, head_kind
from .optim import build_optimizer, build_schedule
from .recipe import Recipe
from .seeds import derive, seed_everything, seed_of
from .selection import check_selection, selection_value

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

SCHEMA = 2
"""Raise it when the same job would give other weights, with the version of the protocols that train."""
PAUSE_PER_SAVING = 30
"""Between two checkpoints lies this many times what saving one took: a large network is saved less often."""
LONGEST_PAUSE_S = 1800.0
"""But a disk that hung once does not end the saving."""


@dataclass(frozen=True)
class Labelled:
    """Prepared images with their labels."""

    images: ImageSource
    labels: np.ndarray
    """(n,) class codes, or (n, L) with NaN."""


@dataclass(frozen=True)
class Job:
    """What is trained on what."""

    encoder: EncoderInfo
    load_backbone: Callable[[], nn.Module]
    task: Task
    metric: str
    recipe: Recipe
    seed: int
    train: Labelled
    """Images as `data.source_preprocess` prepares them."""
    validation: Labelled
    """Images as the encoder's own preprocess prepares them."""
    device: str = "cpu"
    precision: str = "fp32"
    """The encoder's precision in the suite; the recipe may overrule it."""
    scratch: Path | None = None
    progress: Callable[[int, int, str], None] = lambda done, total, note: None


@dataclass
class Trained:
    """The best classifier, and how it came about."""

    model: Classifier
    task: Task
    head: str
    encoder: EncoderInfo
    device: str
    autocast: Callable[[], AbstractContextManager[Any]]
    best_epoch: int
    best_value: float
    history: list[float] = field(default_factory=list)
    """Selection value after each epoch; NaN where the last epoch is kept and the value is not defined."""
    steps: int = 0
    images_per_second: float = 0.0
    epoch_seconds: tuple[float, ...] = ()
    """Wall-clock time of each epoch, its validation included, through all interruptions."""
    precision: str = "fp32"
    channels_last: bool = True

    def scores(self, images: ImageSource, batch: int = 64) -> np.ndarray:
        """(n, K) float64 probabilities of prepared images (K = 1 for binary tasks)."""
        self.model.eval()
        out = []
        with torch.inference_mode(), full_fp32(self.device), self.autocast():
            for start in range(0, len(images), batch):
                rows = np.arange(start, min(start + batch, len(images)))
                x = _input(images[rows], self.encoder, self.device, self.channels_last)
                out.append(to_scores(self.model(x).float(), self.head, self.task.kind == "binary"))
        return np.concatenate(out) if out else np.empty((0, 1))


def train(job: Job) -> Trained:
    """Train by the recipe, resuming from the scratch folder where an interrupted training of the same job lies there.

    Raises:
        CellError: the recipe does not fit the task or the encoder, or the loss is not a number.
    """
    return _Run(job).run()


class _Run:
    """One training; its whole state is in `state()`."""

    def __init__(self, job: Job) -> None:
        self.job, recipe = job, job.recipe
        self.head = head_kind(job.task, recipe)
        _check(job, self.head)
        self.device, self.binary = job.device, job.task.kind == "binary"
        self.precision = _precision(job)
        self.model = build_classifier(
            job.encoder, job.load_backbone(), job.task, recipe, seed_of("head", recipe.vary, job.seed)
        ).to(job.device)
        self.channels_last = recipe.channels_last and job.device.startswith("cuda")
        if self.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(self.model, recipe, job.device)
        self.order = Order(
            len(job.train.images),
            recipe.batch_size,
            recipe.drop_last,
            seed_of("order", recipe.vary, job.seed),
        )
        self.per_epoch = self.order.steps_per_epoch
        self.schedule = build_schedule(self.optimizer, recipe, self.per_epoch)
        self.scaler = torch.amp.GradScaler(job.device.split(":")[0], enabled=self.precision == "fp16")
        self.ema = self._new_ema()
        self.loss = build_loss(self.head, recipe, job.train.labels, len(job.task.classes), job.device)
        self.labels = torch.from_numpy(job.train.labels).to(job.device)
        """All of them, once: copying a batch's would wait for the step before."""
        self.mix, self.erase = _mixup(job), _erasing(job)
        self.augmentation_seed = seed_of("augmentation", recipe.vary, job.seed)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(self.model) if recipe.compile else self.model
        )
        self.step = 0
        self.history: list[float] = []
        self.best: dict[str, Any] = {"epoch": -1, "value": -float("inf"), "model": None}
        self.seconds = 0.0
        self.seen = 0
        self.path = job.scratch / "training.pt" if job.scratch else None
        self.saved_at = time.monotonic()
        self.saving_took = 0.0
        self.epoch_seconds = [0.0]
        """The last one is going on."""

    def _new_ema(self) -> ModelEmaV3 | None:
        if self.job.recipe.ema_decay is None:
            return None
        from timm.utils import ModelEmaV3

        return ModelEmaV3(self.model, decay=self.job.recipe.ema_decay, use_warmup=True)

    def run(self) -> Trained:
        with full_fp32(self.device):  # the backward pass included, which autocast does not reach
            return self._run()

    def _run(self) -> Trained:
        self._resume()
        total = self.per_epoch * self.job.recipe.epochs
        self._tell(total)
        if self.step < total:
            batches = self._batches()
            self._training_mode()
            while self.step < total:
                started = time.perf_counter()
                self._train_step(*next(batches))
                if self.step % self.per_epoch == 0 and self.device.startswith("cuda"):
                    torch.cuda.synchronize(self.device)  # a step returns before it is done
                self.seconds += time.perf_counter() - started
                self.epoch_seconds[-1] += time.perf_counter() - started
                self._tell(total)
                if self.step % self.per_epoch == 0:
                    started = time.perf_counter()
                    self._end_epoch()
                    self.epoch_seconds[-1] += time.perf_counter() - started
                    self.epoch_seconds.append(0.0)
                self._save()
        return self._finish()

    def _tell(self, total: int) -> None:
        epoch, epochs = self.step // self.per_epoch + 1, self.job.recipe.epochs
        self.job.progress(self.step, total, f"steps, epoch {min(epoch, epochs)} of {epochs}")

    # ------------------------------------------------------------------------------------------ one step

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        recipe, encoder = self.job.recipe, self.job.encoder
        transform = build_augmentation(recipe.augmentation, encoder.preprocess)
        images = AugmentedImages(self.job.train.images, transform, self.augmentation_seed)
        return training_batches(images, self.order, recipe, self.step, self.device)

    def _train_step(self, pixels: torch.Tensor, positions: torch.Tensor) -> None:
        """One optimiser step; the batch is cut into `accumulate` parts that give the same gradient."""
        recipe = self.job.recipe
        seed_everything(derive("step", self.augmentation_seed, self.step))
        y = self.labels[positions.to(self.device, non_blocking=True)]
        x = self.erase(_input(pixels, self.job.encoder, self.device, self.channels_last))
        if self.mix is not None and len(x) > 1:
            even = len(x) // 2 * 2
            x, y = self.mix(x[:even], y[:even].long())
        self.schedule.step_update(self.step)
        size = -(-len(x) // recipe.accumulate)
        weight = self.loss.weight(y)
        total = 0.0
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            with self._autocast():
                loss = self.loss.total(self.forward(x[part]), y[part]) / weight
            self.scaler.scale(loss).backward()
            total += float(loss.detach()) if not self.device.startswith("cuda") else 0.0
        if not np.isfinite(total):
            raise CellError(
                f"The training loss is not a number at step {self.step}.",
                where=f"{self.job.encoder.name} on {self.job.task.name}",
                fix="lower base_lr, set clip_grad: 1.0, or use precision: fp32",
            )
        if recipe.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.seen += len(positions)
        if self.ema is not None:
            self.ema.update(self.model, step=self.step)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.split(":")[0], dtype=dtype)

    # ------------------------------------------------------------------------------------------ an epoch

    def _judged(self) -> Classifier:
        return self.ema.module if self.ema is not None else self.model

    def _end_epoch(self) -> None:
        epoch = self.step // self.per_epoch - 1
        trained = self._trained(self._judged())
        scores = trained.scores(self.job.validation.images)
        if not np.isfinite(scores).all():
            raise CellError(
                f"The model's scores are not numbers after epoch {epoch + 1}.",
                where=f"{self.job.encoder.name} on {self.job.task.name}",
                fix="lower base_lr, set clip_grad: 1.0, or use precision: fp32 or bf16",
            )
        recipe = self.job.recipe
        value = selection_value(recipe.select_on, self.job.metric, self.job.validation.labels, scores)
        self.history.append(value)
        if recipe.select_on == "last" or value > self.best["value"]:
            weights = {k: v.detach().clone() for k, v in self._judged().state_dict().items()}
            self.best = {"epoch": epoch, "value": value, "model": weights}
        self._training_mode()

    def _training_mode(self) -> None:
        """Drop path and dropout on; running statistics of a frozen encoder stay what they are."""
        self.model.train()
        if self.job.recipe.train != "all":
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _trained(self, model: Classifier) -> Trained:
        return Trained(
            model, self.job.task, self.head, self.job.encoder, self.device, self._autocast,
            self.best["epoch"], self.best["value"], self.history, self.step,
            self.seen / self.seconds if self.seconds else 0.0, tuple(self.epoch_seconds[:-1]),
            self.precision, self.channels_last,
        )  # fmt: skip

    def _finish(self) -> Trained:
        self.model.load_state_dict(self.best["model"])
        return self._trained(self.model)

    # ------------------------------------------------------------------------------------------ resume

    def fingerprint(self) -> str:
        """Hash of everything that decides the training."""
        job = self.job
        labels = hashlib.sha256(np.ascontiguousarray(job.train.labels).tobytes()).hexdigest()
        said = [SCHEMA, job.encoder.name, job.task.name, job.metric, job.seed, self.precision, labels]
        return hashlib.sha256(json.dumps([said, job.recipe.model_dump(mode="json")]).encode()).hexdigest()

    def _save(self) -> None:
        if self.path is None:
            return
        pause = self.job.recipe.checkpoint_seconds
        if pause > 0:
            pause = max(pause, min(PAUSE_PER_SAVING * self.saving_took, LONGEST_PAUSE_S))
        started = time.monotonic()
        if started - self.saved_at < pause:
            return
        state = {
            "fingerprint": self.fingerprint(),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
            "best": self.best,
            "history": self.history,
            "epoch_seconds": self.epoch_seconds,
        }
        save_checkpoint(self.path, state)
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    def _resume(self) -> None:
        state = load_checkpoint(self.path, self.fingerprint()) if self.path is not None else None
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.step, self.best, self.history = state["step"], state["best"], state["history"]
        self.epoch_seconds = state.get("epoch_seconds", [0.0])


def _input(pixels: Any, encoder: EncoderInfo, device: str, channels_last: bool) -> torch.Tensor:
    x = to_input(pixels, encoder.preprocess, device)
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _precision(job: Job) -> str:
    wanted, cuda = job.recipe.precision, job.device.startswith("cuda")
    if wanted == "auto":
        wanted = job.precision if job.precision != "fp32" else ("bf16" if cuda else "fp32")  # type: ignore[assignment]
    return "fp32" if wanted == "fp16" and not cuda else wanted  # no half-precision arithmetic on CPUs


def _check(job: Job, head: str) -> None:
    recipe = job.recipe
    if (recipe.mixup or recipe.cutmix) and head != "softmax":
        raise CellError(f"mixup and cutmix need the softmax head, not {head}.", fix="mixup: 0, cutmix: 0")
    if len(job.train.images) == 0 or len(job.validation.images) == 0:
        raise CellError("There are no training or no validation images.", fix="use another split")
    check_selection(recipe.select_on, job.metric, job.task, job.validation.labels)


def _mixup(job: Job) -> Any:
    recipe = job.recipe
    if not (recipe.mixup or recipe.cutmix):
        return None
    from timm.data import Mixup

    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=len(job.task.classes),
    )


def _erasing(job: Job) -> Callable[[torch.Tensor], torch.Tensor]:
    probability = job.recipe.augmentation.random_erasing
    if not probability:
        return lambda x: x
    from timm.data.random_erasing import RandomErasing

    eraser: Callable[[torch.Tensor], torch.Tensor] = RandomErasing(
        probability, mode="pixel", device=job.device
    )
    return eraser
