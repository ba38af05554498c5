from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.errors import DataError
from benchbench.images import decode, find_unreadable, image_size
from benchbench.images.decoding import _vips, decode_scaled

Photo = Callable[..., Image.Image]


def by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (123, 77)])
def test_a_jpeg_has_pillows_pixels(
    photo: Photo, tmp_path: Path, subsampling: str, progressive: bool, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    photo(*size).save(path, quality=90, subsampling=subsampling, progressive=progressive)
    assert np.array_equal(decode(path), by_pillow(path))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_grey_or_cmyk_jpeg_has_pillows_pixels(photo: Photo, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    photo(99, 65, mode).save(path, quality=90)
    assert np.array_equal(decode(path), by_pillow(path))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
@pytest.mark.parametrize("vips", [True, False])
def test_a_png_of_any_mode_has_pillows_pixels(
    photo: Photo, tmp_path: Path, mode: str, vips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if vips and _vips() is None:
        pytest.skip("pyvips is not installed")
    if not vips:
        monkeypatch.setattr("benchbench.images.decoding._vips", lambda: None)
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20).save(path)
    elif mode == "P":
        photo(64, 48).quantize(17).save(path, transparency=3)
    else:
        photo(64, 48, mode).save(path)
    assert np.array_equal(decode(path), by_pillow(path))


def test_a_png_with_transparency_key_gamma_or_profile_has_pillows_pixels(
    photo: Photo, tmp_path: Path
) -> None:
    from PIL import ImageCms, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    keyed, profiled = tmp_path / "keyed.png", tmp_path / "profiled.png"
    photo(64, 48).save(keyed, pnginfo=info, transparency=(1, 2, 3))
    photo(64, 48).save(profiled, icc_profile=profile)
    for path in (keyed, profiled):
        assert np.array_equal(decode(path), by_pillow(path))


@pytest.mark.parametrize("name", ["a.tif", "a.bmp", "a.webp"])
def test_other_formats_come_through_pillow(photo: Photo, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    photo(40, 30).save(path)
    assert np.array_equal(decode(path), by_pillow(path))


def test_the_orientation_mark_of_a_camera_is_not_applied(photo: Photo, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(40, 30).save(path, exif=exif)
    assert decode(path).shape == (30, 40, 3)


def broken_files(photo: Photo, folder: Path) -> dict[str, Path]:
    files = {
        name: folder / name for name in ("empty.jpg", "text.png", "cut.jpg", "cut.png", "gone.jpg", "bad.png")
    }
    buffer = io.BytesIO()
    photo(200, 150).save(buffer, "JPEG")
    files["cut.jpg"].write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    buffer = io.BytesIO()
    photo(200, 150).save(buffer, "PNG")
    files["cut.png"].write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    damaged = bytearray(buffer.getvalue())
    damaged[len(damaged) // 2] ^= 0xFF
    files["bad.png"].write_bytes(damaged)
    files["empty.jpg"].write_bytes(b"")
    files["text.png"].write_text("not an image")
    return files


def test_every_unusable_file_is_an_error_that_names_it(photo: Photo, tmp_path: Path) -> None:
    for path in (*broken_files(photo, tmp_path).values(), tmp_path):
        with pytest.raises(DataError) as caught:
            decode(path)
        assert caught.value.where == str(path)
        assert caught.value.fix


def test_unreadable_files_are_found_together_and_sound_ones_are_not(photo: Photo, tmp_path: Path) -> None:
    broken = broken_files(photo, tmp_path)
    del broken["bad.png"]  # damage in the middle shows when the image is decoded
    good = tmp_path / "good.jpg"
    photo(64, 48).save(good)
    found = dict(find_unreadable([good, *broken.values()]))
    assert set(found) == set(broken.values())
    assert all(found.values())


@pytest.mark.parametrize("size", [(60_000, 60_000), (7, 400), (5000, 20)])
def test_absurd_sizes_are_refused_before_the_pixels_are_decoded(
    photo: Photo, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.png"
    photo(16, 16).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(DataError, match="absurd size"):
        decode(path)
    with pytest.raises(DataError, match="absurd size"):
        image_size(path)


@pytest.mark.parametrize(
    ("wanted", "expected"), [(100, (100, 150)), (101, (200, 300)), (401, (800, 1200)), (50, (100, 150))]
)
def test_scaled_decoding_stays_at_the_wanted_size_or_above(
    photo: Photo, tmp_path: Path, wanted: int, expected: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    photo(1200, 800).save(path, quality=90)
    pixels = decode_scaled(path.read_bytes(), path, wanted, wanted)
    assert pixels.shape[:2] == expected
    if expected == (800, 1200):
        assert np.array_equal(pixels, by_pillow(path))


def test_scaled_decoding_of_other_formats_is_full_decoding(photo: Photo, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo(400, 300).save(path)
    assert np.array_equal(decode_scaled(path.read_bytes(), path, 10, 10), by_pillow(path))
