"""Where to cut a square out of a picture: around its faces, else around what stands out.

Lives here: the choice of the box. Must not: detect faces (a callable does), resize renditions, encode, read files. The
square has the shorter side of the picture, so nothing is enlarged and all that is chosen is how far it slides. How the
choices were measured: ``python -m media_assets_tests.bench.crops``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media_assets.media.records import CropReason

Box = tuple[float, float, float, float]
"""``(x_min, y_min, x_max, y_max)`` in pixels of the array it was found in."""

FaceFinder = Callable[[NDArray[np.uint8]], Sequence[Box]]
"""Returns the boxes of the faces in an RGB picture, shape (height, width, 3), values 0-255; surest first."""

_Floats = NDArray[np.float64]

# Room that a face wants around its box, in sizes of the box: hair above, chin and neck below, ears beside.
_ROOM_ABOVE, _ROOM_BELOW, _ROOM_BESIDE = 0.5, 0.3, 0.35
# Where the middle of the faces goes, as a share of the square: eyes on the upper third, and halfway across.
_FACES_DOWN, _FACES_ACROSS = 0.4, 0.5
_LESS_SURE = 0.987  # what a face weighs against an equal one that the detector is surer of; odd, so that none tie

_SALIENCY_PX = 64  # as in the paper on image signatures: what stands out is large
_SALIENCY_BLUR_PX = 2.5
_NO_FREQUENCY = 1.0  # coefficients below a grey level are noise of the rounding, whose signs mean nothing
_COST_OF_MOVING = 0.5
_SHARPNESS = 100.0
_DEAD_ZONE = 0.01  # a move by less than this share of the picture is none; any other is shorter by it
# Luminance, red against green, yellow against blue.
_OPPONENTS = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]]).T


@dataclass(frozen=True)
class SquareCrop:
    """A square inside a picture, in pixels of the picture, and what it was chosen by.

    Attributes:
        x_px: Left edge.
        y_px: Upper edge.
        side_px: The shorter side of the picture.
        reason: ``faces``, ``entropy`` (what stands out) or ``center``: nothing is clearly better than the middle.
    """

    x_px: int
    y_px: int
    side_px: int
    reason: CropReason


def choose_square(picture: NDArray[np.uint8], find_faces: FaceFinder | None, *, smart: bool = True) -> SquareCrop:
    """Return the largest square of a picture that shows what matters in it.

    Faces count first. When all of them fit, none is cut; otherwise the square shows as much area of whole faces as
    cutting as little of others allows. Without faces it moves from the middle to what stands out.

    Args:
        picture: Upright, RGB, shape (height, width, 3), values 0-255; 640 pixels on the longest side are enough.
        find_faces: Called only where there is a choice; ``None`` leaves faces out of account.
        smart: Whether to look at the picture at all; else the middle is taken.
    """
    height, width = picture.shape[:2]
    side, length = min(height, width), max(height, width)
    is_tall = height > width
    offset = (length - side) // 2
    reason: CropReason = "center"
    if smart and length > side:
        faces = [] if find_faces is None else _faces_inside(find_faces(picture), width, height)
        if faces:
            offset, reason = _around_faces(faces, length, side, is_tall), "faces"
        else:
            salient = _around_what_stands_out(picture, length, side, is_tall)
            if salient is not None and salient != offset:
                offset, reason = salient, "entropy"
    return SquareCrop(0, offset, side, reason) if is_tall else SquareCrop(offset, 0, side, reason)


def _faces_inside(faces: Sequence[Box], width: int, height: int) -> list[Box]:
    """Return the parts of boxes that lie inside the picture, without those below a pixel or that are not numbers."""
    inside = []
    for x_min, y_min, x_max, y_max in faces:
        box = (max(0.0, x_min), max(0.0, y_min), min(float(width), x_max), min(float(height), y_max))
        if np.isfinite((x_min, y_min, x_max, y_max)).all() and min(box[2] - box[0], box[3] - box[1]) >= 1:
            inside.append(box)
    return inside


# ---------------------------------------------------------------------------------------------------------------- faces


def _around_faces(faces: Sequence[Box], length: int, side: int, is_tall: bool) -> int:
    """Return where the square begins: whole faces first, then room around them, then their place in it."""
    boxes = np.array(faces)
    start, end = (boxes[:, 1], boxes[:, 3]) if is_tall else (boxes[:, 0], boxes[:, 2])
    sizes = end - start
    before, after = (_ROOM_ABOVE, _ROOM_BELOW) if is_tall else (_ROOM_BESIDE, _ROOM_BESIDE)
    weights = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * _LESS_SURE ** np.arange(len(boxes))
    weights /= weights.sum()
    offsets = np.arange(length - side + 1)

    whole, cut = _whole_and_cut(start, end, offsets, side)
    roomy, cramped = _whole_and_cut(
        np.maximum(0, start - before * sizes), np.minimum(length, end + after * sizes), offsets, side
    )
    # Rounded: sums of the same weights may differ in the last bit.
    of_faces = np.round(weights @ (whole * 1.0 - cut), 9)
    of_room = np.round(weights @ (roomy * 1.0 - cramped), 9)
    placed = whole | ~whole.any(axis=0)  # where no face is whole, all count
    middles = ((weights * (start + end) / 2) @ placed) / (weights @ placed)
    from_place = np.abs(offsets + (_FACES_DOWN if is_tall else _FACES_ACROSS) * side - middles)
    from_middle = np.abs(offsets - (length - side) / 2)
    return int(np.lexsort((from_middle, from_place, -of_room, -of_faces))[0])


def _whole_and_cut(
    start: _Floats, end: _Floats, offsets: NDArray[np.int_], side: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which spans the square shows whole, and which it cuts, for each offset; shape (spans, offsets).

    A span that is longer than the square counts as whole where the square shows its middle, to the nearest pixel: of
    two that are equally near, both, so that a mirrored picture is judged alike.
    """
    first, last = np.floor(start), np.ceil(end)
    is_long = last - first > side
    first = np.where(is_long, (start + end - side) / 2, first)
    last = np.where(is_long, first + side, last)
    slack = np.where(is_long, 0.5, 0.0)[:, None]
    whole = (first[:, None] >= offsets - slack) & (last[:, None] <= offsets + side + slack)
    outside = (last[:, None] <= offsets) | (first[:, None] >= offsets + side)
    return whole, ~whole & ~outside


