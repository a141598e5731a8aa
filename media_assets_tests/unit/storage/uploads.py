"""Uploads as an inbox lists them, and what a ledger knows of them."""

from datetime import UTC, datetime

from media_assets.media.errors import ReasonCode
from media_assets.storage import keys
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import MediaEntry

MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)


def upload(key: str, etag: str = "1", size_bytes: int = 10, problem: ReasonCode | None = None) -> InboxObject:
    """An object of an inbox."""
    return InboxObject(key, etag, size_bytes, MODIFIED, problem, None if problem is None else "Rename it.")


def entry_of(ledger: Ledger, key: str) -> MediaEntry:
    """The entry of an upload, which must be there."""
    return ledger.entries([keys.media_id(key)])[keys.media_id(key)]
