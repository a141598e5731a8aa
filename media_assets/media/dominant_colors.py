"""Dominant colours: k-means in CIELAB, where distances are about those that people see.

The same pixels give the same colours: the first middle is the commonest colour, each next one the pixel farthest from
all middles so far, as in Gonzalez (1985).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 5
_ROUNDS = 12
_STILL = 0.05
# Nearer than this (CIE76) two middles are shades of one colour.
_SAME_COLOR = 10.0
_LEAST_SHARE = 0.02
_CELL, _CELLS = 8, 64  # side of the cells in which the commonest colour is sought, and more than there are on an axis


@dataclass(frozen=True)
class DominantColor:
    """A colour of a picture.

    Attributes:
        rgb_hex: ``#rrggbb``, sRGB.
        share: Share of the pixels, 0-1.
    """

    rgb_hex: str
    share: float


def dominant_colors(lab: NDArray[np.float32], rgb: NDArray[np.uint8]) -> tuple[DominantColor, ...]:
    """Return up to five colours, the largest share first; those below 2 % are left out.

    Args:
        lab: CIELAB, shape (pixels, 3), L* 0-100.
        rgb: The same pixels in sRGB, shape (pixels, 3).
    """
    middles = _first_middles(lab)
    for _ in range(_ROUNDS):
        nearest = _nearest(lab, middles)
        moved = _means(lab, nearest, len(middles))
        if moved.shape == middles.shape and np.abs(moved - middles).max() < _STILL:
            break
        middles = moved.astype(np.float32)
    middles = _merged(lab, middles)
    nearest = _nearest(lab, middles)
    shares = np.bincount(nearest) / len(lab)
    found = []
    for color, share in zip(_means(rgb, nearest, len(middles)), shares[shares > 0].tolist(), strict=True):
        if share >= _LEAST_SHARE:
            red, green, blue = (round(float(value)) for value in color)
            found.append(DominantColor(f"#{red:02x}{green:02x}{blue:02x}", share))
    return tuple(sorted(found, key=lambda one: (-one.share, one.rgb_hex)))


def _first_middles(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    cells = np.round(lab / _CELL).astype(np.int64)
    named = cells @ (_CELLS**2, _CELLS, 1)
    names, counts = np.unique(named, return_counts=True)
    commonest = lab[named == names[counts.argmax()]].mean(axis=0)
    middles = [lab[((lab - commonest) ** 2).sum(axis=1).argmin()]]
    distance = ((lab - middles[0]) ** 2).sum(axis=1)
    while len(middles) < _MOST and distance.max() > _SAME_COLOR**2:
        middles.append(lab[distance.argmax()])
        distance = np.minimum(distance, ((lab - middles[-1]) ** 2).sum(axis=1))
    return np.stack(middles).astype(np.float32)


def _means(values: NDArray[Any], group: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the mean of each group that has members, shape (groups, 3)."""
    sizes = np.bincount(group, minlength=count)
    sums = np.stack([np.bincount(group, values[:, axis], count) for axis in range(3)], axis=1)
    means: NDArray[np.float64] = sums[sizes > 0] / sizes[sizes > 0, None]
    return means


def _nearest(lab: NDArray[np.float32], middles: NDArray[np.float32]) -> NDArray[np.int64]:
    # |a - b|^2 without |a|^2, which is the same for all middles.
    distances: NDArray[np.float32] = (middles**2).sum(axis=1)[None, :] - 2 * (lab @ middles.T)
    return np.asarray(distances.argmin(axis=1), np.int64)


def _merged(lab: NDArray[np.float32], middles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join middles that are shades of one colour, the nearest two first."""
    weights = np.bincount(_nearest(lab, middles), minlength=len(middles)).astype(np.float32)
    left = [(middles[at], weights[at]) for at in range(len(middles)) if weights[at] > 0]
    while len(left) > 1:
        pairs = [
            (float(np.linalg.norm(left[one][0] - left[other][0])), one, other)
            for one in range(len(left))
            for other in range(one)
        ]
        distance, one, other = min(pairs)
        if distance >= _SAME_COLOR:
            break
        (a, n), (b, m) = left.pop(one), left.pop(other)
        left.append(((a * n + b * m) / (n + m), n + m))
    return np.stack([middle for middle, _ in left]).astype(np.float32)
