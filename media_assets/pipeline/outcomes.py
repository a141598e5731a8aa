"""What became of each file of a batch: the records that pass from the pipeline to Dagster and to the command line.

Plain data. How outcomes become Parquet rows is in ``rows.py``, how they become Dagster events in ``defs``.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from media_assets.media.errors import ContentError
from media_assets.media.places import Place
from media_assets.media.records import MediaResult, Rendition
from media_assets.storage.ledger_schema import MediaEntry, SidecarUse
from media_assets.storage.private_text import without_names

FileState = Literal["materialized", "rejected", "failed", "gone"]


@dataclass(frozen=True)
class StoredRendition:
    """A rendition as it lies in the store.

    Attributes:
        asset: The asset that it belongs to.
        key: Where it is stored.
        public_url: Its lasting address for browsers, if the library has one.
        made: What was encoded.
        data: Its bytes, for the smallest kind only, as picture for the UI.
    """

    asset: str
    key: str
    public_url: str | None
    made: Rendition
    data: bytes | None = None


@dataclass(frozen=True)
class FileOutcome:
    """The result of one file in one run.

    Attributes:
        entry: The file as the ledger knew it when the run started.
        assets: The assets that were asked for, without those that were given up.
        state: ``materialized`` (every asset asked for), ``rejected`` (content error), ``failed`` (infrastructure
            error, will be retried) or ``gone`` (it left the inbox, or was overwritten, before it was read).
        sha256: Of the bytes that were read; ``None`` if nothing could be read.
        size_bytes: How many bytes were read, if it was materialized.
        result: What the decoder found, if it was materialized.
        original_key: Where the original is stored.
        duplicate_of: Media id of the first file of the same owner with the same bytes, if this is not it.
        renditions: The stored renditions, if they were asked for.
        verified: Whether the stored original was compared by checksum.
        error: Why it was rejected.
        message: Why it failed, for people.
        quarantine_key: Where the rejected bytes are kept, if they could be read.
        place: What the position is called, if there is one and ``metadata`` was asked for.
        sidecars: The sidecars that were taken into account, if ``metadata`` was asked for.
        given_up: Assets that were asked for and cannot be made of this file, which is sound in itself, and why.
        withholds_location: Whether the position was left out, because the owner has not consented to keep it.
        is_interrupted_version: Whether this is about a version that a dead run had begun (``interrupted``), and that
            the inbox does not show any more.
    """

    entry: MediaEntry
    assets: frozenset[str]
    state: FileState
    source: str
    sha256: str | None = None
    size_bytes: int | None = None
    result: MediaResult | None = None
    original_key: str | None = None
    duplicate_of: str | None = None
    renditions: tuple[StoredRendition, ...] = ()
    verified: bool = False
    error: ContentError | None = None
    message: str | None = None
    quarantine_key: str | None = None
    place: Place | None = None
    sidecars: tuple[SidecarUse, ...] = ()
    given_up: Mapping[str, ContentError] = field(default_factory=dict)
    withholds_location: bool = False
    is_interrupted_version: bool = False

    def renditions_of(self, asset: str) -> list[StoredRendition]:
        """Return the stored renditions that belong to one asset."""
        return [one for one in self.renditions if one.asset == asset]

    @property
    def sidecars_version(self) -> str:
        """Changes when the bytes of a sidecar do; "" when none was read."""
        read = [use.sha256 for use in self.sidecars if use.sha256 is not None]
        return hashlib.sha256("".join(read).encode()).hexdigest()[:8] if read else ""


@dataclass
class BatchSummary:
    """Counts of a run, for its log, its metadata and its exit status."""

    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, outcomes: Iterable[FileOutcome]) -> None:
        """Count ``outcomes``."""
        for outcome in outcomes:
            self.states[outcome.state] += 1
            self.size_bytes += outcome.entry.size_bytes
            if outcome.error is not None:
                self.reasons[str(outcome.error.reason)] += 1
            self.given_up += [
                _for_log(outcome, f"{asset}: {error.message}") for asset, error in outcome.given_up.items()
            ]
            if outcome.state == "failed" and outcome.message is not None:
                self.failures.append(_for_log(outcome, outcome.message))


def _for_log(outcome: FileOutcome, message: str) -> str:
    """A message about a file, for logs and event logs."""
    return f"{outcome.entry.media_id}: {without_names(message, [outcome.entry.source_key])}"
