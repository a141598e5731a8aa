"""Sizes of renditions and the cascade that makes them.

Lives here: the fitted box and the resampling chain. Must not: decode, colour, files. See DESIGN.md section 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

_REDUCING_GAP = 3.0  # Pillow averages whole pixels first when the source is more than 3x larger: same look, less time


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
    """Return the picture at exactly ``size`` pixels (Lanczos), or itself when it already has this size."""
    if picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)


def cascade(picture: Image.Image, full_size: tuple[int, int]) -> Iterator[tuple[RenditionSize, Image.Image]]:
    """Yield every kind with its picture, largest first; each is made from the one before it.

    Args:
        picture: Upright picture, at least as large as the preview box of ``full_size``.
        full_size: Width and height of the upright original, from which the boxes are computed, so that rounding
            does not add up along the cascade.
    """
    for size in sorted(RENDITION_SIZES, key=lambda s: s.longest_px, reverse=True):
        picture = resize_to(picture, fit_box(*full_size, size.longest_px))
        yield size, picture
