from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from benchbench.api import HALF, Preprocess
from benchbench.errors import DataError
from benchbench.images import prepare, prepare_many, to_input

Photo = Callable[..., Image.Image]
KERNELS = {
    "bicubic": transforms.InterpolationMode.BICUBIC,
    "bilinear": transforms.InterpolationMode.BILINEAR,
    "lanczos": transforms.InterpolationMode.LANCZOS,
}
SIZES = [(640, 480), (480, 640), (333, 500), (1531, 1021), (60, 40), (257, 256)]


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int))


def assert_within_a_grey_level(ours: np.ndarray, reference: np.ndarray) -> None:
    off = difference(ours, reference)
    assert off.max() <= 2
    assert (off > 1).mean() <= 1e-5
    assert (off > 0).mean() <= 0.02


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_short_side_and_centre_crop_equal_torchvision_on_pillow(
    photo: Photo, size: tuple[int, int], kernel: str
) -> None:
    image = photo(*size)
    official = transforms.Compose([transforms.Resize(96, KERNELS[kernel]), transforms.CenterCrop(81)])
    recipe = Preprocess("eval", 81, "short_side", 96, interpolation=kernel)  # type: ignore[arg-type]
    assert_within_a_grey_level(prepare(image, recipe), np.asarray(official(image)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_squash_equals_pillow(photo: Photo, size: tuple[int, int], kernel: str) -> None:
    image = photo(*size)
    reference = np.asarray(image.resize((64, 64), Image.Resampling[kernel.upper()]))
    recipe = Preprocess("squash", 64, "squash", interpolation=kernel)  # type: ignore[arg-type]
    assert_within_a_grey_level(prepare(image, recipe), reference)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
def test_the_tensor_resizer_is_torchvisions_to_the_last_bit(
    photo: Photo, size: tuple[int, int], kernel: str
) -> None:
    image = photo(*size)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    official = v2.functional.resize(tensor, [98, 98], KERNELS[kernel], antialias=True)
    recipe = Preprocess("tensor", 98, "squash", interpolation=kernel, resizer="tensor")  # type: ignore[arg-type]
    assert np.array_equal(prepare(image, recipe), official.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(640, 480), (300, 301), (20, 30)])
def test_a_crop_larger_than_the_image_is_padded_as_torchvision_does(
    photo: Photo, size: tuple[int, int]
) -> None:
    image = photo(*size)
    official = transforms.Compose([transforms.Resize(20), transforms.CenterCrop(33)])
    recipe = Preprocess("eval", 33, "short_side", 20, interpolation="bilinear")
    assert_within_a_grey_level(prepare(image, recipe), np.asarray(official(image)))


def test_padding_keeps_the_aspect_and_fills_right_and_bottom_with_zeros() -> None:
    out = prepare(np.full((50, 100, 3), 200, np.uint8), Preprocess("pad", 64, "fit_pad"))
    assert out.shape == (64, 64, 3)
    assert (out[:32] == 200).all()
    assert (out[32:] == 0).all()


def test_files_images_and_arrays_are_prepared_alike(photo: Photo, tmp_path: Path) -> None:
    image = photo(300, 200)
    image.save(path := tmp_path / "a.png")
    recipe = Preprocess("eval", 64)
    expected = prepare(image, recipe)
    assert expected.dtype == np.uint8
    for source in (path, str(path), np.asarray(image)):
        assert np.array_equal(prepare(source, recipe), expected)


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 4)])
def test_grey_and_transparent_arrays_are_prepared_as_pillow_converts_them(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels[:, :, 0] if shape[2:] == (1,) else pixels)
    recipe = Preprocess("a", 16, decode="reference")
    assert np.array_equal(prepare(pixels, recipe), prepare(np.asarray(image.convert("RGB")), recipe))


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((30, 40, 3)), np.zeros((30, 40, 5), np.uint8), np.zeros(70, np.uint8), np.uint8(3)],
    ids=["float", "five channels", "one axis", "a number"],
)
def test_arrays_that_are_no_image_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8"):
        prepare(wrong, Preprocess("a", 8))


