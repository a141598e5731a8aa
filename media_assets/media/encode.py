"""Encoders of renditions: JPEG by jpegli, WebP and AVIF by Pillow, none with metadata.

Lives here: encoder settings, transparency on a background, files in the scratch folder. Must not: decode or choose
sizes. Arrays are what the sender of the pixels has in hand, so nothing is copied on the way to an encoder.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from media_assets.media.errors import ScratchError
from media_assets.media.rendering import PictureFormat

QUALITY_OF: Mapping[PictureFormat, int] = {"jpeg": 89, "webp": 89, "avif": 78}
"""Quality of thumbnails and preview on the scale of each encoder; they look alike, and no worse than JPEG of quality 85
by libjpeg (SSIMULACRA2), in as many bytes."""

_JPEG_MAX_SIDE_PX = 65_500  # of the library; jpegli's own check ends the process instead of raising
_JFIF_HEADER = bytes.fromhex("ffe00010 4a46494600 0102 00 0001 0001 0000")  # JFIF 1.02: square pixels, no thumbnail
# jpegli and libaom end the process where they get no memory; up to 22 and 48 bytes a pixel were measured.
_ROOM_BYTES_PER_PIXEL: Mapping[PictureFormat, int] = {"jpeg": 32, "avif": 64}
_MORE_ROOM_BYTES = 16 * 2**20
_WEBP_METHOD, _WEBP_QUICK_METHOD = 4, 2
_LOSSLESS_EFFORT = 60  # of 100; more takes seconds a megapixel
_AVIF_SPEED, _AVIF_QUICK_SPEED = 8, 9


def encode_picture(
    pixels: NDArray[np.uint8],
    format_name: PictureFormat,
    quality: int,
    *,
    full_chroma: bool = False,
    quick: bool = False,
) -> bytes:
    """Return a picture in sRGB as a file without any metadata; the same pixels give the same bytes.

    Args:
        pixels: Shape (height, width), (height, width, 3) or, not for JPEG, (height, width, 4) with straight alpha.
            Colours behind full transparency are not kept.
        format_name: JPEG is progressive and has the JFIF header that tells its colours.
        quality: 1-100 on the scale of the encoder: jpegli's, libwebp's or libavif's.
        full_chroma: Colour at full size (4:4:4) where the format has it, which WebP has not, instead of 4:2:0.
        quick: Half the time in WebP, a third in AVIF, for about 2 % more bytes.

    Raises:
        ValueError: The format cannot hold such a picture.
        MemoryError: There is no room for the encoder.
    """
    if pixels.dtype != np.uint8 or 0 in pixels.shape or (pixels.shape[2:] not in {(), (3,), (4,)}):
        raise ValueError(f"A picture has no {pixels.dtype} pixels in the shape {pixels.shape}.")
    if format_name in _ROOM_BYTES_PER_PIXEL:
        _ask_for_memory(_ROOM_BYTES_PER_PIXEL[format_name] * pixels.shape[0] * pixels.shape[1] + _MORE_ROOM_BYTES)
    if format_name == "jpeg":
        return _jpeg(pixels, quality, full_chroma=full_chroma)
    buffer = io.BytesIO()
    image = Image.fromarray(_without_hidden_colors(pixels) if pixels.shape[2:] == (4,) else pixels)
    if format_name == "webp":
        image.save(buffer, "WEBP", quality=quality, method=_WEBP_QUICK_METHOD if quick else _WEBP_METHOD)
    else:
        subsampling = "4:4:4" if full_chroma else "4:2:0"
        speed = _AVIF_QUICK_SPEED if quick else _AVIF_SPEED
        image.save(buffer, "AVIF", quality=quality, speed=speed, subsampling=subsampling, max_threads=1)
    return buffer.getvalue()


def encode_lossless(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture as lossless WebP without any metadata: small for drawings, large for photos.

    Args:
        pixels: As for :func:`encode_picture`; colours of wholly transparent pixels are not kept.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=_LOSSLESS_EFFORT, method=_WEBP_METHOD)
    return buffer.getvalue()


def _jpeg(pixels: NDArray[np.uint8], quality: int, *, full_chroma: bool) -> bytes:
    import ajpegli

    if pixels.shape[2:] == (4,):
        raise ValueError("JPEG has no transparency: flatten the picture first.")
    height, width = pixels.shape[:2]
    if max(height, width) > _JPEG_MAX_SIDE_PX:
        raise ValueError(f"{width} x {height} pixels are too many for a JPEG.")
    subsampling = "444" if full_chroma else "420"
    data: bytes = ajpegli.encode(pixels, quality=quality, progressive=1, subsampling=subsampling)
    return data[:2] + _JFIF_HEADER + data[2:]


def _without_hidden_colors(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture with the colours of what is next to them in parts that are wholly transparent.

    What was there would bleed over the edge in a lossy format, and somebody may have erased it.
    """
    alpha = pixels[..., 3]
    if alpha.all():
        return pixels
    if not alpha.any():
        return np.zeros_like(pixels)
    smaller: list[NDArray[np.uint8]] = []
    level = _with_full_alpha(pixels)
    while not level[..., 3].all():
        smaller.append(level)
        level = _with_full_alpha(np.asarray(Image.fromarray(level).reduce(2)))  # the mean of what is visible
    filled = level[..., :3]
    for level in reversed(smaller):
        around = Image.fromarray(filled).resize((level.shape[1], level.shape[0]), Image.Resampling.BILINEAR)
        filled = np.where(level[..., 3:] > 0, level[..., :3], np.asarray(around))
    return np.dstack([filled, alpha])


def _with_full_alpha(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy in which all that can be seen is opaque."""
    copy = pixels.copy()
    copy[..., 3] = np.where(copy[..., 3] > 0, 255, 0)
    return copy


def _ask_for_memory(size_bytes: int) -> None:
    """Raise MemoryError when there is none; takes only addresses, and gives them back."""
    np.empty(size_bytes, np.uint8)


def flatten(pixels: NDArray[np.uint8], background: str) -> NDArray[np.uint8]:
    """Return the picture without transparency: shape (height, width) or (height, width, 3), as JPEG wants it.

    Args:
        pixels: Shape (height, width) or (height, width, 3), returned as is, or (height, width, 4), straight alpha.
        background: ``#rrggbb`` of what transparent parts show.
    """
    if pixels.shape[2:] != (4,):
        return pixels
    image = Image.fromarray(pixels)
    canvas = Image.new("RGB", image.size, ImageColor.getrgb(background)[:3])
    canvas.paste(image, mask=image.getchannel("A"))
    return np.asarray(canvas)


def store(data: bytes, path: Path) -> int:
    """Write a file of the scratch folder, replacing what is there; return its size in bytes.

    Raises:
        ScratchError: The file could not be written to its end.
    """
    try:
        return path.write_bytes(data)
    except OSError as error:
        raise ScratchError(f"A rendition could not be written ({error.strerror}).") from error
