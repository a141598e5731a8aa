"""How alike two pictures are to the eye: mean structural similarity (SSIM).

Lives here: the measure, on arrays in memory. Must not: encode, decode, decide what is good enough.

Zhou Wang, Alan C. Bovik, Hamid R. Sheikh, Eero P. Simoncelli: "Image Quality Assessment: From Error Visibility to
Structural Similarity" (2004), with the weights of the paper (Gaussian, sigma 1.5, 11 pixels wide).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGMA_PX = 1.5
_RADIUS_PX = 5  # 3.5 sigma, as scikit-image cuts the window off
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SQUARE_PX = 16
_BAND_PIXELS = 2**18  # float32 planes of one band stay in the cache of a core, and memory does not grow with pictures

_Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]


def luma(pixels: _Pixels) -> _Pixels:
    """Return the luma (ITU-R BT.601, full range, as JPEG and Pillow's mode L) of a picture; shape (height, width).

    Args:
        pixels: Shape (height, width), returned as is, or (height, width, 3) in R'G'B'.
    """
    return pixels if pixels.ndim == 2 else np.asarray(_cv2().cvtColor(pixels, _cv2().COLOR_RGB2GRAY))


def mean_ssim(first: _Pixels, second: _Pixels) -> float:
    """Return the mean SSIM of the luma of two pictures, at most 1.0, which only equal pictures have.

    Where the window fits into the picture, the mean is over the places where it does, as in the paper and in
    scikit-image; smaller pictures are mirrored at their edges, and every pixel counts.

    Args:
        first: Shape (height, width) or (height, width, 3), 0-255.
        second: Likewise, of the same height and width.

    Raises:
        ValueError: The sizes differ, or a side is zero.
    """
    if first.shape[:2] != second.shape[:2] or 0 in first.shape:
        raise ValueError(f"Pictures of {first.shape[:2]} and {second.shape[:2]} pixels cannot be compared.")
    height, width = first.shape[:2]
    edge = _RADIUS_PX if min(height, width) > 2 * _RADIUS_PX else 0
    rows = max(1, _BAND_PIXELS // width)
    total = 0.0
    for top in range(edge, height - edge, rows):
        bottom = min(top + rows, height - edge)
        above, below = max(0, top - _RADIUS_PX), min(height, bottom + _RADIUS_PX)
        similar = _ssim_map(luma(first[above:below]), luma(second[above:below]))
        inner = similar[top - above : bottom - above, edge : width - edge]
        total += float(inner.sum(dtype=np.float64))
    return float(min(1.0, total / ((height - 2 * edge) * (width - 2 * edge))))


def mean_chroma_ssim(first: _Pixels, second: _Pixels) -> float:
    """Return the lower of the mean SSIMs of Cb and Cr, at half the size: the eye sees colour no finer.

    Args:
        first: Shape (height, width, 3), R'G'B', 0-255.
        second: Likewise, of the same size.

    Raises:
        ValueError: The sizes differ, or a side is zero.
    """
    pairs = zip(halved_chroma(first), halved_chroma(second), strict=True)
    return min(mean_ssim(one, other) for one, other in pairs)


def halved_chroma(pixels: _Pixels) -> tuple[_Pixels, _Pixels]:
    """Return Cr and Cb (BT.601, full range) averaged over squares of 2 x 2 pixels, as 4:2:0 stores them.

    Args:
        pixels: Shape (height, width, 3), R'G'B', 0-255.
    """
    cv2 = _cv2()
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    return np.ascontiguousarray(planes[..., 1]), np.ascontiguousarray(planes[..., 2])


def color_detail(pixels: _Pixels) -> _Floats:
    """Return how much colour is lost when it is stored at half size (4:2:0), for each square of 16 x 16 pixels.

    Args:
        pixels: Shape (height, width, 3), R'G'B', 0-255. What is left over at the right and lower edge is stretched
            into the last squares.

    Returns:
        Root of the mean squared error of Cb and Cr together, in levels, shape (height / 16, width / 16) rounded up.
    """
    cv2 = _cv2()
    height, width = pixels.shape[:2]
    lost: _Floats = np.zeros((height, width), np.float32)
    planes = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))[1:]
    for plane in planes:
        halved = cv2.resize(plane, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        shown = cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR)
        lost += np.square(cv2.absdiff(plane, shown), dtype=np.float32)
    squares = (-(-width // _SQUARE_PX), -(-height // _SQUARE_PX))
    found: _Floats = np.sqrt(cv2.resize(lost, squares, interpolation=cv2.INTER_AREA)).astype(np.float32, copy=False)
    return found


def _ssim_map(first: _Pixels, second: _Pixels) -> _Floats:
    """Return the SSIM at each pixel; four blurs instead of the five of the formula, which needs sums of variances."""
    x, y = first.astype(np.float32), second.astype(np.float32)
    blur = _blur()
    mean_x, mean_y = blur(x), blur(y)
    products = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    covariance = blur(x * y) - products
    variances = blur(x * x + y * y) - squares
    similar = ((2 * products + _C1) * (2 * covariance + _C2)) / ((squares + _C1) * (variances + _C2))
    return similar.astype(np.float32, copy=False)


def _blur() -> Callable[[_Floats], _Floats]:
    cv2 = _cv2()
    size = (2 * _RADIUS_PX + 1,) * 2
    return lambda plane: cv2.GaussianBlur(plane, size, _SIGMA_PX, borderType=cv2.BORDER_REFLECT)


def _cv2() -> Any:
    import cv2

    cv2.setNumThreads(1)  # there is a worker for each core
    return cv2
