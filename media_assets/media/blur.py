"""Blur: how smooth a picture is at its finest, whatever noise lies over it.

The mean squared difference of pixels k apart (the structure function of second order) grows as k where edges are sharp
and as k squared where they are smooth. Flat parts add nothing to it, and white noise adds the same to every distance:
twice its variance, which can be taken away. Measures of single gradients (Crete 2007, variance of the Laplacian) take
noise for sharpness.
"""

import math

import numpy as np
from numpy.typing import NDArray

_RATIO = 8  # of the farther to the nearer distance
_NEARER_PX = (1, 2, 4, 8)
# How much of the noise has to be left of a squared difference, after the noise was taken away, to be more than an error
# of its estimate, which is a tenth or so.
_LEAST_OVER_NOISE = 0.3
_ROUNDING_VARIANCE = 1 / 12
# Mean squared difference, in grey levels, of a picture that shows something.
_LEAST_DETAIL = 1.0


def blur_of(gray: NDArray[np.float32], noise: float) -> float | None:
    """Return 0 for edges as sharp as pixels allow to 1 for nothing but smooth changes.

    That is the exponent between distances of 1 and 8 px, less one; of the blurrier of the two directions, so that a
    moved camera counts. Where noise hides differences at 1 px, they are less than what could be seen, and farther
    distances are asked too: at them a picture is never blurrier than at 1 px.

    Args:
        gray: Luma, 0-255, shape (height, width). What is blurred by less than a pixel of it is sharp.
        noise: Standard deviation of its noise, in grey levels.

    Returns:
        0-1, or ``None`` for a picture without any detail, or one too small to tell.
    """
    found = [_exponent(along, noise) for along in (gray, gray.T)]
    exponents = [one for one in found if one is not None]
    return min(1.0, max(0.0, max(exponents) - 1)) if exponents else None


def _exponent(gray: NDArray[np.float32], noise: float) -> float | None:
    """Return how fast differences along the first axis grow with the distance; ``None``: there are none."""
    rounding = 2 * _ROUNDING_VARIANCE
    floor = 2 * noise**2 + rounding
    exponent = None
    for nearer_px in _NEARER_PX:
        farther_px = nearer_px * _RATIO
        if farther_px >= gray.shape[0]:
            break
        near, far = (_difference(gray, distance) - floor for distance in (nearer_px, farther_px))
        if far >= _LEAST_DETAIL:
            at_most = max(near, _LEAST_OVER_NOISE * floor, far / _RATIO**2)
            exponent = max(exponent or 0.0, math.log(far / at_most) / math.log(_RATIO))
        if near >= _LEAST_OVER_NOISE * floor:
            break
    return exponent


def _difference(gray: NDArray[np.float32], distance_px: int) -> float:
    """Mean squared difference of pixels that far apart."""
    difference = np.subtract(gray[distance_px:], gray[:-distance_px]).ravel(order="K")
    return float(np.dot(difference, difference)) / difference.size