@pytest.mark.parametrize("kind", ["file", "image", "array"])
def test_a_speck_is_refused_in_every_form(kind: str, photo: Photo, tmp_path: Path) -> None:
    image = photo(40, 7)
    image.save(path := tmp_path / "a.png")
    with pytest.raises(DataError, match="absurd size"):
        prepare({"file": path, "image": image, "array": np.asarray(image)}[kind], Preprocess("a", 8))


@pytest.mark.parametrize("size", [(2400, 1900), (3000, 785), (785, 3000), (640, 480)])
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_reference_pixels_are_those_of_torchvision_on_pillow_at_every_size(
    photo: Photo, tmp_path: Path, size: tuple[int, int], kernel: str
) -> None:
    photo(*size).save(path := tmp_path / "a.jpg", quality=90)
    official = transforms.Compose([transforms.Resize(256, KERNELS[kernel]), transforms.CenterCrop(224)])
    recipe = Preprocess("eval", 224, "short_side", 256, interpolation=kernel, decode="reference")  # type: ignore[arg-type]
    expected = np.asarray(official(Image.open(path).convert("RGB")))
    assert np.array_equal(prepare(path, recipe), expected)


def test_one_image_is_decoded_once_for_all_recipes(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(400, 300).save(path := tmp_path / "a.jpg")
    import benchbench.images.preparing as room

    decoded = []
    real = room.decode_bytes
    monkeypatch.setattr(room, "decode_bytes", lambda data, p: decoded.append(p) or real(data, p))
    recipes = [Preprocess("a", 32), Preprocess("b", 48, "squash"), Preprocess("c", 32, mean=HALF)]
    many = prepare_many(path, recipes)
    assert len(decoded) == 1
    monkeypatch.undo()
    for image, recipe in zip(many, recipes, strict=True):
        assert np.array_equal(image, prepare(path, recipe))


def test_fast_decoding_stays_close_and_does_not_depend_on_other_encoders(
    photo: Photo, tmp_path: Path
) -> None:
    photo(1600, 1200).save(path := tmp_path / "a.jpg", quality=92)
    fast, large = Preprocess("f", 64, decode="fast"), Preprocess("g", 300, decode="fast")
    alone = prepare(path, fast)
    beside = prepare_many(path, [Preprocess("e", 64), large, fast])
    assert np.array_equal(beside[2], alone)
    assert not np.array_equal(alone, beside[0])
    assert difference(alone, beside[0]).mean() < 1.5  # pure noise is the hardest case


def test_fixed_normalisation_equals_totensor_and_normalize() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    recipe = Preprocess("a", 16)
    official = transforms.Compose([transforms.ToTensor(), transforms.Normalize(recipe.mean, recipe.std)])
    expected = torch.stack([official(image) for image in batch])
    assert torch.equal(to_input(batch, recipe), expected)
    assert torch.equal(to_input(torch.from_numpy(batch), recipe), expected)


def test_per_image_normalisation_gives_each_channel_mean_zero_and_deviation_one() -> None:
    batch = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    x = batch.astype(np.float64) / 255
    expected = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    ours = to_input(batch, Preprocess("z", 16, normalise="per_image")).numpy()
    np.testing.assert_allclose(ours, expected.transpose(0, 3, 1, 2), atol=2e-6)


def test_a_channel_without_contrast_becomes_zero_not_nan() -> None:
    out = to_input(np.full((1, 8, 8, 3), 77, np.uint8), Preprocess("z", 8, normalise="per_image"))
    assert torch.equal(out, torch.zeros(1, 3, 8, 8))


def test_real_photographs_stay_within_a_grey_level_of_the_official_transform(shared: Path) -> None:
    files = sorted((shared / "realdata" / "idrid").rglob("*.jpg"))[:6]
    official = transforms.Compose([transforms.Resize(256, KERNELS["bicubic"]), transforms.CenterCrop(224)])
    for path in files:
        reference = np.asarray(official(Image.open(path).convert("RGB")))
        assert difference(prepare(path, Preprocess("eval", 224, "short_side", 256)), reference).max() == 0
