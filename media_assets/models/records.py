"""What models return, and the small interface of each task: arrays in, typed records out, batch first.

A picture is an upright sRGB array of shape (height, width, 3), uint8, RGB. Boxes and points are in pixels of the
picture that was passed, x to the right, y down; the pipeline scales them to the original. Scores are between 0 and 1.
Nothing is
invented: what a model does not say is ``None`` or absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Vectors = NDArray[np.float32]
BoxPx = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max."""
PointPx = tuple[float, float]


@dataclass(frozen=True)
class DetectedObject:
    """A thing of a known class.

    Attributes:
        label: Class name, lower case, as COCO writes it: ``person``, ``traffic light``.
        score: How sure the model is, 0-1; comparable within one model only.
        box: Where.
    """

    label: str
    score: float
    box: BoxPx


@dataclass(frozen=True)
class FaceQuality:
    """How well a face can be recognised. No attribute of the person is among it.

    Attributes:
        size_px: Shorter side of the box, in pixels of the picture.
        sharpness: 0 (no detail) to 1 (sharp), of the aligned face.
        yaw_deg: Turn to the side, estimated from the landmarks; 0 looks at the camera, positive to the picture's right.
        pitch_deg: Nod, estimated from the landmarks; positive is upwards.
        roll_deg: Turn in the plane of the picture; positive is clockwise.
        score: One number, 0-1; documented where it is computed (``face_quality``).
    """

    size_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    score: float


@dataclass(frozen=True)
class DetectedFace:
    """A face.

    Attributes:
        score: How sure the detector is, 0-1.
        box: Where.
        landmarks: Right eye, left eye, nose tip, right and left mouth corner; right and left are the person's. Empty
            when the detector gives none.
        quality: ``None`` before it was measured.
    """

    score: float
    box: BoxPx
    landmarks: tuple[PointPx, ...] = ()
    quality: FaceQuality | None = None


@dataclass(frozen=True)
class Label:
    """A word for a whole picture. ``score`` is a probability over the classes of the model."""

    label: str
    score: float


@dataclass(frozen=True)
class Caption:
    """A sentence about a picture; ``source`` tells who wrote it: a model, or ``labels`` for a list of labels."""

    text: str
    source: str


@dataclass(frozen=True)
class TextLine:
    """A line of text that was read; ``polygon`` has its four corners, clockwise from the reader's upper left."""

    text: str
    score: float
    polygon: tuple[PointPx, ...]

    @property
    def box(self) -> BoxPx:
        """The upright box around the polygon."""
        xs, ys = [x for x, _ in self.polygon], [y for _, y in self.polygon]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class SafetyScore:
    """How likely a picture shows something of a category, 0-1; a reason to look, never a certainty."""

    category: str
    score: float


class ObjectDetector(Protocol):
    """Task ``objects``."""

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedObject]]:
        """Return the things in each picture with a score of ``threshold`` at least, surest first."""
        ...


class FaceDetector(Protocol):
    """Task ``faces``."""

    def detect(self, pictures: Sequence[Picture], threshold: float) -> list[list[DetectedFace]]:
        """Return the faces in each picture with a score of ``threshold`` at least, surest first."""
        ...


class FaceEncoder(Protocol):
    """Task ``face_identity``: a vector for each face, near for one person and far for two."""

    def encode(self, picture: Picture, faces: Sequence[DetectedFace]) -> Vectors:
        """Return one vector a face, shape (faces, dim), in the metric and scale that the registry names."""
        ...


class Embedder(Protocol):
    """Task ``embeddings``."""

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Return one L2-normalised vector a picture, shape (pictures, dim)."""
        ...


class TextEmbedder(Embedder, Protocol):
    """An :class:`Embedder` whose vectors can be compared with those of texts."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return one L2-normalised vector a text, shape (texts, dim)."""
        ...


class Classifier(Protocol):
    """Task ``scenes``."""

    def classify(self, pictures: Sequence[Picture], top: int) -> list[list[Label]]:
        """Return the ``top`` likeliest labels of each picture, likeliest first."""
        ...


class Captioner(Protocol):
    """Task ``captions``."""

    def caption(self, pictures: Sequence[Picture]) -> list[Caption | None]:
        """Return a sentence for each picture, ``None`` where the model has nothing to say."""
        ...


class TextReader(Protocol):
    """Task ``texts``."""

    def read(self, pictures: Sequence[Picture], threshold: float) -> list[list[TextLine]]:
        """Return the lines of text in each picture with a score of ``threshold`` at least, in reading order."""
        ...


class SafetyRater(Protocol):
    """Task ``safety``."""

    def rate(self, pictures: Sequence[Picture]) -> list[list[SafetyScore]]:
        """Return a score for each category that the model knows, for each picture."""
        ...
