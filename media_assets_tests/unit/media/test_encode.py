import hashlib
import io
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.encode import QUALITY_OF, encode_picture, flatten, store
from media_assets.media.errors import ScratchError
from media_assets.media.rendering import PictureFormat
from media_assets_tests.unit.media.rendition_files import ALLOWED_PARTS, jpeg_parts, parts
from media_assets_tests.unit.media.samples import BLUE, GREEN, RED, WHITE, corner_colors, is_close, quadrants

FORMATS: tuple[PictureFormat, ...] = ("jpeg", "webp", "avif")
WITH_ALPHA: tuple[PictureFormat, ...] = ("webp", "avif")


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("format_name", FORMATS)
def test_pixels_survive(format_name: PictureFormat) -> None:
    picture = opened(encode_picture(np.asarray(quadrants(160, 96)), format_name, 90))
    assert (picture.format, picture.mode, picture.size) == (format_name.upper(), "RGB", (160, 96))
    assert is_close(corner_colors(picture), [RED, GREEN, BLUE, WHITE], 8)


@pytest.mark.parametrize("format_name", FORMATS)
def test_parts_of_arrays_and_mirrored_ones_are_encoded_as_they_look(format_name: PictureFormat) -> None:
    pixels = gradient(120, 80)[8:72, 100:4:-1]
    assert encode_picture(pixels, format_name, 80) == encode_picture(np.ascontiguousarray(pixels), format_name, 80)


@pytest.mark.parametrize("format_name", FORMATS)
def test_grey_stays_grey(format_name: PictureFormat) -> None:
    grey = gradient(90, 60)[..., 0]
    picture = opened(encode_picture(grey, format_name, 90))
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - grey[..., np.newaxis]).mean() < 3


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 7, 3), (300, 1, 3), (3, 2000, 3), (17, 1)])
def test_tiny_and_thin_pictures(format_name: PictureFormat, shape: tuple[int, ...]) -> None:
    picture = opened(encode_picture(np.full(shape, 200, np.uint8), format_name, 87))
    assert picture.size == (shape[1], shape[0])
    assert picture.convert("L").getpixel((0, 0)) == pytest.approx(200, abs=3)


@pytest.mark.parametrize("format_name", WITH_ALPHA)
def test_transparency_is_kept(format_name: PictureFormat) -> None:
    pixels = np.dstack([gradient(64, 48), np.repeat(np.arange(64, dtype=np.uint8)[np.newaxis] * 4, 48, axis=0)])
    picture = opened(encode_picture(pixels, format_name, 90))
    assert picture.mode == "RGBA"
    assert np.abs(np.asarray(picture)[..., 3].astype(int) - pixels[..., 3]).max() <= 6


@pytest.mark.parametrize("format_name", WITH_ALPHA)
def test_what_was_erased_is_not_in_the_file(format_name: PictureFormat) -> None:
    erased = np.dstack([np.asarray(Image.effect_noise((160, 120), 90).convert("RGB")), np.zeros((120, 160), np.uint8)])
    erased[30:90, 40:120] = (90, 120, 150, 255)
    other = np.where(erased[..., 3:] > 0, erased, 0).astype(np.uint8)
    data = encode_picture(erased, format_name, 85)
    assert data == encode_picture(other, format_name, 85)
    shown = np.asarray(opened(data)).astype(int)
    assert np.abs(shown[shown[..., 3] > 128][:, :3] - (90, 120, 150)).max() < 8
    assert np.abs(shown[..., :3].mean(axis=(0, 1)) - (90, 120, 150)).max() < 60  # and not noise


@pytest.mark.parametrize("format_name", WITH_ALPHA)
def test_nothing_is_visible(format_name: PictureFormat) -> None:
    picture = opened(encode_picture(np.zeros((5, 9, 4), np.uint8), format_name, 85))
    assert (picture.size, picture.getchannel("A").getextrema()[1]) == ((9, 5), 0)


@pytest.mark.parametrize("format_name", FORMATS)
def test_higher_quality_is_nearer_and_larger(format_name: PictureFormat) -> None:
    pixels = np.asarray(Image.effect_noise((128, 96), 60).convert("RGB"))
    low, high = (encode_picture(pixels, format_name, quality) for quality in (40, 95))
    assert len(low) < len(high)
    far, near = (np.abs(np.asarray(opened(data)).astype(int) - pixels).mean() for data in (low, high))
    assert near < far


def test_full_chroma_keeps_red_text_on_blue() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2], pixels[:, 1::2] = (230, 20, 20), (20, 20, 230)
    half, full = (opened(encode_picture(pixels, "jpeg", 95, full_chroma=chroma)) for chroma in (False, True))
    assert np.abs(np.asarray(full).astype(int) - pixels).mean() < 12
    assert np.abs(np.asarray(half).astype(int) - pixels).mean() > 60


