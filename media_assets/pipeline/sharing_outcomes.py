"""What became of each file in a run of op ``protect``: the records that pass from the pipeline to Dagster and commands.

Plain data. How they become rows is in ``sharing_rows.py``.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from media_assets.storage.ledger_schema import MediaEntry

ShareState = Literal["published", "held", "withheld", "denied"]
"""As in table ``shareable``; ``denied``: the owner has not consented, which table ``skipped`` tells."""

FACES_LEFT = "faces_left"
TAGS_LEFT = "tags_left"
REVIEW_BLOCKED = "review_blocked"
REVIEW_WAITING = "review_waiting"
TEXTS_NOT_READ = "texts_not_read"
"""Codes of column ``reason``, beside those of files that cannot be read (``media.errors.ReasonCode``)."""


@dataclass(frozen=True)
class Point:
    """A position that may be told."""

    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True)
class SharingItem:
    """One file and what is to be done with it.

    Attributes:
        entry: The file.
        version: Version of the result for the ledger: it tells whether one is out of date.
        state: ``published``: a copy is to be made. Else the result is known already.
        reason: Why there will be no copy.
        tells_location: Whether the owner lets the place be told.
        computed_before: Whether there may be a row already.
        was_denied: Whether table ``skipped`` says that the owner denies publication.
    """

    entry: MediaEntry
    version: str
    state: ShareState = "published"
    reason: str | None = None
    tells_location: bool = False
    computed_before: bool = False
    was_denied: bool = False


@dataclass(frozen=True)
class CopyCover:
    """One cover of a picture: ``kind`` is ``face`` or ``text``, ``polygon`` in px of the copy."""

    kind: str
    source: str
    polygon: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class MadeCopy:
    """A copy that a process has made and searched.

    Attributes:
        path: Where it lies; it is gone once it is stored.
        format: ``jpeg``, ``png`` or ``mp4``.
        mime_type: Its MIME type.
        width_px: Width.
        height_px: Height.
        size_bytes: Length.
        duration_s: Of a video.
        sha256: Of its bytes.
        phash: DCT hash; ``None``: a picture without one.
        covers: Of a picture.
        faces_covered: Covers over faces.
        texts_covered: Covers over texts.
        faces_left: What the last proof still saw.
        tags_left: What ``media.foreign_tags`` named.
        rounds: How often it was searched.
        verified_with: Detectors of the proof.
        has_audio: Whether it has sound.
        preview: Small WebP picture of it, base64, for the UI.
    """

    path: Path
    format: str
    mime_type: str
    width_px: int
    height_px: int
    size_bytes: int
    duration_s: float | None
    sha256: str
    phash: int | None
    covers: tuple[CopyCover, ...]
    faces_covered: int
    texts_covered: int
    faces_left: int
    tags_left: tuple[str, ...]
    rounds: int
    verified_with: tuple[str, ...]
    has_audio: bool
    preview: str | None = None


@dataclass(frozen=True)
class SharedLocation:
    """What may be told of where a file was taken; empty at level ``none``."""

    level: str = "none"
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    place_city: str | None = None
    place_country_code: str | None = None


@dataclass(frozen=True)
class SharedOutcome:
    """The result of one file in one run.

    Attributes:
        item: What was to be done.
        state: What came of it; ``None``: it failed and will be tried again.
        reason: Why there is no copy, as a code.
        error: Why it failed, for people.
        copy: What was made, also when it is held.
        key: Where the copy is stored.
        phash_distance: Different bits of the hashes of copy and original.
        location: What is told of where it was taken.
        has_killed: Whether its process ended while it worked on this file.
        is_given_up: Whether it is not tried again before file or code change.
    """

    item: SharingItem
    state: ShareState | None
    reason: str | None = None
    error: str | None = None
    copy: MadeCopy | None = None
    key: str | None = None
    phash_distance: int | None = None
    location: SharedLocation = field(default_factory=SharedLocation)
    has_killed: bool = False
    is_given_up: bool = False

    @property
    def media_id(self) -> str:
        """The file."""
        return self.item.entry.media_id


@dataclass(frozen=True)
class SharingChunk:
    """Files whose copies and rows are written. Their events come next; then ask for the next chunk."""

    outcomes: tuple[SharedOutcome, ...]
    at: datetime


@dataclass
class SharingSummary:
    """Counts of a run.

    Attributes:
        files: Number of files.
        states: Number of files by state; ``failed`` is one of them.
        errors: For how many files, by message.
    """

    files: int = 0
    states: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Iterable[SharedOutcome]) -> None:
        """Count ``outcomes``."""
        for outcome in outcomes:
            self.files += 1
            self.states[outcome.state or "failed"] += 1
            if outcome.error is not None:
                self.errors[outcome.error] += 1

    def failures(self, limit: int = 20) -> list[str]:
        """Return each error once, with the number of files, the commonest first."""
        return [
            message + (f" ({count} files)" if count > 1 else "") for message, count in self.errors.most_common(limit)
        ]
