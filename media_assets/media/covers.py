"""Covers: areas of a picture that are made unrecognisable, and three ways to do it.

Lives here: the shape of a cover and how its pixels are replaced. Must not: find faces or texts, decode, encode. Works
on any array of pixels, so that the planes of a video frame are covered like pictures are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Style = Literal["solid", "pixelate", "blur"]
Polygon = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]

# Boxes of detectors end at brows and chin. Labels of heads reach higher and wider; a square of 1.42 sides holds the
# upright box at any turn.
_WIDER, _HIGHER = 1.6, 1.8
_RAISED = 0.06  # of the height: there is more head above the box than below it
_MOST_CELLS = 6  # across a cover, and so at most about four across a face
_BLUR_SHARE = 1 / 6  # deviation of the blur, in shorter sides of the cover
_FILL = (72, 72, 72)  # neither skin nor hair, and no light that a detector could take for an eye
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Area:
    """What is covered, in pixels of the picture.

    Attributes:
        polygon: Convex, three corners or more; it may reach out of the picture.
        style: How.
    """

    polygon: Polygon
    style: Style = "solid"


def face_polygon(box: Box, landmarks: Sequence[tuple[float, float]] = (), growth: float = 1.0) -> Polygon:
    """Return the rectangle that hides a head: larger than the box of its face, and turned as its eyes are.

    Args:
        box: x_min, y_min, x_max, y_max of the face.
        landmarks: Right eye, left eye, nose tip, right and left mouth corner; without them the cover is upright.
        growth: How much larger than usual, 1 or more: what moves needs more.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    turn = _turn(landmarks, max(width, height))
    # A turned face fills less of its upright box, which tells nothing about its own sides.
    is_turned = abs(math.sin(2 * turn)) > math.sin(math.radians(30))
    if is_turned or abs(math.sin(turn)) > math.sqrt(0.5):
        width = height = max(width, height)
    half_x, half_y = width * _WIDER * growth / 2, height * _HIGHER * growth / 2
    right = np.array([math.cos(turn), math.sin(turn)])
    down = np.array([-math.sin(turn), math.cos(turn)])
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) - down * height * _RAISED
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = [middle + x * half_x * right + y * half_y * down for x, y in signs]
    return tuple((float(x), float(y)) for x, y in corners)


def grown_polygon(polygon: Polygon, margin_px: float) -> Polygon:
    """Return a convex polygon whose corners lie ``margin_px`` farther from its middle in x and in y."""
    middle = np.mean(polygon, axis=0)
    corners = [np.asarray(corner) + np.sign(np.asarray(corner) - middle) * margin_px for corner in polygon]
    return tuple((float(x), float(y)) for x, y in corners)


def scaled_polygon(polygon: Polygon, scale_x: float, scale_y: float) -> Polygon:
    """Return a polygon in a picture of another size."""
    return tuple((x * scale_x, y * scale_y) for x, y in polygon)


def cover_pixels(pixels: NDArray[np.uint8], areas: Sequence[Area], fill: Sequence[int] = _FILL) -> None:
    """Replace what lies in the areas, in place; all other pixels stay as they are.

    Args:
        pixels: Writable, shape (height, width) or (height, width, channels). An alpha channel becomes opaque where
            something is covered.
        areas: What to cover. Solid ones come last: no other reads pixels that one of them should hide.
        fill: Colour of solid areas, one value a channel of colour.
    """
    for area in sorted(areas, key=lambda one: one.style == "solid"):
        _cover(pixels, area, fill)


def area_mask(shape: tuple[int, int], polygons: Sequence[Polygon]) -> NDArray[np.bool_]:
    """Return which pixels of a picture of shape (height, width) lie in any of the polygons, edges included."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        cv2.fillConvexPoly(mask, _fixed(polygon), 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return np.asarray(mask, np.bool_)


def _cover(pixels: NDArray[np.uint8], area: Area, fill: Sequence[int]) -> None:
    height, width = pixels.shape[:2]
    xs, ys = [x for x, _ in area.polygon], [y for _, y in area.polygon]
    left, upper = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
    right, lower = min(width, math.ceil(max(xs)) + 1), min(height, math.ceil(max(ys)) + 1)
    if left >= right or upper >= lower:
        return
    inside = pixels[upper:lower, left:right]
    polygon = tuple((x - left, y - upper) for x, y in area.polygon)
    mask = area_mask((lower - upper, right - left), [polygon])
    inside[mask] = _replacement(inside, area.style, fill)[mask]


def _replacement(inside: NDArray[np.uint8], style: Style, fill: Sequence[int]) -> Any:
    import cv2

    colours = inside.shape[2] if inside.ndim == 3 else 1
    if style == "solid":
        values = [*fill, 255][:colours] if colours in {3, 4} else [*fill][:colours]
        return np.broadcast_to(np.array(values if inside.ndim == 3 else values[0], np.uint8), inside.shape)
    height, width = inside.shape[:2]
    if style == "pixelate":
        longest = max(height, width)
        cells = (max(1, round(_MOST_CELLS * width / longest)), max(1, round(_MOST_CELLS * height / longest)))
        cells = min(cells[0], width), min(cells[1], height)
        small = cv2.resize(np.ascontiguousarray(inside), cells, interpolation=cv2.INTER_AREA)
        made = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    else:
        deviation = max(1.0, min(height, width) * _BLUR_SHARE)
        made = cv2.GaussianBlur(np.ascontiguousarray(inside), (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
    made = np.asarray(made, np.uint8).reshape(inside.shape)
    if colours == 4:
        made[..., 3] = 255
    return made


def _turn(landmarks: Sequence[tuple[float, float]], side: float) -> float:
    """Return how far a face is turned clockwise in the plane of the picture, in radians; 0 without landmarks."""
    if len(landmarks) < 5 or side <= 0:
        return 0.0
    points = np.asarray(landmarks, np.float64)
    across = (points[1] - points[0]) + (points[4] - points[3])
    down = points[3:5].mean(axis=0) - points[:2].mean(axis=0)
    # In profile the eyes lie over each other: what points down then says more than what points across.
    vector = across + np.array([down[1], -down[0]])
    if not np.isfinite(vector).all() or np.hypot(*vector) < side * 0.1:
        return 0.0
    return math.atan2(vector[1], vector[0])


def _fixed(polygon: Polygon) -> NDArray[np.int32]:
    """Return corners in fixed point, as OpenCV takes parts of pixels; far outside they end, and lines stay straight."""
    corners = np.clip(np.asarray(polygon, np.float64), -(2**20), 2**20)
    fixed: NDArray[np.int32] = np.rint(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
    return fixed
