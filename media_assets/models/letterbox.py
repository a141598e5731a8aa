"""A picture scaled into the square input of a network, with the way back for boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media_assets.models.records import Picture


@dataclass(frozen=True)
class Letterbox:
    """A picture that fills a square in one direction.

    Attributes:
        canvas: The square, shape (size, size, 3), uint8, RGB.
        width_px: Width of the picture.
        height_px: Height of the picture.
        scale: Pixels of the canvas in one pixel of the picture.
        left_px: Where the picture begins on the canvas.
        top_px: Where the picture begins on the canvas.
        is_mirrored: The picture is mirrored, left to right.
    """

    canvas: Picture
    width_px: int
    height_px: int
    scale: float
    left_px: int
    top_px: int
    is_mirrored: bool

    def to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes of the canvas, shape (n, 4), in pixels of the picture and cut at its edges."""
        offsets = np.array([self.left_px, self.top_px] * 2, np.float32)
        placed = (boxes - offsets) / np.float32(self.scale)
        if self.is_mirrored:
            placed[:, [0, 2]] = self.width_px - placed[:, [2, 0]]
        edges = np.array([self.width_px, self.height_px] * 2, np.float32)
        return np.asarray(np.clip(placed, 0, edges), np.float32)


def letterbox(picture: Picture, size_px: int, fill: int, *, is_centred: bool) -> tuple[Letterbox, Letterbox]:
    """Scale a picture into a square, as it is and mirrored.

    Args:
        picture: Any size, at least one pixel.
        size_px: Side of the square.
        fill: Value of what the picture leaves free, 0-255.
        is_centred: The picture lies in the middle; otherwise at the upper left.
    """
    import cv2

    height_px, width_px = picture.shape[:2]
    scale = size_px / max(height_px, width_px)
    width, height = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    # Averaging keeps small things of large pictures; a linear filter would skip pixels.
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    content = cv2.resize(picture, (width, height), interpolation=filter_)
    left, top = ((size_px - width) // 2, (size_px - height) // 2) if is_centred else (0, 0)

    def place(is_mirrored: bool) -> Letterbox:
        canvas = np.full((size_px, size_px, 3), fill, np.uint8)
        canvas[top : top + height, left : left + width] = content[:, ::-1] if is_mirrored else content
        return Letterbox(canvas, width_px, height_px, scale, left, top, is_mirrored)

    return place(False), place(True)
