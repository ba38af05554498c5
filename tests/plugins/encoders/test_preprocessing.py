"""From the file to the embedding as the official code does it, on images that are easy to get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import by_hand as hand
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode as Mode
from torchvision.transforms import v2

from benchbench.encoder import Encoder
from benchbench.plugins import registry
from benchbench.weights import UNTRAINED

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
Transform = Callable[[Image.Image], torch.Tensor]


def crop(resize: int, size: int, mode: Mode, mean_std: tuple = IMAGENET) -> Transform:
    return T.Compose(
        [T.Resize(resize, interpolation=mode), T.CenterCrop(size), T.ToTensor(), T.Normalize(*mean_std)]
    )


def squash(size: int, mode: Mode, mean_std: tuple = IMAGENET) -> Transform:
    return T.Compose([T.Resize((size, size), interpolation=mode), T.ToTensor(), T.Normalize(*mean_std)])


def green(size: int) -> Transform:
    """The README: read as uint8 tensor, antialiased bilinear resize, scale, normalise."""
    resize = v2.Compose(
        [v2.PILToTensor(), v2.Resize((size, size), antialias=True), v2.ToDtype(torch.float32, scale=True)]
    )
    return lambda image: T.Normalize(*HALF)(resize(image))


def per_image(image: Image.Image) -> torch.Tensor:
    """The notebook of 2025: each channel by its own mean and standard deviation."""
    x = np.asarray(image.resize((224, 224)), dtype=np.float64) / 255
    x = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    return torch.from_numpy(x).permute(2, 0, 1).float()


def flair(image: Image.Image) -> torch.Tensor:
    x = torch.tensor(np.float32(np.array(image)) / 255).permute(2, 0, 1)
    scale = max(x.shape[1:]) / 512
    x = T.Resize((int(x.shape[1] / scale), int(x.shape[2] / scale)), antialias=True)(x)
    return torch.nn.functional.pad(x, (0, 512 - x.shape[2], 0, 512 - x.shape[1]))


VISIONFM = (
    (0.423737496137619, 0.2609460651874542, 0.128403902053833),
    (0.29482534527778625, 0.20167365670204163, 0.13668020069599152),
)
OFFICIAL: dict[str, Transform] = {
    "retfound_mae_cfp": crop(256, 224, Mode.BICUBIC),
    "retfound_mae_cfp:nb2024": lambda i: T.Normalize(*IMAGENET)(T.ToTensor()(i.resize((224, 224)))),
    "retfound_mae_cfp:nb2025": per_image,
    "retfound_dinov2_meh": crop(256, 224, Mode.BICUBIC),
    "deretfound": squash(224, Mode.BILINEAR),
    "deretfound:retfound_eval": crop(256, 224, Mode.BICUBIC),
    "retfound_green": green(392),
    "mae_imagenet": crop(256, 224, Mode.BICUBIC),
    "mocov3_vitb16": crop(256, 224, Mode.BILINEAR),
    "dino_vitb16": crop(256, 224, Mode.BICUBIC),
    "swav_resnet50": crop(256, 224, Mode.BILINEAR, (IMAGENET[0], (0.228, 0.224, 0.225))),
    "vit_l16_in21k": crop(248, 224, Mode.BICUBIC, HALF),
    "resnet50": crop(256, 224, Mode.BILINEAR),
    "resnet50:a1_in1k": crop(235, 224, Mode.BICUBIC),
    "efficientnet_lite0": crop(256, 224, Mode.BICUBIC, HALF),
    "efficientnet_lite2": crop(292, 260, Mode.BICUBIC, HALF),
    "visionfm_cfp": squash(224, Mode.BILINEAR, VISIONFM),
    "dinov2_vits14_reg4:green_224": green(224),
}


def photograph(height: int, width: int) -> np.ndarray:
    """A disc with vessels and grain, (H, W, 3) uint8."""
    rng = np.random.default_rng(height + width)
    y, x = np.mgrid[:height, :width] / max(height, width)
    disc = np.hypot(y - y.mean(), x - x.mean()) < 0.45
    vessels = 0.5 + 0.5 * np.sin(40 * x + 9 * np.sin(7 * y))
    rgb = np.stack([0.7 * disc, 0.35 * disc * vessels, 0.15 * disc * (1 - vessels)], -1)
    return np.clip(rgb * 255 + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rgb = photograph(517, 733)
    alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    alpha[:100] = 0
    Image.fromarray(rgb).save(folder / "photo.jpg", quality=92)
    Image.fromarray(photograph(1521, 2101)).save(folder / "large.jpg", quality=92)
    Image.fromarray(photograph(731, 401)).save(folder / "upright.png")
    Image.fromarray(rgb[:, :, 1]).save(folder / "grey.png")
    Image.fromarray(np.concatenate([rgb, alpha], -1)).save(folder / "rgba.png")
    Image.fromarray(rgb[:, :, 1].astype(np.uint16) * 200).save(folder / "sixteen_bit.png")
    Image.fromarray(photograph(61, 93)).save(folder / "tiny.png")
    return sorted(folder.iterdir())


def narrow(name: str) -> Encoder:
    """The encoder with its own preprocessing, as outside suites, and a small random network."""
    info = registry().encoder(name)
    info = replace(info, preprocess=replace(info.preprocess, decode="reference"))
    recipe = info.load.__self__  # type: ignore[attr-defined]
    if "vit" in recipe.timm_model:
        recipe = replace(recipe, build={**recipe.build, **hand.SMALL})
    elif recipe.timm_model == "resnet50":
        recipe = replace(recipe, timm_model="resnet18")
    module = recipe.load(None, "cpu")
    with torch.inference_mode():
        width = module(torch.zeros(1, 3, info.preprocess.size, info.preprocess.size)).shape[1]
    return Encoder(replace(info, embed_dim=width), UNTRAINED, module, "cpu")


@pytest.mark.parametrize("name", OFFICIAL)
def test_embedding_of_a_file_equals_the_official_transform(name: str, pictures: list[Path]) -> None:
    encoder = narrow(name)
    with torch.no_grad():
        x = torch.stack([OFFICIAL[name](Image.open(p).convert("RGB")) for p in pictures])
        expected = encoder.module(x).numpy()
    got = encoder.embed(pictures)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_flair_stays_within_the_rounding_of_its_pixels(pictures: list[Path]) -> None:
    """FLAIR's code resizes floats; prepared images are 8 bits deep, so half a grey level is the bound."""
    from benchbench.images import prepare, to_input

    preprocess = registry().encoder("flair").preprocess
    for picture in pictures:
        ours = to_input(prepare(picture, preprocess)[None], preprocess)[0]
        assert (ours - flair(Image.open(picture).convert("RGB"))).abs().max() <= 1.01 / 255, picture.name


