"""Uploads that are to leave the inbox after they were ingested, and those that have left.

Statements only; the steps and their order are in ``pipeline.departures``. An upload is on record before it is touched,
so that a crash between any two steps is completed later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger_engine import LedgerEngine, chunks

DepartureState = Literal["waiting", "leaving", "held", "left"]

departure = sa.Table(
    "ma_departure",
    schema.metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("inbox", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("not_before", schema.UtcDateTime, nullable=False),
    sa.Column("message", sa.Text),
    sa.Index("ma_departure_due", "inbox", "state", "not_before"),
)

# Batches whose files were put on record. New uploads are found by their batch: looking for accepted files that are not
# on record yet would read the whole ledger at each tick.
departed_batch = sa.Table(
    "ma_departed_batch",
    schema.metadata,
    sa.Column("batch_id", sa.String(32), primary_key=True),
)


@dataclass(frozen=True)
class Departure:
    """One version of an upload that is to leave, or has left.

    Attributes:
        media_id: The upload.
        inbox: Normalised URL of its inbox.
        etag: The version.
        size_bytes: Its length.
        sha256: Of its bytes, 64 hex digits.
        state: ``waiting``; ``leaving``: the inbox may have been touched already; ``held``: something was wrong, it is
            tried again at ``not_before``; ``left``.
        attempts: How often something was wrong.
        not_before: Earliest time of the next attempt.
        message: What was wrong, for people.
    """

    media_id: str
    inbox: str
    etag: str
    size_bytes: int
    sha256: str
    state: DepartureState
    attempts: int
    not_before: datetime
    message: str | None


class DepartureLedger(LedgerEngine):
    """The part of the ledger about departures."""

    def expect_departures(self, inbox: str, now: datetime, max_batches: int) -> int:
        """Put the accepted files of finished batches on record, of ``max_batches`` batches at most; return how many."""
        batch, media = schema.batch, schema.media
        seen = sa.exists().where(departed_batch.c.batch_id == batch.c.batch_id)
        with self._transaction() as connection:
            statement = (
                sa.select(batch.c.batch_id)
                .where(batch.c.inbox == inbox, batch.c.state == "done", ~seen)
                .order_by(batch.c.created_at)
                .limit(max_batches)
            )
            batch_ids = list(connection.scalars(statement))
            rows = [
                self._waiting(row, inbox, now)
                for chunk in chunks(batch_ids)
                for row in connection.execute(
                    sa.select(media.c.media_id, media.c.etag, media.c.size_bytes, media.c.sha256).where(
                        media.c.batch_id.in_(chunk),
                        media.c.inbox == inbox,
                        media.c.state == "accepted",
                        media.c.sha256.is_not(None),
                    )
                )
            ]
            self._put_on_record(connection, rows)
            if batch_ids:
                connection.execute(departed_batch.insert(), [{"batch_id": one} for one in batch_ids])
        return len(rows)

    def due_departures(self, inbox: str, now: datetime, limit: int) -> list[Departure]:
        """Return uploads whose turn it is, those first that may have been touched already."""
        table = departure.c
        with self._transaction() as connection:
            found: list[Departure] = []
            for state in ("leaving", "waiting", "held"):  # one range of the index each
                statement = (
                    sa.select(departure)
                    .where(table.inbox == inbox, table.state == state, table.not_before <= now)
                    .order_by(table.not_before, table.media_id)
                    .limit(limit - len(found))
                )
                if len(found) < limit:
                    found += [Departure(**row._asdict()) for row in connection.execute(statement)]
        return found

    def set_departure(
        self, one: Departure, state: DepartureState, *, message: str | None = None, not_before: datetime | None = None
    ) -> None:
        """Move an upload on; nothing happens if another version is on record meanwhile."""
        with self._transaction() as connection:
            connection.execute(
                sa.update(departure)
                .where(*_is(one))
                .values(
                    state=state,
                    message=message,
                    attempts=one.attempts + (state == "held"),
                    not_before=not_before or one.not_before,
                )
            )

    def forget_departure(self, one: Departure) -> None:
        """Take an upload off the record that is another version now; with it comes a batch of its own."""
        with self._transaction() as connection:
            connection.execute(sa.delete(departure).where(*_is(one)))

    def departure_counts(self) -> dict[str, int]:
        """Return the number of uploads on record by state."""
        statement = sa.select(departure.c.state, sa.func.count()).group_by(departure.c.state)
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def held_departures(self, limit: int) -> list[tuple[str, str | None]]:
        """Return source keys of uploads that something keeps from leaving, and why."""
        statement = (
            sa.select(schema.media.c.source_key, departure.c.message)
            .join_from(departure, schema.media, departure.c.media_id == schema.media.c.media_id)
            .where(departure.c.state == "held")
            .order_by(schema.media.c.source_key)
            .limit(limit)
        )
        with self._transaction() as connection:
            return [(row.source_key, row.message) for row in connection.execute(statement)]

    # ---------------------------------------------------------------- inside the transactions of the ledger

    def _note_returned(
        self, connection: sa.Connection, inbox: str, by_id: Mapping[str, InboxObject], now: datetime
    ) -> None:
        """Uploads that had left and are listed again in the very same version leave once more: their bytes are known.

        Also met by a listing that was made before the upload left: it is found to be gone then.
        """
        if connection.scalar(sa.select(departure.c.media_id).limit(1)) is None:
            return
        for chunk in chunks(list(by_id)):
            statement = sa.select(departure).where(
                departure.c.media_id.in_(chunk), departure.c.state == "left", departure.c.inbox == inbox
            )
            back = [
                row
                for row in connection.execute(statement)
                if (row.etag, row.size_bytes) == (by_id[row.media_id].etag, by_id[row.media_id].size_bytes)
            ]
            self._put_on_record(connection, [self._waiting(row, inbox, now) for row in back])

    def _put_on_record(self, connection: sa.Connection, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            statement = self._insert(departure)
            changed = {column.name: statement.excluded[column.name] for column in departure.c if not column.primary_key}
            connection.execute(
                statement.on_conflict_do_update(index_elements=[departure.c.media_id], set_=changed), list(rows)
            )

    @staticmethod
    def _waiting(row: Any, inbox: str, now: datetime) -> dict[str, object]:
        return {
            "media_id": row.media_id,
            "inbox": inbox,
            "etag": row.etag,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "state": "waiting",
            "attempts": 0,
            "not_before": now,
            "message": None,
        }


def _is(one: Departure) -> Iterable[sa.ColumnElement[bool]]:
    table = departure.c
    return table.media_id == one.media_id, table.etag == one.etag, table.size_bytes == one.size_bytes
