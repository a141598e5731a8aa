"""Uploads leave the inbox after they were ingested (``after_ingest``), each only when nothing can be lost by it.

The order for one upload: it is accepted, its rows are written; the inbox still shows this very version; the stored
original is read back and has its checksum; the departure is on record; exactly this version is moved or deleted. A
crash between any two steps is completed by the next call. How a version is taken away is in
``storage.inbox_departures``.

Sidecars stay: they are not stored in the library, and ``metadata`` reads them again when it is computed again. So do
refused uploads, which somebody has to look at.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from media_assets.pipeline.library import Library, store_options
from media_assets.pipeline.liveness import is_dead_holder, new_holder
from media_assets.storage.errors import ObjectMissing, PreconditionFailed, StorageError
from media_assets.storage.inbox import Inbox, printable
from media_assets.storage.inbox_departures import Departures, open_departures
from media_assets.storage.ledger_departures import Departure, DepartureState
from media_assets.storage.ledger_schema import MediaEntry

MAX_FILES = 500
MAX_SECONDS = 8.0
"""What one tick does at most, the last upload aside."""

_BATCHES_AT_ONCE = 40
_LEASE_FOR = timedelta(minutes=10)
_RETRY_BASE_S = 60.0
_RETRY_MAX_S = 6 * 3600.0

_End = Literal["left", "gone", "superseded", "held"]


@dataclass
class DepartureReport:
    """What one call did.

    Attributes:
        left: Uploads that were moved or deleted.
        gone: Uploads that somebody else had removed.
        superseded: Uploads that are another version by now; the listing reports it.
        held: Uploads that cannot leave now, and why: source key and message.
        is_busy: Another process does it; nothing was done.
        is_complete: Nothing is left to do now.
    """

    left: int = 0
    gone: int = 0
    superseded: int = 0
    held: list[tuple[str, str]] = field(default_factory=list)
    is_busy: bool = False
    is_complete: bool = False


def depart(
    library: Library, inbox: Inbox, *, max_files: int | None = MAX_FILES, max_seconds: float | None = MAX_SECONDS
) -> DepartureReport:
    """Let accepted uploads leave the inbox, if the settings say so.

    Args:
        library: The library.
        inbox: The configured inbox; no other one is ever changed.
        max_files: Uploads that are looked at; ``None``: all.
        max_seconds: Time after which no other upload is begun; ``None``: no limit.

    Raises:
        StorageError: The settings do not fit, or the ledger cannot be read or written.
    """
    report, settings = DepartureReport(), library.settings
    if settings.after_ingest == "keep":
        report.is_complete = True
        return report
    done_url = settings.inbox_done_url if settings.after_ingest == "move" else None
    way_out = open_departures(settings.inbox_url, done_url, store_options(settings))
    started = time.monotonic()
    with library.ledger.lease("departures", new_holder(), _LEASE_FOR, is_dead=is_dead_holder) as obtained:
        if not obtained:
            report.is_busy = True
            return report
        seen = 0
        while True:
            now = datetime.now(UTC)
            due = library.ledger.due_departures(inbox.url, now, MAX_FILES)
            # What had begun comes first: a newer version that takes its place on record must not hide it.
            if not due and not library.ledger.expect_departures(inbox.url, now, _BATCHES_AT_ONCE):
                report.is_complete = True
                return report
            entries = library.ledger.entries([one.media_id for one in due])
            for one in due:
                if max_files is not None and seen >= max_files:
                    return report
                if max_seconds is not None and time.monotonic() - started >= max_seconds:
                    return report
                if library.stop.is_set():
                    return report
                seen += 1
                _count(report, *_depart_one(library, inbox, way_out, one, entries.get(one.media_id)))


def _count(report: DepartureReport, end: _End, source_key: str, message: str) -> None:
    if end == "held":
        report.held.append((printable(source_key), message))
    else:
        setattr(report, end, getattr(report, end) + 1)


def _depart_one(
    library: Library, inbox: Inbox, way_out: Departures, one: Departure, entry: MediaEntry | None
) -> tuple[_End, str, str]:
    ledger = library.ledger
    version = (one.etag, one.size_bytes)
    is_current = entry is not None and entry.state == "accepted" and entry.inbox == one.inbox
    if entry is None:
        ledger.forget_departure(one)
        return "superseded", one.media_id, ""
    try:
        if one.state == "leaving":
            way_out.resume(entry.source_key, *version, one.sha256)
        if not is_current or (entry.etag, entry.size_bytes, entry.sha256) != (*version, one.sha256):
            ledger.forget_departure(one)
            return "superseded", entry.source_key, ""
        # First whether it is there at all: reading the original of what has left already would be for nothing.
        found = inbox.head(entry.source_key)
        if found is None:
            ledger.set_departure(one, "left")
            return ("left" if one.state == "leaving" else "gone"), entry.source_key, ""
        if (found.etag, found.size_bytes) != version:
            ledger.forget_departure(one)
            return "superseded", entry.source_key, ""
        problem = _problem_of_original(library, entry)
        if problem is not None:
            return _hold(library, one, entry, problem)
        ledger.set_departure(one, "leaving")
        way_out.leave(entry.source_key, *version, one.sha256)
    except ObjectMissing:
        ledger.set_departure(one, "left")
        return "gone", entry.source_key, ""
    except PreconditionFailed:
        ledger.forget_departure(one)
        return "superseded", entry.source_key, ""
    except StorageError as error:
        return _hold(library, one, entry, str(error))
    ledger.set_departure(one, "left")
    return "left", entry.source_key, ""


def _problem_of_original(library: Library, entry: MediaEntry) -> str | None:
    """Read the stored original back; return what is wrong with it."""
    key = entry.original_key
    if key is None:
        return "No original is on record for this upload. Run: media-assets rebuild"
    try:
        sha256 = library.store.sha256(key)
    except ObjectMissing:
        return f"The stored original {key} is missing. Materialize the asset `original` of {entry.media_id} again."
    if sha256 != entry.sha256:
        return f"The stored original {key} has other bytes than the upload had. Check the disk of the library."
    return None


def _hold(library: Library, one: Departure, entry: MediaEntry, message: str) -> tuple[_End, str, str]:
    delay_s = min(_RETRY_MAX_S, _RETRY_BASE_S * 2.0 ** min(one.attempts, 20))
    # A departure that had begun is looked at first again: its file may have no name.
    state: DepartureState = "leaving" if one.state == "leaving" else "held"
    library.ledger.set_departure(one, state, message=message, not_before=datetime.now(UTC) + timedelta(seconds=delay_s))
    return "held", entry.source_key, message
