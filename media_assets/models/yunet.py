"""YuNet: faces by one small net in OpenCV's runtime (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023).

Lives here: one pass over one picture. Must not: files, sizes, second looks (``face_detection``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

_MOST_OVERLAP = 0.3  # intersection over union at which two boxes are two faces, as its authors evaluate it


class YuNet:
    """Finds faces of 10 px and more. One instance per process: it keeps the memory of its net."""

    def __init__(self, model: bytes, *, least_score: float, most_candidates: int) -> None:
        """Load the net.

        Args:
            model: Contents of the ONNX file.
            least_score: Of a face that is returned, 0-1.
            most_candidates: Boxes that overlapping ones are sought among, surest first.

        Raises:
            Exception: OpenCV cannot read it.
        """
        import cv2

        cv2.setNumThreads(1)
        # FaceDetectorYN sets a target that the engine of OpenCV 5 then warns about.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        buffer = np.frombuffer(model, np.uint8)
        arguments = ((320, 320), least_score, _MOST_OVERLAP, most_candidates)
        # From memory: the bytes that were checked are those that are loaded.
        self._net: Any = cv2.FaceDetectorYN.create("onnx", buffer, np.empty(0, np.uint8), *arguments)

    def find(self, picture: NDArray[np.uint8]) -> _Floats:
        """Return the faces of an RGB picture, shape (height, width, 3), surest first.

        Returns:
            Shape (faces, 15): x_min, y_min, x_max, y_max, score, then x and y of five landmarks: right and left eye,
            nose tip, right and left mouth corner, right and left being the person's. Boxes may reach out of the
            picture.
        """
        self._net.setInputSize((picture.shape[1], picture.shape[0]))
        found = self._net.detect(np.ascontiguousarray(picture[:, :, ::-1]))[1]
        if found is None:
            return np.empty((0, 15), np.float32)
        # Rows of FaceDetectorYN: x, y, width, height, five landmarks, score.
        rows = np.column_stack([found[:, :2], found[:, :2] + found[:, 2:4], found[:, 14], found[:, 4:14]])
        return rows[np.argsort(-rows[:, 4], kind="stable")].astype(np.float32)
