"""Faces turned upright and brought to one size, so that encoders and measures see all of them alike.

The similarity transform that brings five landmarks nearest to given places (Umeyama, "Least-squares estimation of
transformation parameters between two point patterns", 1991).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.records import DetectedFace, Picture, PointPx

ALIGNED_PX = 112
"""Side of an aligned face."""

LANDMARKS = 5
"""Number of landmarks that are needed, in the order of ``DetectedFace.landmarks``."""

# Where the landmarks of an aligned face lie, in the order of ``DetectedFace.landmarks``; the places that ArcFace and
# most encoders since were trained with.
_PLACES = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])

# The same places relative to the box of a face: for detectors that give no landmarks.
_BOX_PLACES = np.array([[0.31, 0.42], [0.69, 0.42], [0.50, 0.62], [0.35, 0.80], [0.65, 0.80]])


def aligned(picture: Picture, face: DetectedFace) -> Picture:
    """Return a face upright, shape (112, 112, 3); what lies outside of the picture is black."""
    import cv2

    matrix = similarity(landmarks_of(face), _PLACES)
    warped: Any = cv2.warpAffine(picture, matrix, (ALIGNED_PX, ALIGNED_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


def landmarks_of(face: DetectedFace) -> Sequence[PointPx]:
    """Return the five landmarks of a face, guessed from its box where the detector gives none."""
    if len(face.landmarks) == len(_PLACES):
        return face.landmarks
    x_min, y_min, x_max, y_max = face.box
    return [(x_min + x * (x_max - x_min), y_min + y * (y_max - y_min)) for x, y in _BOX_PLACES.tolist()]


def similarity(points: Sequence[PointPx], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix, shape (2, 3), of the rotation, scale and shift that bring points nearest to places."""
    source = np.asarray(points, np.float64)
    middle, target = source.mean(axis=0), places.mean(axis=0)
    spread, wanted = source - middle, places - target
    variance = (spread**2).sum()
    left, sizes, right = np.linalg.svd(wanted.T @ spread)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])  # never a mirror image
    turn = left @ np.diag(signs) @ right
    scale = (sizes * signs).sum() / max(variance, 1e-9)
    return np.column_stack([scale * turn, target - scale * turn @ middle])
