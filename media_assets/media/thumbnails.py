"""Thumbnails and the preview of a picture.

Lives here: what each of them shows. Must not: find faces, resample, encode, which are ``crop``, ``resize`` and
``encode``.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.crop import FaceFinder, SquareCrop, choose_square
from media_assets.media.encode import QUALITY_OF, encode_picture, flatten, store
from media_assets.media.placeholder import MAX_SIDE_PX, thumbhash
from media_assets.media.records import Crop, Rendition
from media_assets.media.rendering import EXTENSION_OF, PictureFormat, RenderOptions
from media_assets.media.resize import PREVIEW_LONGEST_PX, RENDITION_SIZES, cascade, fit_box, resize_pixels
from media_assets.media.sharpen import sharpen

_CROP_LONGEST_PX = 640  # about: the largest size of the cascade below it shows where to cut
_SHARPENED_LONGEST_PX = 300

_Pixels = NDArray[np.uint8]
_Size = tuple[int, int]


def write_thumbnails(
    picture: Image.Image,
    full_size: tuple[int, int],
    scratch: Path,
    options: RenderOptions,
    find_faces: FaceFinder | None,
) -> tuple[Rendition, ...]:
    """Write all thumbnails and the preview into ``scratch``, in the order of ``RENDITION_SIZES``.

    The preview always shows the whole picture as JPEG. Kinds that show the same (a source smaller than both) hold the
    same bytes. Nothing is enlarged: a square is never wider than the shorter side of ``picture``.

    Args:
        picture: Upright sRGB picture, mode L, RGB or RGBA; at least as large as the preview box of ``full_size``.
        full_size: Width and height of the upright original in pixels.
        scratch: Existing folder; files of the same names are replaced.
        options: Formats, squares, and the colour under what is transparent.
        find_faces: Called at most once, and only if squares are to be cut around faces.

    Raises:
        ScratchError: A file could not be written to its end.
    """
    pixels = _shown(picture, options)
    levels = cascade(pixels, full_size)
    squares = _Squares([pixels, *(level for _, level in levels)], full_size, options, find_faces)
    hash_of_all = _hash(levels[-1][1])
    made: dict[str, Rendition] = {}
    last: tuple[_Pixels, PictureFormat, bytes] | None = None
    for size, level in levels:
        format_name, shown, cut, placeholder = options.thumbnail_format, level, None, hash_of_all
        original_px = max(full_size)
        if size.longest_px == PREVIEW_LONGEST_PX:
            format_name, shown = "jpeg", flatten(level, options.background)
        elif size.longest_px in options.thumbnail_squares and full_size[0] != full_size[1]:
            shown, cut, placeholder = squares.cut(size.longest_px), squares.crop, squares.placeholder
            original_px = cut.width_px
        height, width = shown.shape[:2]
        is_small = size.longest_px <= _SHARPENED_LONGEST_PX and max(width, height) < original_px
        if is_small and shown.shape[2:] != (4,):  # edges of what is cut out are drawn, and sharp
            shown = sharpen(shown)
        if last is None or last[0] is not shown or last[1] != format_name:
            last = shown, format_name, encode_picture(shown, format_name, QUALITY_OF[format_name])
        file_name = f"{size.kind}.{EXTENSION_OF[format_name]}"
        made[size.kind] = Rendition(
            kind=size.kind,
            file_name=file_name,
            format=format_name,
            width_px=width,
            height_px=height,
            size_bytes=store(last[2], scratch / file_name),
            crop=cut,
            quality=QUALITY_OF[format_name],
            thumbhash=placeholder,
        )
    return tuple(made[size.kind] for size in RENDITION_SIZES)


class _Squares:
    """The square of one picture, in every size; chosen when it is first asked for.

    Args:
        levels: The same picture in falling sizes.
        full_size: Width and height of the upright original.
        options: How the place is chosen, and what is seen through transparent parts.
        find_faces: Finds what must not be cut.
    """

    def __init__(
        self, levels: Sequence[_Pixels], full_size: _Size, options: RenderOptions, find_faces: FaceFinder | None
    ) -> None:
        self._levels = levels
        self._full_size = full_size
        self._options = options
        self._find_faces = find_faces
        self._cut: dict[int, _Pixels] = {}

    @cached_property
    def crop(self) -> Crop:
        """The square in pixels of the upright original."""
        level = next(level for level in self._levels if max(level.shape[:2]) <= _CROP_LONGEST_PX)
        seen = flatten(level, self._options.background)
        rgb = seen if seen.ndim == 3 else np.repeat(seen[..., np.newaxis], 3, axis=2)
        square = choose_square(rgb, self._find_faces, smart=self._options.thumbnail_crop == "smart")
        return _scaled(square, (level.shape[1], level.shape[0]), self._full_size)

    @cached_property
    def placeholder(self) -> str:
        """ThumbHash of the square."""
        return _hash(self.cut(MAX_SIDE_PX))

    def cut(self, side_px: int) -> _Pixels:
        """Return the square in this size, or as large as the picture has it."""
        boxes = [_box_in(level, self.crop, self._full_size) for level in self._levels]
        side_px = min(side_px, self.crop.width_px, boxes[0][2])
        if side_px not in self._cut:
            place = max(index for index, box in enumerate(boxes) if box[2] >= side_px)
            left, top, side = boxes[place]
            square = self._levels[place][top : top + side, left : left + side]
            self._cut[side_px] = resize_pixels(square, (side_px, side_px))
        return self._cut[side_px]


def _shown(picture: Image.Image, options: RenderOptions) -> _Pixels:
    """Return the pixels, with transparency only where there is some and thumbnails can have it."""
    pixels = np.asarray(picture)
    if pixels.shape[2:] == (4,) and pixels[..., 3].min() == 255:
        pixels = np.ascontiguousarray(pixels[..., :3])
    return flatten(pixels, options.background) if options.thumbnail_format == "jpeg" else pixels


def _hash(pixels: _Pixels) -> str:
    height, width = pixels.shape[:2]
    return thumbhash(resize_pixels(pixels, fit_box(width, height, MAX_SIDE_PX)))


def _scaled(square: SquareCrop, size: _Size, full_size: _Size) -> Crop:
    """Return a square of a picture of ``size`` in pixels of the whole picture: inside it, and as wide as it is high."""
    side = min(*full_size, max(1, round(square.side_px * min(full_size) / min(size))))
    left, top = (
        # By the room on both sides and not by the scale: an edge that is touched stays touched.
        round(at * (full - side) / (small - square.side_px)) if small > square.side_px else (full - side) // 2
        for at, small, full in zip((square.x_px, square.y_px), size, full_size, strict=True)
    )
    return Crop(left, top, side, side, square.reason)


def _box_in(level: _Pixels, crop: Crop, full_size: _Size) -> tuple[int, int, int]:
    """Return left, top and side of a square of the original in a smaller picture of it."""
    height, width = level.shape[:2]
    across, down = width / full_size[0], height / full_size[1]
    side = min(width, height, max(1, round(crop.width_px * max(across, down))))
    return min(round(crop.x_px * across), width - side), min(round(crop.y_px * down), height - side), side
