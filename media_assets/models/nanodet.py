"""NanoDet: input and output of the network (RangiLyu/nanodet, ``nanodet-g.yml`` and ``nanodet_head.py``)."""

from typing import Any

import numpy as np

from media_assets.models.candidates import Floats
from media_assets.models.grid import cells
from media_assets.models.letterbox import Letterbox, letterbox
from media_assets.models.records import Picture

_SIZE_PX = 416
_STRIDES_PX = (8, 16, 32)
_CLASSES = 80
_BINS = 11  # distances to a side of the box, in strides: 0 to 10
# Of BGR. The npm library that publishes this file feeds RGB / 255 instead, which finds much less.
_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)


class NanodetNetwork:
    """The network as an :class:`~media_assets.models.object_detection.Network`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def views(self, picture: Picture) -> tuple[Letterbox, Letterbox]:
        """Return the picture as the network was trained: in the middle of a black square."""
        return letterbox(picture, _SIZE_PX, 0, is_centred=True)

    def propose(self, canvas: Picture) -> tuple[Floats, Floats]:
        """Return boxes of the canvas, shape (3549, 4), and scores for the 80 classes, shape (3549, 80)."""
        values = ((canvas[:, :, ::-1] - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(values)})
        # The graph names its outputs Identity, Identity_1, ...; what they are shows in their shapes.
        by_shape = {output.shape[1:]: output[0] for output in outputs}
        boxes, scores = [], []
        for stride in _STRIDES_PX:
            side = _SIZE_PX // stride
            # The head measures from the middle of a cell, counted in whole pixels (get_single_level_center_point).
            centres = (cells(side) + 0.5) * stride - 0.5
            distances = expected_bins(by_shape[side * side, 4 * _BINS].reshape(-1, 4, _BINS)) * stride
            boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1))
            scores.append(by_shape[side * side, _CLASSES])
        return np.concatenate(boxes).astype(np.float32), np.concatenate(scores)


def expected_bins(logits: Floats) -> Floats:
    """Return the mean of a distribution over bins: softmax over the last axis, times 0, 1, 2 ... (Li et al. 2020)."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    shares = weights / weights.sum(-1, keepdims=True)
    return np.asarray(shares @ np.arange(logits.shape[-1], dtype=np.float32))
