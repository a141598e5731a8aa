"""Writing a lost ledger anew: whole rows of uploads, originals, results and previews that ``pipeline.rebuild`` made.

Statements only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger_copies import shared_copy
from media_assets.storage.ledger_deaths import death, picture_death, suspect
from media_assets.storage.ledger_departures import DepartureLedger, departed_batch, departure
from media_assets.storage.ledger_engine import chunks
from media_assets.storage.ledger_previews import PreviewLedger
from media_assets.storage.ledger_schema import MediaEntry, Outcome, Preview

UNKNOWN_ETAG = ""
"""Version of an upload whose row in the tables does not tell it; no listing shows it."""

# Answers of geocoders and the marks of archived files stay: nothing else tells them.
_EMPTIED = (
    *(schema.media, schema.batch, schema.original, schema.outcome, schema.sweep, schema.media_key, schema.sidecar_key),
    *(schema.sidecar_use, schema.refresh, schema.pair, schema.preview, departure, departed_batch),
    *(death, suspect, picture_death, shared_copy),
)


class RebuildLedger(DepartureLedger, PreviewLedger):
    """The part of the ledger that makes it again."""

    def is_empty(self) -> bool:
        """Whether no upload is known."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(schema.media.c.media_id).limit(1)) is None

    def forget_everything(self) -> None:
        """Delete what is known of uploads, batches and results."""
        with self._transaction() as connection:
            for table in _EMPTIED:
                connection.execute(sa.delete(table))

    def restore(
        self,
        entries: Sequence[MediaEntry],
        outcomes: Sequence[Outcome],
        previews: Iterable[Preview],
        *,
        departing: bool,
    ) -> None:
        """Write uploads and their results in one transaction; what is known of them already is replaced.

        Args:
            entries: Uploads.
            outcomes: Results of them.
            previews: Previews of them.
            departing: Whether the accepted ones are to leave the inbox.
        """
        now = datetime.now(UTC)
        with self._transaction() as connection:
            self._replace(connection, schema.media, [asdict(entry) for entry in entries])
            self._insert_media_keys(connection, [(entry.media_id, entry.source_key) for entry in entries])
            self._replace(connection, schema.outcome, [asdict(one) for one in outcomes])
            self._record_previews(connection, previews)
            if departing:
                accepted = [one for one in entries if one.state == "accepted" and one.sha256 is not None]
                self._put_on_record(connection, [self._waiting(one, one.inbox, now) for one in accepted])

    def restore_originals(self, originals: Iterable[tuple[str, str, str, str]]) -> None:
        """Write which bytes are stored, the first files before the others: owner, SHA-256, key, media id."""
        names = ("owner", "sha256", "original_key", "media_id")
        rows = [dict(zip(names, one, strict=True)) for one in originals]
        with self._transaction() as connection:
            for chunk in chunks(rows):
                connection.execute(self._insert(schema.original).values(list(chunk)).on_conflict_do_nothing())

    def adopt_versions(self, found: Sequence[InboxObject], media_ids: Sequence[str]) -> None:
        """Record which version of uploads the inbox shows, where it was unknown and the bytes are those on record."""
        table = schema.media
        with self._transaction() as connection:
            for one, media_id in zip(found, media_ids, strict=True):
                connection.execute(
                    sa.update(table)
                    .where(table.c.media_id == media_id, table.c.etag == UNKNOWN_ETAG)
                    .values(etag=one.etag, size_bytes=one.size_bytes, modified_at=one.modified_at)
                )
                connection.execute(
                    sa.update(departure)
                    .where(departure.c.media_id == media_id, departure.c.etag == UNKNOWN_ETAG)
                    .values(etag=one.etag, size_bytes=one.size_bytes)
                )

    def _replace(self, connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
        keys = [column.name for column in table.primary_key]
        statement = self._insert(table)
        changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
        if rows:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))
