"""Sizes of renditions and the cascade that makes them.

Lives here: the fitted box and all resampling, by libvips. Must not: decode, colour, files. See DESIGN.md section 2.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LANCZOS_FROM = 2  # times larger than wanted: above it, whole pixels are averaged first, as libvips itself does
_BAND_PIXELS = 2**22


@dataclass(frozen=True)
class RenditionSize:
    """One kind of rendition.

    Attributes:
        kind: Name of the rendition, also the stem of its file.
        longest_px: Longest side in pixels; a smaller source is never enlarged.
    """

    kind: str
    longest_px: int


RENDITION_SIZES: tuple[RenditionSize, ...] = (
    RenditionSize("thumb_150", 150),
    RenditionSize("thumb_300", 300),
    RenditionSize("thumb_600", 600),
    RenditionSize("thumb_1200", 1200),
    RenditionSize("preview", 1600),
)
"""The kinds that ``ingest`` makes, smallest first."""

PREVIEW_LONGEST_PX = 1600
"""Longest side of the preview that all analysis reads."""

FRAME_LONGEST_PX = 1024
"""Longest side of the frames of a video that analysis reads."""

WEB_LONGEST_PX = 2048
"""Longest side of the web version."""

WEB_ENOUGH_PX = 1920
"""Longest side from which a JPEG that its decoder scales down stands for the web version as it is.

4032 px, the width of most phone photos, halve to 2016: to decode all of them for 32 pixels more would take half as long
again.
"""


def fit_box(width_px: int, height_px: int, longest_px: int) -> tuple[int, int]:
    """Return the size of the picture fitted into a square of ``longest_px``, aspect kept, never enlarged.

    Each side is at least 1 pixel; the other side is rounded to the nearest pixel.

    Raises:
        ValueError: A size is not positive.
    """
    if width_px < 1 or height_px < 1 or longest_px < 1:
        raise ValueError(f"Sizes must be at least 1 pixel, not {width_px}x{height_px} into {longest_px}.")
    longest = max(width_px, height_px)
    if longest <= longest_px:
        return width_px, height_px
    # Integers only: floats round 0.5 differently for the two orientations of the same picture.
    return (
        max(1, (2 * width_px * longest_px + longest) // (2 * longest)),
        max(1, (2 * height_px * longest_px + longest) // (2 * longest)),
    )


def resize_to(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the picture at exactly ``size`` pixels (Lanczos), or itself when it already has this size.

    Args:
        picture: Mode L, RGB, RGBA or CMYK. Needs memory for no second picture of this size.
        size: Width and height, not larger than those of the picture.
    """
    if picture.size == size:
        return picture
    mode = picture.mode
    reduced = reduce_towards(picture, size)
    if reduced.mode == "RGBA":  # transparent pixels have colours too, which nobody is to see
        reduced = reduced.convert("RGBa")
    pixels = _lanczos(np.asarray(reduced), size)
    resized = Image.frombuffer(reduced.mode, size, pixels, "raw", reduced.mode, 0, 1)
    return resized if reduced.mode == mode else resized.convert(mode)


def reduce_towards(
    picture: Image.Image, size: tuple[int, int], convert: Callable[[Image.Image], Image.Image] | None = None
) -> Image.Image:
    """Return the picture reduced by a whole number on each side, to at least twice ``size``; else itself.

    Band by band, so that a picture of 200 megapixels is never in memory twice.

    Args:
        picture: Any mode that Pillow can reduce once it is converted.
        size: Width and height that the picture is to be resized to.
        convert: Applied to each band before it is reduced; may change the mode.

    Returns:
        A picture of the mode that ``convert`` gives, or RGBa (premultiplied) in place of RGBA.
    """
    fewer_columns = max(1, picture.width // (_LANCZOS_FROM * size[0]))
    fewer_rows = max(1, picture.height // (_LANCZOS_FROM * size[1]))
    if fewer_columns == fewer_rows == 1:
        return picture if convert is None else convert(picture)
    rows = max(1, _BAND_PIXELS // (picture.width * fewer_rows)) * fewer_rows

    def reduced_band(top: int) -> Image.Image:
        band = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        band = band if convert is None else convert(band)
        return (band.convert("RGBa") if band.mode == "RGBA" else band).reduce((fewer_columns, fewer_rows))

    first = reduced_band(0)
    canvas = Image.new(first.mode, (first.width, -(-picture.height // fewer_rows)))
    canvas.paste(first)
    for top in range(rows, picture.height, rows):
        canvas.paste(reduced_band(top), (0, top // fewer_rows))
    return canvas


def resize_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the pixels at exactly ``size`` (Lanczos), or themselves when they already have this size.

    Args:
        pixels: Shape (height, width), (height, width, 3) or (height, width, 4) with straight alpha, 0-255.
        size: Width and height.
    """
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    if pixels.shape[2:] == (4,):
        return np.asarray(resize_to(Image.fromarray(pixels), size))
    return _lanczos(pixels, size)


def cascade(pixels: NDArray[np.uint8], full_size: tuple[int, int]) -> list[tuple[RenditionSize, NDArray[np.uint8]]]:
    """Return every kind with its pixels, largest first; each is made from the one before it.

    Args:
        pixels: Upright picture, at least as large as the preview box of ``full_size``; shapes of :func:`resize_pixels`.
        full_size: Width and height of the upright original, from which the boxes are computed, so that rounding
            does not add up along the cascade.
    """
    made = []
    for size in sorted(RENDITION_SIZES, key=lambda s: s.longest_px, reverse=True):
        pixels = resize_pixels(pixels, fit_box(*full_size, size.longest_px))
        made.append((size, pixels))
    return made


def _lanczos(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample bands of 8 bits, each by itself."""
    pyvips = _pyvips()
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    try:
        image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, bands, "uchar")
        resized = image.resize(size[0] / width, vscale=size[1] / height, kernel="lanczos3").write_to_memory()
    except pyvips.Error as error:
        # Pixels that are in memory already leave it no other reason.
        raise MemoryError(f"libvips has no room for {size[0]} x {size[1]} pixels.") from error
    return np.frombuffer(resized, np.uint8).reshape((size[1], size[0], *pixels.shape[2:]))


@functools.cache
def _pyvips() -> Any:
    import pyvips

    pyvips.cache_set_max(0)  # it would keep pixels of files that are done
    return pyvips
