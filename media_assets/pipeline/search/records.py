"""What is asked of a search and what it answers. Plain data."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from media_assets.pipeline.search.dates import Period


class SearchError(Exception):
    """A search cannot be done; the message says what to do, for people."""


class BadRequestError(SearchError):
    """What was asked makes no sense."""


@dataclass(frozen=True)
class Circle:
    """An area around a point.

    Attributes:
        latitude_deg: WGS 84, -90 to 90.
        longitude_deg: WGS 84, -180 to 180.
        radius_km: Great-circle distance.
    """

    latitude_deg: float
    longitude_deg: float
    radius_km: float


@dataclass(frozen=True)
class Filters:
    """What every result must meet; ``None`` and empty: no condition.

    Attributes:
        since: Captured in this period or later.
        until: Captured in this period or earlier.
        near: Captured in this circle.
        place: Name of a city, region or country.
        labels: Each names an object or a scene that must be there.
        owner: Whose files.
        media_type: Which files.
    """

    since: Period | None = None
    until: Period | None = None
    near: Circle | None = None
    place: str | None = None
    labels: tuple[str, ...] = ()
    owner: str | None = None
    media_type: Literal["image", "video"] | None = None


@dataclass(frozen=True)
class SearchRequest:
    """One search.

    Attributes:
        text: Words, or ``None``.
        like: Media id, or a file of this machine, whose look is searched for.
        filters: What every result must meet.
        limit: Results at most.
        index: ``exact`` compares all vectors, ``approximate`` asks the graph; ``None``: by their number.
    """

    text: str | None = None
    like: str | Path | None = None
    filters: Filters = Filters()
    limit: int = 20
    index: Literal["exact", "approximate"] | None = None


@dataclass(frozen=True)
class Reason:
    """Why a media file is among the results.

    Attributes:
        field: ``object``, ``scene``, ``caption``, ``text``, ``title``, ``description``, ``keywords``, ``file_name``,
            ``place``, ``person``, ``captured_at``, ``embedding`` or ``phash``.
        value: What was found there.
        score: Of the model for a label or a line of text, cosine of an embedding, bits that differ of a ``phash``.
        frame_s: Time of the frame of a video in which it was found, in seconds.
    """

    field: str
    value: str
    score: float | None = None
    frame_s: float | None = None


@dataclass(frozen=True)
class Ranked:
    """A media file with what speaks for it; higher scores first. ``None``: all are equal."""

    media_id: str
    score: float | None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: From 1.
        score: Comparable within one search; ``None`` when only filters were given.
        media_id: Identity of the media file.
        owner: Whose it is.
        file_name: As the uploader wrote it; hostile text.
        media_type: ``image`` or ``video``.
        captured_at: Wall time of capture; ``None``: unknown.
        preview: Key of the preview in the library; ``None``: there is none.
        reasons: Why it is here, the weightiest first.
    """

    rank: int
    score: float | None
    media_id: str
    owner: str
    file_name: str
    media_type: str
    captured_at: datetime | None
    preview: str | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class VectorsUsed:
    """How vectors were compared.

    Attributes:
        model: Model with revision.
        count: Vectors of that model in the library.
        index: Whether all were compared or a graph was asked.
    """

    model: str
    count: int
    index: Literal["exact", "approximate"]


@dataclass(frozen=True)
class SearchAnswer:
    """What a search found.

    Attributes:
        hits: Best first.
        found: How many there are in all, shown or not; ``None`` where everything is more or less alike.
        ranked_by: ``words`` (BM25F), ``likeness`` (cosine), ``words and likeness`` or ``time`` (newest first).
        matched: Whether ``all`` words of the text were found in each result, or only ``any``.
        vectors: Which were used; ``None``: none.
        notes: What people should know about the answer.
    """

    hits: tuple[Hit, ...]
    found: int | None
    ranked_by: Literal["words", "likeness", "words and likeness", "time"]
    matched: Literal["all", "any"] | None = None
    vectors: VectorsUsed | None = None
    notes: tuple[str, ...] = ()
