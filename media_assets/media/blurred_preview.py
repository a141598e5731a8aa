"""Pictures of which only colours and rough shapes are left, for places where everybody looks.

Not for copies that leave the library: those are covered (``covers``), which nothing undoes.
"""

import io

from PIL import Image

DETAIL_PX = 8
"""Longest side of what is left: a face in a picture of a group is less than one pixel then."""

_SHOWN_PX = 150
_QUALITY = 50


def blurred_preview(content: bytes) -> bytes:
    """Return a WebP picture with the detail of :data:`DETAIL_PX`, large enough to be looked at.

    The picture is made of so few pixels before it is enlarged again: sharpening finds nothing.

    Args:
        content: A preview that this project encoded, in any format of Pillow.
    """
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    longest = max(picture.size)
    small = picture.resize(_fitted(picture.size, DETAIL_PX / longest), Image.Resampling.BOX)
    shown = small.resize(_fitted(picture.size, _SHOWN_PX / longest), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()


def _fitted(size: tuple[int, int], factor: float) -> tuple[int, int]:
    width, height = size
    return max(1, round(width * factor)), max(1, round(height * factor))
