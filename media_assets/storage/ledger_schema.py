"""Tables of the ledger: what the inbox held, what was done with it, and what is being done now.

Only column definitions and the record types that mirror them. Statements live in ``ledger.py``. The ledger is an index
that can be rebuilt from the catalog and a full listing of the inbox; it never holds the only copy of anything.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

SCHEMA_VERSION = 4
"""1: uploads, batches, outcomes. 2: sidecars and pairs, in tables of their own. 3: previews. 4: archive, deaths and
departures, whose tables are declared beside their statements."""

REFRESH_PREFIX = "refresh-"
"""What the ids of batches begin with that compute ``metadata`` of accepted files again."""

MediaState = Literal["pending", "accepted", "rejected", "gone", "sidecar"]
BatchState = Literal["pending", "running", "done", "exhausted"]
OutcomeState = Literal["materialized", "rejected", "failed"]


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes on every dialect; SQLite alone would hand back naive ones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse naive datetimes, convert the rest to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The ledger stores aware datetimes only.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Attach UTC where the driver dropped it."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData()

ledger_info = sa.Table("ma_ledger", metadata, sa.Column("schema_version", sa.Integer, primary_key=True))

# One row per media file: the upload that the inbox shows now, and the last version that was accepted.
media = sa.Table(
    "ma_media",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("source_key", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("inbox", sa.Text, nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("modified_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("batch_id", sa.String(32)),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("problem", sa.String(64)),
    sa.Column("problem_message", sa.Text),
    sa.Column("first_rejected_at", UtcDateTime),
    sa.Column("sha256", sa.String(64)),
    sa.Column("original_key", sa.Text),
    sa.Index("ma_media_waiting", "inbox", "state", "batch_id"),
    sa.Index("ma_media_batch", "batch_id"),
)

batch = sa.Table(
    "ma_batch",
    metadata,
    sa.Column("batch_id", sa.String(32), primary_key=True),
    sa.Column("inbox", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("file_count", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("first_media_id", sa.String(64), nullable=False),
    sa.Column("last_media_id", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("worker", sa.Text),
    sa.Column("heartbeat_at", UtcDateTime),
    sa.Column("message", sa.Text),
    sa.Index("ma_batch_open", "inbox", "state", "created_at"),
)

# Which bytes are stored for an owner, and which file brought them first (dedup).
original = sa.Table(
    "ma_original",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("original_key", sa.Text, nullable=False),
    sa.Column("media_id", sa.String(64), nullable=False),
)

# Versions of uploads whose rows are being written, until the ledger has their result. What a dead run leaves here may
# have rows, and has no events.
begun = sa.Table(
    "ma_begun",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("original_key", sa.Text, nullable=False),
)

# The latest result of each asset for each file; a retried run looks here for what its lineage has done already.
outcome = sa.Table(
    "ma_outcome",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("asset", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("input_version", sa.String(64)),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("run_id", sa.String(64), nullable=False),
    sa.Column("root_run_id", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

sweep = sa.Table(
    "ma_sweep",
    metadata,
    sa.Column("inbox", sa.Text, primary_key=True),
    sa.Column("position", sa.Text),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("completed_at", UtcDateTime),
    sa.Column("listed", sa.Integer, nullable=False, default=0),
)

lease = sa.Table(
    "ma_lease",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

# Names under which sidecars find media files, hashed; see ``sidecar_names``. A pair of uploads with an equal key match.
media_key = sa.Table(
    "ma_media_key",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("media_id", sa.String(64), primary_key=True),
    sqlite_with_rowid=False,
)

sidecar_key = sa.Table(
    "ma_sidecar_key",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("media_id", sa.String(64), primary_key=True),
    sqlite_with_rowid=False,
)

# Which versions of which sidecars the present row of ``metadata`` of a media file has taken into account.
sidecar_use = sa.Table(
    "ma_sidecar_use",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("sidecar_id", sa.String(64), primary_key=True),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Accepted media files whose ``metadata`` is to be computed again, because a sidecar came or changed.
refresh = sa.Table(
    "ma_refresh",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("inbox", sa.Text, nullable=False),
    sa.Column("batch_id", sa.String(32)),
    sa.Index("ma_refresh_waiting", "inbox", "batch_id"),
    sa.Index("ma_refresh_batch", "batch_id"),
)

# What decides which files are halves of a pair, the partner of each, and the one that its row in ``metadata`` names.
pair = sa.Table(
    "ma_pair",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("name_key", sa.String(32), nullable=False),
    sa.Column("live_key", sa.String(32)),
    sa.Column("media_type", sa.String(8), nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("duration_s", sa.Float),
    sa.Column("captured_at", UtcDateTime),
    sa.Column("partner_id", sa.String(64)),
    sa.Column("written_id", sa.String(64)),
    sa.Column("is_written", sa.Boolean, nullable=False),
    sa.Index("ma_pair_name", "name_key"),
    sa.Index("ma_pair_live", "live_key"),
)
sa.Index(
    "ma_pair_unwritten",
    pair.c.media_id,
    sqlite_where=pair.c.is_written.is_(False),
    postgresql_where=pair.c.is_written.is_(False),
)

# What the analysis of a media file reads, and the size that its boxes are scaled to.
preview = sa.Table(
    "ma_preview",
    metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("input_version", sa.String(64), nullable=False),
    sa.Column("data_version", sa.String(128), nullable=False),
    sa.Column("preview_key", sa.Text, nullable=False),
    sa.Column("width_px", sa.Integer, nullable=False),
    sa.Column("height_px", sa.Integer, nullable=False),
    sa.Column("frames", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class MediaEntry:
    """One upload as the ledger knows it: a media file, or (state ``sidecar``) a sidecar of media files.

    ``etag``, ``size_bytes`` and ``state`` describe the upload that the inbox shows now. ``sha256`` and
    ``original_key`` describe the last *accepted* version; both are ``None`` until there is one, and for sidecars.
    ``month`` is the month (UTC, ``yyyy-mm``) in which the upload was first seen and never changes.
    """

    media_id: str
    source_key: str
    owner: str
    inbox: str
    month: str
    first_seen_at: datetime
    etag: str
    size_bytes: int
    modified_at: datetime
    seen_at: datetime
    state: MediaState
    batch_id: str | None
    attempts: int
    problem: str | None
    problem_message: str | None
    first_rejected_at: datetime | None
    sha256: str | None
    original_key: str | None


@dataclass(frozen=True)
class Batch:
    """The files of one run. ``run_key`` is new for each attempt, so that Dagster starts each attempt exactly once."""

    batch_id: str
    inbox: str
    state: BatchState
    attempt: int
    file_count: int
    size_bytes: int
    first_media_id: str
    last_media_id: str
    created_at: datetime
    not_before: datetime
    run_id: str | None
    worker: str | None
    heartbeat_at: datetime | None
    message: str | None

    @property
    def run_key(self) -> str:
        """Dagster run key of the current attempt."""
        return f"{self.batch_id}-{self.attempt}"

    @property
    def is_refresh(self) -> bool:
        """Whether its files are accepted ones whose ``metadata`` alone is computed again."""
        return self.batch_id.startswith(REFRESH_PREFIX)


@dataclass(frozen=True)
class Outcome:
    """What happened to one asset of one file in one run.

    ``input_version`` is the SHA-256 of the bytes that were read, ``None`` when nothing could be read.
    """

    media_id: str
    asset: str
    state: OutcomeState
    input_version: str | None
    code_version: str
    run_id: str
    root_run_id: str
    at: datetime


@dataclass(frozen=True)
class SweepStatus:
    """Where the listing of one inbox stands; ``position`` is ``None`` between two sweeps."""

    inbox: str
    position: str | None
    started_at: datetime
    completed_at: datetime | None
    listed: int


@dataclass(frozen=True)
class SidecarUse:
    """One version of a sidecar that the metadata of a media file has taken into account, read or not.

    Attributes:
        sidecar_id: Media id of the sidecar's upload.
        etag: Version of the sidecar.
        size_bytes: Its length.
        sha256: Of its bytes, 64 hex digits; ``None`` when it was not read: gone, too large, or one too many.
    """

    sidecar_id: str
    etag: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True)
class PairFacts:
    """What decides of which pair a file is a half.

    Attributes:
        media_id: The file.
        name_key: Equal for the files of one folder and stem.
        live_key: Equal for the files of one owner with one content identifier; ``None``: it has none.
        media_type: ``image`` or ``video``.
        format: As in table ``files``.
        duration_s: Length of a video.
        captured_at: Capture time; wall time taken for UTC where the offset is unknown. ``None``: unknown.
    """

    media_id: str
    name_key: str
    live_key: str | None
    media_type: str
    format: str
    duration_s: float | None
    captured_at: datetime | None


@dataclass(frozen=True)
class Preview:
    """What the analysis of a media file reads.

    Attributes:
        media_id: The file.
        input_version: SHA-256 of the version of the file that was rendered.
        data_version: Data version of the ``thumbnails`` that it belongs to, for Dagster.
        preview_key: Where the preview is stored; "" for a recording without pictures.
        width_px: Width of the upright original.
        height_px: Height of the upright original.
        frames: Of a video: key and time in seconds of each frame that is analysed; empty for pictures.
    """

    media_id: str
    input_version: str
    data_version: str
    preview_key: str
    width_px: int
    height_px: int
    frames: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ResultVersion:
    """By which versions the result of one asset of one accepted file was made; ``None`` where there is none.

    Attributes:
        media_id: The file.
        owner: Whose it is.
        sha256: Its present version.
        state: What became of the asset last.
        code_version: Version of the code that made it.
        input_version: Version of the file that it was made of.
    """

    media_id: str
    owner: str
    sha256: str
    state: OutcomeState | None
    code_version: str | None
    input_version: str | None
