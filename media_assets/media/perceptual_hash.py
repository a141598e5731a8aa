"""Perceptual hashes: 64 bits that stay nearly the same when a picture is scaled, compressed or slightly changed.

Compared by Hamming distance. Of the same pixels, bit for bit those of the package ImageHash 4 (``phash``, ``dhash``),
read row by row with the first bit as the highest, so that its users can compare with theirs.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 8
_DCT_SIDE = 32


def phash(gray: Image.Image) -> int:
    """Return the DCT hash: which of the 64 lowest frequencies of a 32 x 32 picture are above their median.

    Args:
        gray: The picture, mode L.
    """
    pixels = np.asarray(gray.resize((_DCT_SIDE, _DCT_SIDE), Image.Resampling.LANCZOS), np.float64)
    transform = _dct_matrix()
    low = (transform @ pixels @ transform.T)[:_SIDE, :_SIDE]
    return _packed(low > np.median(low))


def dhash(gray: Image.Image) -> int:
    """Return the difference hash: whether the picture, scaled to 9 x 8, gets lighter from each pixel to the next.

    Args:
        gray: The picture, mode L.
    """
    pixels = np.asarray(gray.resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS), np.int16)
    return _packed(pixels[:, 1:] > pixels[:, :-1])


@cache
def _dct_matrix() -> NDArray[np.float64]:
    """DCT-II without normalisation, as ``scipy.fftpack.dct``."""
    frequency, place = np.meshgrid(np.arange(_DCT_SIDE), np.arange(_DCT_SIDE), indexing="ij")
    matrix: NDArray[np.float64] = 2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * _DCT_SIDE))
    return matrix


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big")