def test_jpeg_is_progressive_and_says_that_it_is_jfif() -> None:
    data = encode_picture(gradient(80, 60), "jpeg", 87)
    assert jpeg_parts(data)[0] == "e0:JFIF"
    assert "c2" in jpeg_parts(data)
    assert opened(data).info["jfif_density"] == (1, 1)


@pytest.mark.parametrize(
    ("format_name", "bands"), [(name, bands) for name in FORMATS for bands in (1, 3, 4) if (name, bands) != ("jpeg", 4)]
)
def test_nothing_but_the_picture_is_in_the_file(format_name: PictureFormat, bands: int) -> None:
    pixels = np.dstack([gradient(80, 60), gradient(80, 60)[..., :1]])
    data = encode_picture(pixels[..., 0] if bands == 1 else pixels[..., :bands], format_name, 80)
    assert parts(data, format_name) <= ALLOWED_PARTS[format_name]


_DIGESTS = """
import hashlib, numpy as np
from media_assets.media.encode import encode_picture
pixels = np.random.default_rng(3).integers(0, 255, (120, 150, 3), dtype=np.uint8)
for name in ("jpeg", "webp", "avif"):
    print(hashlib.sha256(encode_picture(pixels, name, 80)).hexdigest())
"""


def test_the_same_bytes_in_another_process() -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (120, 150, 3), dtype=np.uint8)
    here = [hashlib.sha256(encode_picture(pixels, name, 80)).hexdigest() for name in FORMATS]
    again = [hashlib.sha256(encode_picture(pixels, name, 80)).hexdigest() for name in FORMATS]
    there = subprocess.run([sys.executable, "-c", _DIGESTS], capture_output=True, text=True, check=True).stdout.split()
    assert here == again == there


@pytest.mark.parametrize(
    ("pixels", "format_name"),
    [
        (np.zeros((0, 5, 3), np.uint8), "jpeg"),
        (np.zeros((5, 0), np.uint8), "webp"),
        (np.zeros((5, 5, 2), np.uint8), "avif"),
        (np.zeros((5, 5, 3), np.float32), "jpeg"),
        (np.zeros((5, 5, 4), np.uint8), "jpeg"),
        (np.zeros((65_501, 1), np.uint8), "jpeg"),
        (np.zeros((1, 65_536, 3), np.uint8), "jpeg"),
        (np.zeros((16_384, 1, 3), np.uint8), "webp"),
    ],
)
def test_pictures_that_a_format_cannot_hold(pixels: NDArray[np.uint8], format_name: PictureFormat) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_picture(pixels, format_name, 80)


_WITHOUT_MEMORY = """
import resource, sys, numpy as np
from media_assets.media.encode import encode_picture
encode_picture(np.zeros((16, 16, 3), np.uint8), sys.argv[1], 80)
pixels = np.random.default_rng(3).integers(0, 255, (2048, 2048, 3), dtype=np.uint8)
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 24 * 2**20, in_use + 24 * 2**20))
try:
    encode_picture(pixels, sys.argv[1], 80)
except MemoryError:
    print("no memory")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists() or not hasattr(resource, "RLIMIT_AS"), reason="Linux only")
@pytest.mark.parametrize("format_name", FORMATS)
def test_no_memory_is_an_error_and_no_crash(format_name: PictureFormat) -> None:
    call = [sys.executable, "-c", _WITHOUT_MEMORY, format_name]
    assert subprocess.run(call, capture_output=True, text=True, check=True).stdout == "no memory\n"


def test_every_format_has_a_quality() -> None:
    assert set(QUALITY_OF) == set(FORMATS)


def test_transparency_on_a_background() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = (0, 0, 255, 255)
    pixels[1, 1] = (255, 0, 0, 51)
    flat = flatten(pixels, "#00ff00")
    assert flat.shape == (4, 4, 3)
    assert flat[0, 0].tolist() == [0, 0, 255]
    assert flat[1, 1].tolist() == [51, 204, 0]
    assert flat[3, 3].tolist() == [0, 255, 0]


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_opaque_pictures_need_no_background(shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 9, np.uint8)
    assert flatten(pixels, "#00ff00") is pixels


def test_files_are_replaced(tmp_path: Path) -> None:
    assert store(b"first", tmp_path / "a") == 5
    assert store(b"new", tmp_path / "a") == 3
    assert (tmp_path / "a").read_bytes() == b"new"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ScratchError, match="No such file"):
        store(b"data", tmp_path / "gone" / "a")
