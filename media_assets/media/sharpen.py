"""Light sharpening of small thumbnails, which downscaling leaves softer than the picture looked.

Lives here: the mask. Must not: resize or encode.
"""

import numpy as np
from numpy.typing import NDArray

_AMOUNT = 0.45
_NOISE_LEVELS = 2.0  # of 255: differences below it are grain, not edges
_OVERSHOOT_LEVELS = 5.0  # of 255: beyond the darkest and lightest neighbour it would be seen as a halo
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def sharpen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture with its edges a little steeper; colours keep their hue, flat areas stay as they are.

    An unsharp mask of one pixel on the luma: what differs from the neighbours is raised by less than a half, grain is
    left alone, and nothing goes more than 5 levels beyond its neighbours.

    Args:
        pixels: Shape (height, width) or (height, width, 3), 0-255.
    """
    luma = pixels.astype(np.float32) if pixels.ndim == 2 else pixels @ _LUMA
    framed = np.pad(luma, 1, mode="edge")
    rows = (framed[:-2], framed[1:-1], framed[2:])
    blurred = _across((rows[0] + 2 * rows[1] + rows[2]) / 4)
    detail = luma - (blurred[0] + 2 * blurred[1] + blurred[2]) / 4
    detail -= np.clip(detail, -_NOISE_LEVELS, _NOISE_LEVELS)
    least = np.minimum.reduce(_across(np.minimum.reduce(rows)))
    most = np.maximum.reduce(_across(np.maximum.reduce(rows)))
    change = np.clip(luma + _AMOUNT * detail, least - _OVERSHOOT_LEVELS, most + _OVERSHOOT_LEVELS) - luma
    if pixels.ndim == 3:
        change = change[..., np.newaxis]
    return np.clip(np.rint(pixels + change), 0, 255).astype(np.uint8)


def _across(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the left neighbour, the pixel itself and the right neighbour."""
    return values[:, :-2], values[:, 1:-1], values[:, 2:]