MISTAKES = {
    "bilinear": crop(256, 224, Mode.BILINEAR),
    "squash": squash(224, Mode.BICUBIC),
    "mean and standard deviation of one half": crop(256, 224, Mode.BICUBIC, HALF),
    "no resize to 256": crop(224, 224, Mode.BICUBIC),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_preprocessing_mistake_on_retfound_is_outside_the_tolerance(
    mistake: str, pictures: list[Path]
) -> None:
    encoder = narrow("retfound_mae_cfp")
    with torch.no_grad():
        x = torch.stack([MISTAKES[mistake](Image.open(p).convert("RGB")) for p in pictures])
        wrong = encoder.module(x).numpy()
    assert np.abs(encoder.embed(pictures) - wrong).max() > 2e-3


def test_paths_pil_images_and_arrays_give_the_same_embedding(pictures: list[Path]) -> None:
    encoder = narrow("retfound_green")
    path = next(p for p in pictures if p.name == "upright.png")
    image = Image.open(path)
    by_path, by_image, by_array = (encoder.embed(x) for x in (path, image, np.asarray(image)))
    assert by_path.shape == (1, 64)
    assert np.array_equal(by_path, by_image)
    assert np.array_equal(by_path, by_array)
    assert encoder.embed([str(path), image]).shape == (2, 64)
    assert encoder.embed([]).shape == (0, 64)
