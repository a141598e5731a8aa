"""YOLOX: input and output of the network (Ge et al. 2021, Megvii-BaseDetection/YOLOX, ``demo/ONNXRuntime``)."""

from typing import Any

import numpy as np

from media_assets.models.candidates import Floats
from media_assets.models.grid import cells
from media_assets.models.letterbox import Letterbox, letterbox
from media_assets.models.records import Picture

_SIZE_PX = 416
_FILL = 114  # grey of the training pictures
_STRIDES_PX = (8, 16, 32)


class YoloxNetwork:
    """The network as an :class:`~media_assets.models.object_detection.Network`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        corners = [(cells(_SIZE_PX // stride), stride) for stride in _STRIDES_PX]
        self._corners = np.concatenate([corner for corner, _ in corners])
        self._strides = np.concatenate([np.full((len(corner), 1), stride) for corner, stride in corners])

    def views(self, picture: Picture) -> tuple[Letterbox, Letterbox]:
        """Return the picture as the network was trained: at the upper left of a grey square."""
        return letterbox(picture, _SIZE_PX, _FILL, is_centred=False)

    def propose(self, canvas: Picture) -> tuple[Floats, Floats]:
        """Return boxes of the canvas, shape (3549, 4), and scores for the 80 classes, shape (3549, 80)."""
        # BGR, 0-255: exports of YOLOX since 0.1.1 are not normalised.
        values = canvas[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        output = self._session.run(None, {"images": values})[0][0]
        centres = (output[:, :2] + self._corners) * self._strides
        halves = np.exp(output[:, 2:4]) * self._strides / 2
        boxes = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
        return boxes, output[:, 4:5] * output[:, 5:]
