"""What is asked of a copy that may be shared, and what is said of one that was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from media_assets.media.covers import Polygon, Style
from media_assets.models.records import BoxPx

CoverKind = Literal["face", "text"]


class ReadText(Protocol):
    """A line of text that was read: a :class:`~media_assets.models.records.TextLine`, or a row of table ``texts``."""

    @property
    def text(self) -> str:
        """The characters."""
        ...

    @property
    def polygon(self) -> Polygon:
        """Its corners, in pixels of the upright original."""
        ...

    @property
    def box(self) -> BoxPx:
        """The upright box around them."""
        ...


@dataclass(frozen=True)
class ProtectOptions:
    """How a copy is made.

    Attributes:
        style: How faces are covered. ``solid`` shows nothing; ``pixelate`` leaves at most six cells across a cover;
            ``blur`` is weak, because blurred faces can be recognised. Texts are always covered solidly, and so is
            whatever the verification still takes for a face.
        longest_px: Longest side; ``None``: that of the original. Videos end at 1920 x 1080 in any case.
        keep_audio: Whether a copy of a video keeps its sound: voices tell who somebody is.
        cover_texts: Whether telling texts are covered: e-mail addresses, telephone, card and account numbers, national
            identity numbers, plates.
        jpeg_quality: 1-100.
        most_rounds: How often a copy is covered anew where the verification sees a face.
    """

    style: Style = "solid"
    longest_px: int | None = None
    keep_audio: bool = False
    cover_texts: bool = True
    jpeg_quality: int = 92
    most_rounds: int = 4


@dataclass(frozen=True)
class Cover:
    """What was covered, and why.

    Attributes:
        kind: A face or a telling text.
        frame_s: When, in a video: seconds after its start; ``None`` in a picture.
        polygon: Corners in pixels of the upright copy.
        source: Who said so: ``known`` (the library's tables), the name of a detector, or ``text:`` and its kind.
    """

    kind: CoverKind
    frame_s: float | None
    polygon: Polygon
    source: str


@dataclass(frozen=True)
class ProtectedCopy:
    """A copy that was made, and what its verification saw.

    Attributes:
        path: The file, in the folder that was given.
        format: ``jpeg``, ``png`` or ``mp4``.
        mime_type: Of the file.
        width_px: Width of the upright copy.
        height_px: Height.
        size_bytes: Of the file.
        duration_s: Length of a video.
        sha256: Of the file.
        phash: DCT hash as in table ``appearance``, 16 hexadecimal digits; of a video that of its first frame.
        covers: What was covered; of a video, for each face its place each time it was looked for.
        faces_covered: Different faces; in a video, runs of frames with one face.
        texts_covered: Telling texts; in a video, in all frames that were read.
        faces_left: Faces that the last verification still saw, of a video the frames with one: more than 0 must not be
            published.
        verified_with: Names and versions of the detectors that looked.
        rounds: How often the copy was decoded and searched.
    """

    path: Path
    format: str
    mime_type: str
    width_px: int
    height_px: int
    size_bytes: int
    duration_s: float | None
    sha256: str
    phash: str
    covers: tuple[Cover, ...]
    faces_covered: int
    texts_covered: int
    faces_left: int
    verified_with: tuple[str, ...]
    rounds: int
