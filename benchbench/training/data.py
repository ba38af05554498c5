"""Training images: augmented in worker processes, one stream over all epochs, the same whatever the worker count."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..api import Preprocess
from ..context import ImageSource
from ..machine import usable_cores, visible_gpus
from .recipe import Augmentation, Recipe
from .seeds import derive, seed_everything

log = logging.getLogger("benchbench")
GPU_WORKERS = 12
BATCHES_AHEAD = 4


def source_preprocess(preprocess: Preprocess, augmentation: Augmentation) -> Preprocess:
    """How files become the prepared images that random crops are drawn from."""
    from dataclasses import replace

    size = augmentation.source_size or preprocess.size
    resize = "squash" if augmentation.source_resize == "squash" else preprocess.resize
    if size == preprocess.size and resize == preprocess.resize:
        return preprocess
    return replace(preprocess, name=f"train{size}", size=size, resize=resize, resize_to=None)


def build_augmentation(augmentation: Augmentation, preprocess: Preprocess) -> Any:
    """PIL image to augmented PIL image of the network's input size, by timm's and torchvision's transforms."""
    from timm.data.transforms import RandomResizedCropAndInterpolation, str_to_pil_interp
    from torchvision import transforms as T

    a = augmentation
    steps: list[Any] = []
    if a.rotation:
        steps.append(T.RandomRotation(a.rotation, T.InterpolationMode(a.rotation_interpolation)))
    source = a.source_size or preprocess.size
    if a.crop_scale != (1.0, 1.0) or a.crop_ratio != (1.0, 1.0) or source != preprocess.size:
        steps.append(
            RandomResizedCropAndInterpolation(
                preprocess.size, a.crop_scale, a.crop_ratio, interpolation=preprocess.interpolation
            )
        )
    if a.horizontal_flip:
        steps.append(T.RandomHorizontalFlip(a.horizontal_flip))
    if a.vertical_flip:
        steps.append(T.RandomVerticalFlip(a.vertical_flip))
    if a.grayscale:
        steps.append(T.RandomGrayscale(a.grayscale))
    if a.color_jitter:
        steps.append(T.ColorJitter(a.color_jitter, a.color_jitter, a.color_jitter))
    if a.rand_augment:
        mean = preprocess.mean if preprocess.normalise == "fixed" else (0.5, 0.5, 0.5)
        settings = {
            "translate_const": int(preprocess.size * 0.45),
            "img_mean": tuple(min(255, round(255 * m)) for m in mean),
            "interpolation": str_to_pil_interp(preprocess.interpolation),
        }
        steps.append(_rand_augment(a.rand_augment, settings))
    return T.Compose(steps)


def _rand_augment(policy: str, settings: dict[str, Any]) -> Any:
    """timm's RandAugment; its strongest posterisation (0 bits, a black image) is an error in newer Pillow versions."""
    from timm.data import auto_augment

    def posterize(image: Any, bits: int, **_: Any) -> Any:
        return auto_augment.posterize(image, bits) if bits > 0 else image.point(lambda _: 0)

    augment = auto_augment.rand_augment_transform(policy, settings)
    for operation in augment.ops:
        if operation.aug_fn is auto_augment.posterize:
            operation.aug_fn = posterize
    return augment


class AugmentedImages(Dataset[tuple[torch.Tensor, int]]):
    """Augmented uint8 images (H, W, 3); an item is asked for as (epoch, position)."""

    def __init__(self, images: ImageSource, transform: Any, seed: int) -> None:
        self.images, self.transform, self.seed = images, transform, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        from PIL import Image

        epoch, position = key
        pixels = np.asarray(self.images[np.array([position])])[0]
        seed_everything(derive("augmentation", self.seed, epoch, position))
        varied = np.asarray(self.transform(Image.fromarray(pixels)))
        return torch.from_numpy(np.array(varied)), position


@dataclass(frozen=True)
class Order:
    """Which images each step of each epoch holds: a permutation per epoch, decided by the seed alone."""

    images: int
    batch_size: int
    drop_last: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the images."""
        full, rest = divmod(self.images, self.batch_size)
        return max(1, full if self.drop_last or not rest else full + 1)

    def epoch(self, epoch: int) -> list[list[tuple[int, int]]]:
        """The batches of an epoch, as (epoch, position) keys."""
        generator = np.random.Generator(np.random.PCG64(derive("order", self.seed, epoch)))
        positions = generator.permutation(self.images).tolist()
        starts = [i * self.batch_size for i in range(self.steps_per_epoch)]
        return [[(epoch, p) for p in positions[s : s + self.batch_size]] for s in starts]

    def stream(self, step: int, epochs: int) -> Iterator[list[tuple[int, int]]]:
        """All batches from `step` (counted over all epochs) to the end."""
        for epoch in range(step // self.steps_per_epoch, epochs):
            skip = step % self.steps_per_epoch if epoch == step // self.steps_per_epoch else 0
            yield from self.epoch(epoch)[skip:]


def training_batches(
    dataset: AugmentedImages, order: Order, recipe: Recipe, step: int, device: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(uint8 images (B, H, W, 3), positions (B,)) of each step; workers keep loading across epochs."""
    batch_bytes = dataset.images[np.array([0])].nbytes * recipe.batch_size
    workers, ahead = _loaders(recipe.workers, device, batch_bytes, _shared_memory())
    return iter(
        DataLoader(
            dataset,
            batch_sampler=order.stream(step, recipe.epochs),
            num_workers=workers,
            pin_memory=device.startswith("cuda"),
            prefetch_factor=ahead if workers else None,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_one_thread if workers else None,
        )
    )


def _loaders(wanted: int | None, device: str, batch_bytes: int, shared_memory: int) -> tuple[int, int]:
    """(processes that load images, batches that each has ready): as many as cores and shared memory hold.

    A container may have 64 MB of shared memory, and a process that writes past its end is killed.
    """
    workers = wanted
    if workers is None:
        share = usable_cores() // max(1, visible_gpus())  # other GPUs have processes of their own
        workers = max(1, min(GPU_WORKERS, share)) if device.startswith("cuda") else 0
    if workers and multiprocessing.current_process().daemon:
        log.warning("images are loaded by one process: this one was started so that it may have no children")
        return 0, 0
    room = shared_memory // (2 * batch_bytes)
    if workers > room:
        log.warning("%d processes load images instead of %d: shared memory holds no more", room, workers)
        workers = room
    return workers, min(BATCHES_AHEAD, room // workers) if workers else 0


def _shared_memory() -> int:
    """Free bytes of the shared memory through which processes hand over tensors."""
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:  # not on every system
        return sys.maxsize


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