# ----------------------------------------------------------------------------------------------------------- saliency


def _around_what_stands_out(picture: NDArray[np.uint8], length: int, side: int, is_tall: bool) -> int | None:
    """Return where the square begins that shows most of what stands out; ``None`` when that is the middle.

    People put what matters near the middle: moving must be worth its cost, the loss of what is there. On photos with
    labelled objects, windows of most gradient, entropy or colour contrast keep less of them than the middle does.
    """
    profile = _saliency(picture).sum(axis=1 if is_tall else 0)
    total = profile.sum()
    if total <= 0:
        return None
    steps, window = np.arange(len(profile) + 1) / len(profile), side / length
    below = np.concatenate([[0.0], np.cumsum(_blurred(profile))])
    below /= below[-1]
    begins = np.linspace(0, 1 - window, 2 * len(profile) + 1)
    shown = np.interp(begins + window, steps, below) - np.interp(begins, steps, below)
    worth = shown - _COST_OF_MOVING * np.abs(begins - (1 - window) / 2)
    # A mean of the best places, not the best one: between two equally good ones it stays in the middle, and a picture
    # that differs a little is not cut elsewhere.
    likely = np.exp(_SHARPNESS * (worth - worth.max()))
    moved = (begins @ likely) / likely.sum() - (1 - window) / 2
    moved = np.sign(moved) * max(0.0, abs(moved) - _DEAD_ZONE)
    offset = int(np.floor(((1 - window) / 2 + moved) * length + 0.5))
    return None if moved == 0 else offset


def _saliency(picture: NDArray[np.uint8]) -> _Floats:
    """Return the image signature of a picture at 64 px: what is left of it when all frequencies weigh the same.

    Xiaodi Hou, Jonathan Harel, Christof Koch: "Image Signature: Highlighting Sparse Salient Regions" (2012).
    """
    height, width = picture.shape[:2]
    scale = _SALIENCY_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), np.float64) @ _OPPONENTS
    rows, columns = _cosines(small.shape[0]), _cosines(small.shape[1])
    found = np.zeros(small.shape[:2])
    for channel in np.moveaxis(small, 2, 0):
        spectrum = rows @ channel @ columns.T
        signs = np.where(np.abs(spectrum) < _NO_FREQUENCY, 0.0, np.sign(spectrum))
        found += (rows.T @ signs @ columns) ** 2
    return found


@lru_cache(maxsize=2 * _SALIENCY_PX)
def _cosines(size: int) -> _Floats:
    """Return the matrix of the orthonormal discrete cosine transform (DCT-II)."""
    places, frequencies = np.arange(size), np.arange(size)[:, None]
    matrix: _Floats = np.cos(np.pi * (places + 0.5) * frequencies / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix


def _blurred(profile: _Floats) -> _Floats:
    """Return a profile blurred by a Gaussian, mirrored at its ends."""
    reach = min(len(profile), round(4 * _SALIENCY_BLUR_PX))
    kernel = np.exp(-((np.arange(-reach, reach + 1) / _SALIENCY_BLUR_PX) ** 2) / 2)
    return np.convolve(np.pad(profile, reach, mode="symmetric"), kernel / kernel.sum(), mode="valid")
