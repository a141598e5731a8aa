"""Copies without metadata: the same pixels and frames, nothing else of the file."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence, PngImagePlugin

from media_assets.media.errors import ContentError
from media_assets.media.stripped import strip_metadata
from media_assets_tests.unit.media.samples import encoded, exif_block, noisy, quadrants

SECRET = b"SECRET-PLACE-48.85N"


def frames_of(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as image:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]


def exif() -> Image.Exif:
    return exif_block({0x010E: SECRET.decode(), 0x0112: 1})


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg(**options: Any) -> bytes:
    data = encoded(noisy(90, 70), "JPEG", exif=exif(), comment=SECRET, xmp=SECRET, icc_profile=SECRET, **options)
    return data + b"ftypmp42 appended clip " + SECRET


def jpeg_with_jfif_thumbnail() -> bytes:
    data = encoded(quadrants(), "JPEG")
    thumbnail = SECRET[:18].ljust(27, b"x")
    header = b"JFIF\0\1\1\0\0\1\0\1\3\3" + thumbnail
    return data[:2] + b"\xff\xe0" + struct.pack(">H", len(header) + 2) + header + data[20:]


def png() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    data = encoded(quadrants().convert("P"), "PNG", pnginfo=text, exif=exif(), transparency=3)
    return data + SECRET


def animated(format_name: str, **options: Any) -> bytes:
    frames = [quadrants().rotate(angle).convert("RGBA") for angle in (0, 90, 180)]
    return encoded(frames[0], format_name, save_all=True, append_images=frames[1:], duration=[80, 120, 40], **options)


def webp(**options: Any) -> bytes:
    picture = quadrants().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return encoded(picture, "WEBP", exif=exif(), xmp=SECRET, icc_profile=SECRET, **options)


CASES = {
    "jpeg": ("jpeg", jpeg()),
    "progressive jpeg": ("jpeg", jpeg(progressive=True)),
    "jpeg with restarts": ("jpeg", jpeg(restart_marker_rows=1)),
    "grey jpeg": ("jpeg", encoded(noisy().convert("L"), "JPEG", comment=SECRET)),
    "cmyk jpeg": ("jpeg", encoded(noisy().convert("CMYK"), "JPEG", comment=SECRET)),
    "jpeg with a thumbnail in its header": ("jpeg", jpeg_with_jfif_thumbnail()),
    "png": ("png", png()),
    "apng": ("apng", animated("PNG", exif=exif(), loop=3)),
    "gif": ("gif", animated("GIF", comment=SECRET, loop=3)),
    "webp": ("webp", webp()),
    "lossless webp": ("webp", webp(lossless=True)),
    "opaque webp": ("webp", encoded(noisy(), "WEBP", exif=exif(), xmp=SECRET)),
    "animated webp": ("webp", animated("WEBP", exif=exif(), xmp=SECRET, loop=3)),
}


@pytest.mark.parametrize("case", CASES)
def test_keeps_every_pixel_and_nothing_else(case: str) -> None:
    format_name, data = CASES[case]
    assert SECRET[:18] in data
    stripped = strip_metadata(data, format_name)
    assert stripped is not None
    assert SECRET[:18] not in stripped
    assert b"Exif" not in stripped
    assert len(stripped) < len(data)
    before, after = frames_of(data), frames_of(stripped)
    assert len(before) == len(after)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert strip_metadata(stripped, format_name) == stripped


@pytest.mark.parametrize("case", ["apng", "gif", "animated webp"])
def test_keeps_times_and_plays_of_animations(case: str) -> None:
    format_name, data = CASES[case]
    stripped = strip_metadata(data, format_name)
    assert stripped is not None
    found = []
    for one in (data, stripped):
        with Image.open(io.BytesIO(one)) as image:
            times = []
            for number in range(image.n_frames):
                image.seek(number)
                image.load()
                times.append(image.info["duration"])
            found.append((times, image.info["loop"]))
    assert found[0] == found[1] == ([80, 120, 40], 3)


def test_keeps_what_makes_colors_of_a_png() -> None:
    data = encoded(quadrants(), "PNG")
    extra = png_chunk(b"gAMA", struct.pack(">I", 45455)) + png_chunk(b"sRGB", b"\0") + png_chunk(b"eXIf", SECRET)
    stripped = strip_metadata(data[:33] + extra + data[33:], "png")
    assert stripped is not None
    assert b"gAMA" in stripped
    assert b"sRGB" in stripped
    assert b"eXIf" not in stripped


@pytest.mark.parametrize("format_name", ["heic", "tiff", "bmp", "avif"])
def test_knows_no_other_formats(format_name: str) -> None:
    assert strip_metadata(b"anything", format_name) is None


@pytest.mark.parametrize("case", ["jpeg", "png", "gif"])
def test_a_cut_file_is_a_content_error(case: str) -> None:
    format_name, data = CASES[case]
    with pytest.raises(ContentError):
        strip_metadata(data[: len(data) // 3], format_name)
