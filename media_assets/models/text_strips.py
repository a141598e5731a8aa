"""Strips of a picture with one line of text each: cut out, laid flat, and divided where they are too long."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.records import Picture

# Times as long as high. What a recogniser needs grows with the length: at 40 some 80 MB for a second, at 130, a whole
# line of a dense page, five times that.
_LONGEST = 40.0
_SEARCHED = 2.0  # heights to both sides of where a strip should be cut: two or three words
_SPACE = 0.15  # heights of blank that a space has at least; letters are nearer to each other
# Contrast of a column of pixels, as a part of the strip's, up to which it is blank.
_BLANK = 0.15


def strip_of(image: Picture, corners: NDArray[np.float32]) -> Picture:
    """Cut a line of text out, so that it runs from left to right.

    Args:
        image: The picture.
        corners: Four corners, clockwise from where the reader begins; shape (4, 2).
    """
    import cv2

    upper_left, upper_right, lower_right, lower_left = corners
    width = max(1, int(max(_distance(upper_left, upper_right), _distance(lower_left, lower_right))))
    height = max(1, int(max(_distance(upper_left, lower_left), _distance(upper_right, lower_right))))
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    transform = cv2.getPerspectiveTransform(np.asarray(corners, np.float32), flat)
    strip: Any = cv2.warpPerspective(
        image, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(strip, np.uint8)


def pieces_of(strip: Picture) -> Iterator[tuple[Picture, str]]:
    """Yield the pieces of a strip from left to right, each with what stands before it: nothing, or a space."""
    height, width = strip.shape[:2]
    count = int(np.ceil(width / (height * _LONGEST)))
    if count <= 1:
        yield strip, ""
        return
    contrast = strip.max(axis=2).astype(np.float32).std(axis=0)
    is_blank = contrast <= _BLANK * contrast.max()
    begin, gap = 0, ""
    for number in range(1, count):
        at, next_gap = _cut(is_blank, round(width * number / count), height)
        yield strip[:, begin:at], gap
        begin, gap = at, next_gap
    yield strip[:, begin:], gap


def _cut(is_blank: NDArray[np.bool_], wanted: int, height: int) -> tuple[int, str]:
    """Return the middle of the widest blank about a place, or the place itself, and whether a space is there."""
    left = max(0, wanted - round(_SEARCHED * height))
    near = is_blank[left : wanted + round(_SEARCHED * height)].astype(np.int8)
    edges = np.diff(near, prepend=0, append=0)
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if begins.size == 0:
        return wanted, ""
    widest = int((ends - begins).argmax())
    width = int(ends[widest] - begins[widest])
    return left + int(begins[widest]) + width // 2, " " if width >= _SPACE * height else ""


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(one - other))
