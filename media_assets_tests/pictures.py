"""Tiny pictures made in code, sound and broken ones, for tests of everything above the media layer."""

import functools
import io

from PIL import Image


def jpeg(seed: int = 0, size: tuple[int, int] = (48, 32)) -> bytes:
    """A JPEG that differs from those of other seeds below 1000."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed % 8 * 32, seed // 8 % 8 * 32, seed // 64 * 15)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def png(seed: int = 0, size: tuple[int, int] = (48, 32)) -> bytes:
    """A PNG with transparency."""
    buffer = io.BytesIO()
    Image.new("RGBA", size, (seed % 256, 90, 10, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def truncated_jpeg() -> bytes:
    """The first half of a picture with so much detail that its data is cut, not only its end mark."""
    buffer = io.BytesIO()
    Image.effect_noise((160, 120), 90).convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


@functools.cache
def slow_png() -> bytes:
    """A small file that takes a decoder about a second: many pixels that compress to nothing."""
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000)).save(buffer, "PNG")
    return buffer.getvalue()
