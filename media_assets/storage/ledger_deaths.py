"""Batches whose process died: how often, and which batches are parts of one, so that the file that kills is found.

Statements only; what follows from a death is decided in ``pipeline.bisect``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_batches import BatchLedger, new_batch
from media_assets.storage.ledger_engine import chunks
from media_assets.storage.ledger_schema import Batch, MediaEntry

# One row per attempt that ended with the death of its process.
death = sa.Table(
    "ma_death",
    schema.metadata,
    sa.Column("batch_id", sa.String(32), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("at", schema.UtcDateTime, nullable=False),
    sa.Column("pending", sa.Integer, nullable=False),
    sa.Column("is_shared", sa.Boolean, nullable=False),
)

# Batches that have died, and parts of them. They are done one at a time, so that each death has one cause. A batch
# that was not split off another one is its own parent.
suspect = sa.Table(
    "ma_suspect",
    schema.metadata,
    sa.Column("batch_id", sa.String(32), primary_key=True),
    sa.Column("inbox", sa.Text, nullable=False),
    sa.Column("parent_id", sa.String(32), nullable=False),
    # Whether its one file was found to kill; its run refuses it without looking into it.
    sa.Column("is_condemned", sa.Boolean, nullable=False, default=False),
    # Whether even copying the file ended a process: its bytes are not kept.
    sa.Column("is_untouchable", sa.Boolean, nullable=False, default=False),
    sa.Index("ma_suspect_inbox", "inbox"),
)


# One row per run in which a picture ended the process of the models, alone with it.
picture_death = sa.Table(
    "ma_picture_death",
    schema.metadata,
    sa.Column("media_id", sa.String(64), primary_key=True),
    sa.Column("asset", sa.String(64), primary_key=True),
    sa.Column("input_version", sa.String(64), primary_key=True),
    sa.Column("code_version", sa.String(64), primary_key=True),
    sa.Column("run_id", sa.String(64), primary_key=True),
)


@dataclass(frozen=True)
class Death:
    """The death of the process that worked on a batch.

    Attributes:
        attempt: Number of the attempt, from 1.
        at: When it was noticed.
        pending: Files that were not recorded yet.
        is_shared: Whether whoever watched the process, or the machine, went down with it.
    """

    attempt: int
    at: datetime
    pending: int
    is_shared: bool


@dataclass(frozen=True)
class Suspicion:
    """What is known of a batch that has died, or is a part of one that did.

    Attributes:
        parent_id: The batch that it is a part of; its own id if it is not a part.
        is_condemned: Its one file was found to kill its process and is refused unseen.
        is_untouchable: The file is not even copied.
    """

    parent_id: str
    is_condemned: bool
    is_untouchable: bool


class DeathLedger(BatchLedger):
    """The part of the ledger about deaths."""

    def record_death(self, batch: Batch, pending: int, at: datetime, *, is_shared: bool) -> list[Death]:
        """Record the death of the present attempt, once, and return all deaths of the batch, the oldest first."""
        with self._transaction() as connection:
            connection.execute(
                self._insert(death)
                .values(batch_id=batch.batch_id, attempt=batch.attempt, at=at, pending=pending, is_shared=is_shared)
                .on_conflict_do_nothing()
            )
        return self.deaths(batch.batch_id)

    def deaths(self, batch_id: str) -> list[Death]:
        """Return the deaths of a batch, the oldest first."""
        columns = death.c
        statement = (
            sa.select(columns.attempt, columns.at, columns.pending, columns.is_shared)
            .where(columns.batch_id == batch_id)
            .order_by(columns.attempt)
        )
        with self._transaction() as connection:
            return [Death(**row._asdict()) for row in connection.execute(statement)]

    def forgive(self, batch_ids: Iterable[str]) -> None:
        """Forget the deaths of batches; those that are parts of another one stay suspects."""
        with self._transaction() as connection:
            for chunk in chunks(list(batch_ids)):
                connection.execute(sa.delete(death).where(death.c.batch_id.in_(chunk)))

    def suspicion(self, batch_id: str) -> Suspicion | None:
        """Return what is known of a batch that has died or is a part of one, ``None`` for any other batch."""
        columns = suspect.c
        statement = sa.select(columns.parent_id, columns.is_condemned, columns.is_untouchable)
        with self._transaction() as connection:
            row = connection.execute(statement.where(columns.batch_id == batch_id)).one_or_none()
        return None if row is None else Suspicion(**row._asdict())

    def suspect_ids(self, inbox: str) -> set[str]:
        """Return the ids of the batches that have died, or are parts of one that did, and are not done."""
        is_open = sa.and_(schema.batch.c.batch_id == suspect.c.batch_id, schema.batch.c.state != "done")
        statement = sa.select(suspect.c.batch_id).join(schema.batch, is_open).where(suspect.c.inbox == inbox)
        with self._transaction() as connection:
            return set(connection.scalars(statement))

    def suspect(self, batch: Batch) -> None:
        """Have a batch done alone from now on, because its process died."""
        values = {"batch_id": batch.batch_id, "inbox": batch.inbox, "parent_id": batch.batch_id}
        with self._transaction() as connection:
            connection.execute(self._insert(suspect).values(values).on_conflict_do_nothing())

    def split_batch(
        self, batch: Batch, groups: Sequence[Sequence[MediaEntry]], now: datetime, message: str
    ) -> list[Batch]:
        """Put the files of a batch that still wait into new ones, suspects all, in one transaction.

        Args:
            batch: The batch as it was read; nothing happens if it was finished or moved on since.
            groups: Its waiting files, by new batch.
            now: When they may start.
            message: Why, for ``media-assets status``.
        """
        table = schema.refresh if batch.is_refresh else schema.media
        made = [new_batch(batch.inbox, group, now, refresh=batch.is_refresh, at=at) for at, group in enumerate(groups)]
        with self._transaction() as connection:
            taken = connection.execute(
                sa.update(schema.batch)
                .where(
                    schema.batch.c.batch_id == batch.batch_id,
                    schema.batch.c.attempt == batch.attempt,
                    schema.batch.c.state != "done",
                )
                .values(
                    attempt=batch.attempt + 1,
                    state="pending",
                    run_id=None,
                    worker=None,
                    not_before=now,
                    message=message,
                )
            )
            if taken.rowcount != 1:
                return []
            for part, group in zip(made, groups, strict=True):
                connection.execute(schema.batch.insert().values(asdict(part)))
                connection.execute(
                    suspect.insert().values(batch_id=part.batch_id, inbox=batch.inbox, parent_id=batch.batch_id)
                )
                for chunk in chunks([entry.media_id for entry in group]):
                    connection.execute(
                        sa.update(table)
                        .where(table.c.media_id.in_(chunk), table.c.batch_id == batch.batch_id)
                        .values(batch_id=part.batch_id)
                    )
        return made

    def condemn(self, batch: Batch, entry: MediaEntry, problem: str, message: str, *, is_untouchable: bool) -> None:
        """Have the only waiting file of a batch refused by its next run, without being looked into.

        Args:
            batch: Its batch.
            entry: The version of the file that kills.
            problem: Reason code.
            message: For people.
            is_untouchable: Whether it is not even copied.
        """
        with self._transaction() as connection:
            self._update_pending(connection, [entry], problem=problem, problem_message=message)
            values = {"is_condemned": True, "is_untouchable": is_untouchable}
            connection.execute(
                self._insert(suspect)
                .values(batch_id=batch.batch_id, inbox=batch.inbox, parent_id=batch.batch_id, **values)
                .on_conflict_do_update(index_elements=[suspect.c.batch_id], set_=values)
            )

    def worked_elsewhere(self, batch: Batch, since: datetime) -> bool:
        """Return whether the run of another batch was at work after ``since`` and came to its end."""
        columns = schema.batch.c
        statement = sa.select(
            sa.exists().where(
                columns.batch_id != batch.batch_id,
                columns.inbox == batch.inbox,
                columns.state == "done",
                columns.heartbeat_at > since,
                # The halves of a batch that was split are others; the batch itself has not come to its end.
                ~sa.exists().where(suspect.c.parent_id == columns.batch_id, suspect.c.batch_id != columns.batch_id),
            )
        )
        with self._transaction() as connection:
            return bool(connection.scalar(statement))

    def record_picture_death(
        self, media_id: str, asset: str, input_version: str, code_version: str, run_id: str
    ) -> int:
        """Record that a picture ended the process of the models; return in how many runs it did so by now."""
        of_picture = {
            "media_id": media_id,
            "asset": asset,
            "input_version": input_version,
            "code_version": code_version,
        }
        same = [picture_death.c[name] == value for name, value in of_picture.items()]
        with self._transaction() as connection:
            connection.execute(self._insert(picture_death).values(**of_picture, run_id=run_id).on_conflict_do_nothing())
            return connection.scalar(sa.select(sa.func.count()).select_from(picture_death).where(*same)) or 0

    def has_made(self, asset: str, code_version: str) -> bool:
        """Return whether a version of the code has made an asset of any file."""
        columns = schema.outcome.c
        made = sa.exists().where(
            columns.asset == asset, columns.code_version == code_version, columns.state == "materialized"
        )
        with self._transaction() as connection:
            return bool(connection.scalar(sa.select(made)))

    def reconsider(self, entries: Sequence[MediaEntry], cleared: str) -> int:
        """Let rejected uploads wait for a batch again; return how many there are.

        Args:
            entries: The uploads; those that the inbox shows in another version by now are left alone.
            cleared: Reason code of those that are looked into again though they were found to kill their process. What
                a listing said of a name holds.
        """
        table, changed = schema.media, 0
        with self._transaction() as connection:
            for entry in entries:
                values: dict[str, Any] = {"state": "pending", "batch_id": None}
                if entry.problem == cleared:
                    values |= {"problem": None, "problem_message": None}
                changed += connection.execute(
                    sa.update(table)
                    .where(
                        table.c.media_id == entry.media_id,
                        table.c.state == "rejected",
                        table.c.etag == entry.etag,
                        table.c.size_bytes == entry.size_bytes,
                    )
                    .values(values)
                ).rowcount
        return changed

    def start_again(self, batch: Batch, message: str) -> Batch:
        """Make a batch that is not in work pending at once, with its deaths forgotten."""
        self.forgive([batch.batch_id])
        return self.reopen_batch(batch, message=message, not_before=datetime.now(UTC), max_attempts=None)

    def rejected_entries(self, limit: int, after: str = "") -> list[MediaEntry]:
        """Return rejected uploads in the order of their ids, from the one after ``after``."""
        columns = schema.media.c
        statement = (
            sa.select(schema.media)
            .where(columns.state == "rejected", columns.media_id > after)
            .order_by(columns.media_id)
            .limit(limit)
        )
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def _update_pending(self, connection: sa.Connection, entries: Iterable[MediaEntry], **values: Any) -> None:
        table = schema.media
        for entry in entries:
            connection.execute(
                sa.update(table)
                .where(
                    table.c.media_id == entry.media_id,
                    table.c.state == "pending",
                    table.c.etag == entry.etag,
                    table.c.size_bytes == entry.size_bytes,
                )
                .values(**values)
            )
