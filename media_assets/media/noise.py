"""Noise: its standard deviation, told from texture (Immerkaer, "Fast noise variance estimation", 1996)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_PX = 16
_OPERATOR = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_FLATTEST = 0.1
# The flattest tenth of the blocks of nothing but noise shows less than there is (simulated: 0.894, deviation 0.004).
_SHOWN_BY_FLATTEST = 0.894
# Mean level of a block beyond which noise is clipped away.
_DARKEST, _LIGHTEST = 12, 243


def noise_deviation(gray: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the noise in grey levels; 0 where no block could show any.

    His operator takes away constant and sloping parts; the flattest tenth of the blocks has no texture, which would
    count as noise. Blocks at the ends of the range are left out. Noise of one channel of a colour picture counts with
    its part of the luma.

    Args:
        gray: Luma at its own size, shape (height, width): scaling would take the noise away.
    """
    import cv2

    rows, columns = ((side - 2) // _BLOCK_PX for side in gray.shape)
    if rows < 1 or columns < 1:
        return 0.0
    inside = slice(1, 1 + rows * _BLOCK_PX), slice(1, 1 + columns * _BLOCK_PX)

    def means(values: Any) -> NDArray[np.float32]:
        # Reduction by a whole number: the means of the blocks.
        return np.asarray(cv2.resize(values[inside], (columns, rows), interpolation=cv2.INTER_AREA), np.float32)

    found: Any = cv2.filter2D(gray, cv2.CV_32F, _OPERATOR)
    level = means(gray)
    estimates = means(np.abs(found))[(level > _DARKEST) & (level < _LIGHTEST)]
    if estimates.size == 0:
        return 0.0
    return float(np.quantile(estimates, _FLATTEST)) * math.sqrt(math.pi / 2) / 6 / _SHOWN_BY_FLATTEST
