"""Archived months: media files whose partition keys have left Dagster, while their rows stay.

Statements only; when a month may be archived is decided in ``pipeline.archive``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import MediaState

archived = sa.Table(
    "ma_archived",
    schema.metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("archived_at", schema.UtcDateTime, nullable=False),
    sa.Index("ma_archived_month", "month"),
)


def is_archived() -> sa.ColumnElement[bool]:
    """Condition on rows of ``ma_media``."""
    return sa.exists().where(archived.c.media_id == schema.media.c.media_id)


@dataclass(frozen=True)
class MonthCounts:
    """The files of a month that have, or had, a partition.

    Attributes:
        files: Files with a stored original.
        archived: Those of them that are archived.
    """

    files: int
    archived: int


@dataclass(frozen=True)
class PartitionFacts:
    """What decides whether a file has a partition.

    Attributes:
        media_id: The file.
        state: Of the upload that the inbox shows.
        has_original: Whether a version of it was accepted once.
        is_archived: Whether its partition was taken away.
        is_in_work: Whether it waits for a batch or a run, or belongs to a batch that is not closed.
    """

    media_id: str
    state: MediaState
    has_original: bool
    is_archived: bool
    is_in_work: bool


class ArchiveLedger(LedgerEngine):
    """The part of the ledger that knows archived months."""

    def month_counts(self) -> dict[str, MonthCounts]:
        """Return how many files each month has, the oldest month first."""
        media = schema.media.c
        statement = (
            sa.select(media.month, sa.func.count(), sa.func.count(archived.c.media_id))
            .select_from(schema.media.outerjoin(archived, archived.c.media_id == media.media_id))
            .where(media.original_key.is_not(None))
            .group_by(media.month)
            .order_by(media.month)
        )
        with self._transaction() as connection:
            return {month: MonthCounts(files, gone) for month, files, gone in connection.execute(statement)}

    def archive_hindrances(self, month: str) -> dict[str, int]:
        """Return what is not finished of the files of a month, with the number of files; empty: nothing."""
        with self._transaction() as connection:
            return self._hindrances(connection, month)

    def archive_month(self, month: str) -> int:
        """Mark the files of a month as archived unless something is unfinished; return how many were marked now.

        Files that never had an accepted version have no partition, and are not marked.
        """
        media = schema.media.c
        with self._transaction() as connection:
            if self._hindrances(connection, month):
                return 0
            chosen = sa.select(media.media_id, media.month, sa.literal(datetime.now(UTC), schema.UtcDateTime())).where(
                media.month == month, media.original_key.is_not(None), ~is_archived()
            )
            made = connection.execute(sa.insert(archived).from_select(["media_id", "month", "archived_at"], chosen))
            return int(made.rowcount)

    def _hindrances(self, connection: sa.Connection, month: str) -> dict[str, int]:
        media, batch, outcome = schema.media.c, schema.batch.c, schema.outcome.c
        of_month = sa.select(sa.func.count(media.media_id.distinct())).where(media.month == month)
        refreshed = sa.exists().where(schema.refresh.c.media_id == media.media_id)
        found = {
            "waiting": of_month.where(media.state == "pending"),
            "sidecars": of_month.where(refreshed),
            "in_batches": of_month.join_from(schema.media, schema.batch, media.batch_id == batch.batch_id).where(
                batch.state != "done", media.state != "pending"
            ),
            "failed": of_month.join_from(schema.media, schema.outcome, media.media_id == outcome.media_id).where(
                outcome.state == "failed"
            ),
        }
        counted = {name: connection.scalar(statement) or 0 for name, statement in found.items()}
        return {name: count for name, count in counted.items() if count}

    def archived_files(self, month: str) -> list[str]:
        """Return the archived files of a month in the order in which they came."""
        media = schema.media.c
        statement = (
            sa.select(media.media_id)
            .join_from(archived, schema.media, archived.c.media_id == media.media_id)
            .where(archived.c.month == month)
            .order_by(media.first_seen_at, media.source_key)
        )
        with self._transaction() as connection:
            return list(connection.scalars(statement))

    def archived_among(self, media_ids: Sequence[str]) -> list[str]:
        """Return those of ``media_ids`` that are archived, in the order in which they came."""
        media = schema.media.c
        found: list[Any] = []
        with self._transaction() as connection:
            for chunk in chunks(media_ids):
                statement = (
                    sa.select(media.media_id, media.first_seen_at, media.source_key)
                    .join_from(archived, schema.media, archived.c.media_id == media.media_id)
                    .where(archived.c.media_id.in_(chunk))
                )
                found += connection.execute(statement).all()
        return [row.media_id for row in sorted(found, key=lambda row: (row.first_seen_at, row.source_key))]

    def archived_count(self) -> int:
        """Return the number of archived files."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(archived)) or 0

    def reopen_files(self, media_ids: Sequence[str]) -> None:
        """Note that files are not archived any more."""
        with self._transaction() as connection:
            self._reopen_files(connection, media_ids)

    def _reopen_files(self, connection: sa.Connection, media_ids: Sequence[str]) -> None:
        for chunk in chunks(media_ids):
            connection.execute(sa.delete(archived).where(archived.c.media_id.in_(chunk)))

    def partition_facts(self) -> list[PartitionFacts]:
        """Return what decides whether files have a partition, in the order in which they came."""
        media, refresh = schema.media.c, schema.refresh.c
        unclosed = sa.exists().where(schema.batch.c.batch_id == media.batch_id, schema.batch.c.state != "done")
        in_work = sa.or_(media.state == "pending", sa.exists().where(refresh.media_id == media.media_id), unclosed)
        statement = sa.select(
            media.media_id,
            media.state,
            media.original_key.is_not(None).label("has_original"),
            is_archived().label("is_archived"),
            in_work.label("is_in_work"),
        ).order_by(media.first_seen_at, media.source_key)
        with self._transaction() as connection:
            rows = connection.execute(statement).all()
        return [
            PartitionFacts(row.media_id, row.state, bool(row.has_original), bool(row.is_archived), bool(row.is_in_work))
            for row in rows
        ]
