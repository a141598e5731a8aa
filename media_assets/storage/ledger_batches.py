"""Batches in the ledger: made from waiting uploads, opened, worked on, closed, started again.

Statements only. Uploads and results are in ``ledger.py``; when a batch is started again is decided in
``pipeline.requests``.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_archive import ArchiveLedger
from media_assets.storage.ledger_engine import chunks
from media_assets.storage.ledger_schema import Batch, MediaEntry


class BatchLedger(ArchiveLedger):
    """The part of the ledger that is about batches."""

    def create_batches(
        self, inbox: str, groups: Sequence[Sequence[MediaEntry]], *, refresh: bool = False
    ) -> list[Batch]:
        """Turn groups of waiting uploads into pending batches, in one transaction.

        Args:
            inbox: The inbox that the batches belong to.
            groups: Files of each batch, in order.
            refresh: Whether they are accepted files of which only ``metadata`` is computed again
                (:meth:`media_assets.storage.ledger_sidecars.SidecarLedger.waiting_refreshes`).
        """
        now = datetime.now(UTC)
        table = schema.refresh if refresh else schema.media
        # Batches made together are worked on in their order.
        made = [new_batch(inbox, group, now, refresh=refresh, at=at) for at, group in enumerate(groups)]
        with self._transaction() as connection:
            for batch, group in zip(made, groups, strict=True):
                connection.execute(schema.batch.insert().values(asdict(batch)))
                # What is worked on again gets its partition back before its run is requested.
                self._reopen_files(connection, [entry.media_id for entry in group])
                for chunk in chunks([entry.media_id for entry in group]):
                    connection.execute(
                        sa.update(table).where(table.c.media_id.in_(chunk)).values(batch_id=batch.batch_id)
                    )
        return made

    def open_batches(
        self,
        inbox: str,
        limit: int,
        *,
        with_exhausted: bool = False,
        without: Iterable[str] = (),
        only: Iterable[str] | None = None,
        due_at: datetime | None = None,
    ) -> list[Batch]:
        """Return the oldest batches that are not done: pending, running, and on request those given up.

        Args:
            inbox: The inbox that they belong to.
            limit: How many at most.
            with_exhausted: Whether those that were given up are meant too.
            without: Ids of batches that are left out.
            only: Ids of the batches that are looked at; ``None`` for all.
            due_at: Leaves out what rests until later than this (aware), after a failure; ``None``: nothing.
        """
        states = ["pending", "running", *(["exhausted"] if with_exhausted else [])]
        columns = schema.batch.c
        statement = (
            sa.select(schema.batch)
            .where(columns.inbox == inbox, columns.state.in_(states), columns.batch_id.not_in(list(without)))
            .where(sa.true() if only is None else columns.batch_id.in_(list(only)))
            .where(sa.true() if due_at is None else sa.or_(columns.state != "pending", columns.not_before <= due_at))
            .order_by(schema.batch.c.created_at, schema.batch.c.batch_id)
            .limit(limit)
        )
        with self._transaction() as connection:
            return [Batch(**row._asdict()) for row in connection.execute(statement)]

    def unfinished(self, limit: int) -> list[Batch]:
        """Return the oldest batches of all inboxes that are not done."""
        statement = (
            sa.select(schema.batch)
            .where(schema.batch.c.state != "done")
            .order_by(schema.batch.c.created_at, schema.batch.c.batch_id)
            .limit(limit)
        )
        with self._transaction() as connection:
            return [Batch(**row._asdict()) for row in connection.execute(statement)]

    def batch(self, batch_id: str) -> Batch | None:
        """Return one batch, ``None`` if there is none of that id."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(schema.batch).where(schema.batch.c.batch_id == batch_id)).one_or_none()
        return None if row is None else Batch(**row._asdict())

    def batch_counts(self) -> dict[str, int]:
        """Return the number of batches by state."""
        statement = sa.select(schema.batch.c.state, sa.func.count()).group_by(schema.batch.c.state)
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def pending_members(self, batch_id: str) -> list[MediaEntry]:
        """Return the files of a batch that still wait, in the order of :meth:`waiting`."""
        is_refresh = batch_id.startswith(schema.REFRESH_PREFIX)
        return [entry for entry in self.batch_members(batch_id) if is_refresh or entry.state == "pending"]

    def batch_members(self, batch_id: str) -> list[MediaEntry]:
        """Return the files of a batch, in the order of :meth:`waiting`.

        A file whose metadata was computed again has left its batch.
        """
        columns = schema.media.c
        if batch_id.startswith(schema.REFRESH_PREFIX):
            waiting = sa.select(schema.refresh.c.media_id).where(schema.refresh.c.batch_id == batch_id)
            statement = sa.select(schema.media).where(columns.media_id.in_(waiting)).order_by(columns.source_key)
        else:
            statement = sa.select(schema.media).where(columns.batch_id == batch_id)
            statement = statement.order_by(columns.first_seen_at, columns.source_key)
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def start_batch(self, batch_id: str, run_id: str, worker: str) -> None:
        """Mark a batch as being worked on by ``run_id`` in process ``worker``."""
        self._update_batch(
            batch_id, state="running", run_id=run_id, worker=worker, heartbeat_at=datetime.now(UTC), message=None
        )

    def heartbeat(self, batch_id: str) -> None:
        """Say that the run of a batch is alive."""
        self._update_batch(batch_id, heartbeat_at=datetime.now(UTC))

    def finish_batch(self, batch_id: str) -> bool:
        """Close a batch if none of its files waits any more; return whether it was closed."""
        pending = sa.exists().where(schema.media.c.batch_id == batch_id, schema.media.c.state == "pending")
        refreshes = sa.exists().where(schema.refresh.c.batch_id == batch_id)
        with self._transaction() as connection:
            if connection.scalar(sa.select(sa.or_(pending, refreshes))):
                return False
            connection.execute(
                sa.update(schema.batch).where(schema.batch.c.batch_id == batch_id).values(state="done", message=None)
            )
        return True

    def reopen_batch(self, batch: Batch, *, message: str, not_before: datetime, max_attempts: int | None) -> Batch:
        """Make a batch pending again for its next attempt, or give it up after ``max_attempts``.

        Args:
            batch: The batch as it was read; nothing happens if it was finished or moved on since.
            message: What went wrong, for ``media-assets status``.
            not_before: Earliest time of the next attempt.
            max_attempts: ``None`` never gives up.
        """
        state = "exhausted" if max_attempts is not None and batch.attempt >= max_attempts else "pending"
        attempt = batch.attempt if state == "exhausted" else batch.attempt + 1
        with self._transaction() as connection:
            connection.execute(
                sa.update(schema.batch)
                .where(
                    schema.batch.c.batch_id == batch.batch_id,
                    schema.batch.c.attempt == batch.attempt,
                    schema.batch.c.state != "done",
                )
                .values(state=state, attempt=attempt, message=message, not_before=not_before, run_id=None, worker=None)
            )
        return self.batch(batch.batch_id) or batch

    def _update_batch(self, batch_id: str, **values: Any) -> None:
        with self._transaction() as connection:
            connection.execute(sa.update(schema.batch).where(schema.batch.c.batch_id == batch_id).values(**values))


def new_batch(inbox: str, group: Sequence[MediaEntry], now: datetime, *, refresh: bool, at: int) -> Batch:
    """Return a pending batch.

    Args:
        inbox: The inbox that it belongs to.
        group: Its files, in order; at least one.
        now: When it may start.
        refresh: See :meth:`BatchLedger.create_batches`.
        at: Its place among batches that are made together, from 0.
    """
    digest = hashlib.sha256(repr(now).encode())
    for entry in group:
        digest.update(repr((entry.source_key, entry.etag, entry.size_bytes)).encode())
    return Batch(
        batch_id=(schema.REFRESH_PREFIX if refresh else "") + digest.hexdigest()[:16],
        inbox=inbox,
        state="pending",
        attempt=1,
        file_count=len(group),
        size_bytes=sum(entry.size_bytes for entry in group),
        first_media_id=group[0].media_id,
        last_media_id=group[-1].media_id,
        created_at=now + timedelta(microseconds=at),
        not_before=now,
        run_id=None,
        worker=None,
        heartbeat_at=None,
        message=None,
    )
