"""Lines of text: PP-OCR's detector and recogniser, run by the package ``rapidocr`` with the models that it ships.

Its orientation classifier is off: for upright previews it costs time and finds nothing more. Of text upside down the
recogniser itself is unsure, which tells as much. The detector sees at most 960 px of the longer side: of more it finds
specks, of less it misses words. A smaller look beforehand saves nothing: it suspects most photos, and misses some text.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media_assets.models.onnx_runtime import open_session
from media_assets.models.packaged import read_packaged
from media_assets.models.reading_order import reading_order
from media_assets.models.records import Picture, PointPx, TextLine
from media_assets.models.registry import ModelPlaces, ModelSpec
from media_assets.models.text_strips import pieces_of, strip_of

_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LONGEST_PX = 960
_SMALLEST_PX = 16  # of nothing smaller than this a line could be read
# In pictures of this size where nothing is found it is worth looking twice; the detector was trained on letters that
# are larger. What is read then has to be clear, because nothing says that there is any text.
_SCRAP_PX, _ENLARGEMENT, _CLEAR_SCORE = 256, 3, 0.8
# A single character is what whole dogs and plates are taken for, at scores up to .97. Of 23 that stood alone in 234
# photos 12 were looked up, and none was there; beside other text most of the clear ones are.
_CLEAR_CHARACTER_SCORE = 0.9
# A strip that is so many times as high as wide has its text running down or up the page, as PP-OCR has it.
_TALL = 1.5
# Mean score of text the right way up: .88 to 1; upside down: .70 to .77. Below the first of these two it is worth
# trying the other way, which must be better by the second.
_DOUBTFUL_SCORE, _BETTER_BY = 0.85, 0.1


@dataclass(frozen=True)
class _Reading:
    """What a strip says when it is read one way up."""

    text: str
    score: float
    polygon: tuple[PointPx, ...]


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
            }
        )
        # Our sessions, of bytes that were checked: it neither reads nor fetches a model by itself. It makes its
        # networks when they are first needed, from this.
        self._engine.cfg._set_flag("allow_objects", True)
        self._engine.cfg.Det.session = open_session(detector)
        self._engine.cfg.Rec.session = open_session(recogniser)

    def read(self, pictures: Sequence[Picture], threshold: float) -> list[list[TextLine]]:
        """Return the lines of each picture in the order in which they are read."""
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
        height, width = (float(side) for side in picture.shape[:2])
        frame = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
        text, score = self._recognise(_bgr(picture))
        whole = _kept([_Reading(text, score, frame)], max(threshold, _CLEAR_SCORE), scale=1.0)
        return whole or enlarged

    def _lines(self, picture: Picture, threshold: float, scale: float = 1.0) -> list[TextLine]:
        image = _bgr(picture)
        # All three switches each time: the engine keeps what it was told last.
        found = self._engine(image, use_det=True, use_cls=False, use_rec=False)
        if found.boxes is None:
            return []
        boxes = [np.asarray(box, np.float32) for box in found.boxes]
        across = [box for box in boxes if not _is_tall(box)]
        down = [np.roll(box, -1, axis=0) for box in boxes if _is_tall(box)]
        # Each can be upside down for itself: the spines of books on a shelf.
        return _kept(self._right_way_up(image, across) + self._right_way_up(image, down), threshold, scale)

    def _right_way_up(self, image: Picture, corners: Sequence[NDArray[np.float32]]) -> list[_Reading]:
        """Read strips as they lie, and if that is in doubt upside down too; return what is surer."""
        as_is = [self._reading(image, four) for four in corners]
        if not as_is or _mean_score(as_is) >= _DOUBTFUL_SCORE:
            return as_is
        turned = [self._reading(image, np.roll(four, 2, axis=0)) for four in corners]
        return turned if _mean_score(turned) > _mean_score(as_is) + _BETTER_BY else as_is

    def _reading(self, image: Picture, corners: NDArray[np.float32]) -> _Reading:
        """Read one strip; its corners are clockwise from where its reader begins."""
        pieces = [(self._recognise(piece), gap) for piece, gap in pieces_of(strip_of(image, corners))]
        text = "".join(gap + said for (said, _), gap in pieces)
        letters = [max(1, len(said)) for (said, _), _ in pieces]
        score = sum(score * count for ((_, score), _), count in zip(pieces, letters, strict=True)) / sum(letters)
        return _Reading(text.strip(), score, tuple((float(x), float(y)) for x, y in corners))

    def _recognise(self, strip: Picture) -> tuple[str, float]:
        # One at a time: a batch is as wide as its longest line, which took up to twice the memory and more time.
        found = self._engine(strip, use_det=False, use_cls=False, use_rec=True)
        return (found.txts[0].strip(), float(found.scores[0])) if found.txts else ("", 0.0)


def load_rapidocr(spec: ModelSpec, places: ModelPlaces) -> RapidOcr:
    """Open the models of the package.

    Raises:
        ModelError: The package is not installed, or its files are others.
    """
    contents = read_packaged(spec, "rapidocr", "models")
    return RapidOcr(contents[_DETECTOR], contents[_RECOGNISER])


def _kept(readings: Sequence[_Reading], threshold: float, scale: float) -> list[TextLine]:
    """Drop what says nothing, and bring the rest into order."""
    sure = [one for one in readings if one.score >= threshold]
    has_text = any(_characters(one) > 1 for one in sure)
    lines = [
        TextLine(one.text, min(1.0, one.score), tuple((x * scale, y * scale) for x, y in one.polygon))
        for one in sure
        if _characters(one) > 1 or (_characters(one) == 1 and has_text and one.score >= _CLEAR_CHARACTER_SCORE)
    ]
    return [lines[at] for at in reading_order([line.polygon for line in lines])]


def _characters(reading: _Reading) -> int:
    """Number of letters and digits: marks alone are specks and ornaments that were taken for text."""
    return sum(character.isalnum() for character in reading.text)


def _mean_score(readings: Sequence[_Reading]) -> float:
    """Mean score of a character, 0-1."""
    characters = sum(len(one.text) for one in readings)
    return sum(one.score * len(one.text) for one in readings) / max(1, characters)


def _is_tall(corners: NDArray[np.float32]) -> bool:
    """Whether a strip, with its corners clockwise from the upper left, is higher than wide."""
    width = max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))
    height = max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))
    return bool(height >= _TALL * width)


def _bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, :, ::-1])


def _enlarged(picture: Picture, factor: int) -> Picture:
    from PIL import Image

    height, width = picture.shape[:2]
    enlarged = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)
