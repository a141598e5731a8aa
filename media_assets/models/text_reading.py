"""Lines of text: PP-OCR's detector and recogniser, run by the package ``rapidocr`` with the models that it ships.

Its orientation classifier is off: for upright previews it costs time and finds nothing more. The detector sees at most
960 px of the longer side: of more it finds specks, of less it misses words.
"""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from media_assets.models.errors import ModelMissingError
from media_assets.models.model_files import read_checked
from media_assets.models.onnx_runtime import open_session
from media_assets.models.records import Picture, TextLine
from media_assets.models.registry import ModelPlaces, ModelSpec

_PACKAGE = "rapidocr"
_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LONGEST_PX = 960
_SMALLEST_PX = 16  # of nothing smaller than this a line could be read
# In pictures of this size where nothing is found it is worth looking twice; the detector was trained on letters that
# are larger. What is read then has to be clear, because nothing says that there is any text.
_SCRAP_PX, _ENLARGEMENT, _CLEAR_SCORE = 256, 3, 0.8
# Lines recognised together: their common width is that of the longest, which takes memory.
_LINES_AT_ONCE = 4


class RapidOcr:
    """A :class:`~media_assets.models.records.TextReader`."""

    def __init__(self, detector: bytes, recogniser: bytes) -> None:
        import cv2

        cv2.setNumThreads(1)
        from rapidocr import RapidOCR

        # It warns of every picture without text.
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        self._engine: Any = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.text_score": 0.0,  # the caller's threshold decides
                "Global.log_level": "critical",
                "Det.limit_type": "max",
                "Det.limit_side_len": _LONGEST_PX,
                "Rec.rec_batch_num": _LINES_AT_ONCE,
            }
        )
        # Our sessions, of bytes that were checked: it neither reads nor fetches a model by itself. It makes its
        # networks when they are first needed, from this.
        self._engine.cfg._set_flag("allow_objects", True)
        self._engine.cfg.Det.session = open_session(detector)
        self._engine.cfg.Rec.session = open_session(recogniser)

    def read(self, pictures: Sequence[Picture], threshold: float) -> list[list[TextLine]]:
        """Return the lines of each picture, from top to bottom and from left to right."""
        return [self._read(picture, threshold) for picture in pictures]

    def _read(self, picture: Picture, threshold: float) -> list[TextLine]:
        if min(picture.shape[:2]) < _SMALLEST_PX:
            return []
        lines = self._lines(picture, threshold)
        if lines or max(picture.shape[:2]) > _SCRAP_PX:
            return lines
        # A scrap of a picture, a cut-out word perhaps: too small for the detector.
        enlarged = self._lines(_enlarged(picture, _ENLARGEMENT), threshold, scale=1 / _ENLARGEMENT)
        if enlarged and sum(line.score for line in enlarged) / len(enlarged) >= _CLEAR_SCORE:
            return enlarged
        return self._as_one_line(picture, threshold) or enlarged

    def _lines(self, picture: Picture, threshold: float, scale: float = 1.0) -> list[TextLine]:
        # All three switches each time: the engine keeps what it was told last.
        found = self._engine(_bgr(picture), use_det=True, use_cls=False, use_rec=True)
        if found.boxes is None or found.txts is None:
            return []
        return [
            TextLine(text.strip(), float(score), tuple((float(x) * scale, float(y) * scale) for x, y in polygon))
            for polygon, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if score >= threshold and _says_something(text)
        ]

    def _as_one_line(self, picture: Picture, threshold: float) -> list[TextLine]:
        found = self._engine(_bgr(picture), use_det=False, use_cls=False, use_rec=True)
        height, width = (float(side) for side in picture.shape[:2])
        frame = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
        return [
            TextLine(text.strip(), float(score), frame)
            for text, score in zip(found.txts or (), found.scores or (), strict=True)
            if score >= max(threshold, _CLEAR_SCORE) and _says_something(text)
        ]


def load_rapidocr(spec: ModelSpec, places: ModelPlaces) -> RapidOcr:
    """Open the models of the package.

    Raises:
        ModelError: The package is not installed, or its files are others.
    """
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ModelMissingError(f"Model {spec.name} needs a package. Install it with: pip install {spec.package}")
    folder = Path(found.origin).parent / "models"
    contents = {name: read_checked(folder / name, sha256, spec.name) for name, sha256 in spec.files.items()}
    return RapidOcr(contents[_DETECTOR], contents[_RECOGNISER])


def _says_something(text: str) -> bool:
    """Marks alone are specks and ornaments that were taken for text."""
    return any(letter.isalnum() for letter in text)


def _bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, :, ::-1])


def _enlarged(picture: Picture, factor: int) -> Picture:
    from PIL import Image

    height, width = picture.shape[:2]
    enlarged = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)
