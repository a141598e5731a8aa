"""The ledger: which uploads were seen, which batch they belong to, and what became of them.

Statements only; batches, sidecars and pairs have modules of their own (``ledger_batches`` and so on). Which files go
into which batch is decided in ``pipeline.intake``, when a batch is requested again in ``pipeline.requests``. Works on
SQLite (default, one file) and on Postgres (``postgresql+psycopg2://``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from media_assets.storage import keys
from media_assets.storage import ledger_schema as schema
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger_archive import is_archived
from media_assets.storage.ledger_batches import BatchLedger
from media_assets.storage.ledger_begun import BegunLedger
from media_assets.storage.ledger_copies import CopyLedger
from media_assets.storage.ledger_deaths import DeathLedger
from media_assets.storage.ledger_engine import chunks
from media_assets.storage.ledger_erasure import ErasureLedger
from media_assets.storage.ledger_leases import LeaseLedger
from media_assets.storage.ledger_originals import OriginalLedger
from media_assets.storage.ledger_pairs import PairLedger
from media_assets.storage.ledger_places import PlaceLedger
from media_assets.storage.ledger_rebuild import RebuildLedger
from media_assets.storage.ledger_schema import MediaEntry, MediaState, Outcome, Preview, SidecarUse, SweepStatus
from media_assets.storage.ledger_sidecars import SidecarLedger
from media_assets.storage.sidecar_names import is_sidecar


@dataclass(frozen=True)
class PageResult:
    """What recording one page of a listing changed.

    Attributes:
        new: Uploads that were not known: new files and new versions of known files.
        conflicts: Source keys that another inbox brought with other bytes; not recorded.
        sidecars: Sidecars on the page, new and known ones. They are not counted in ``new``: they are processed with
            their media files and start nothing of their own.
    """

    new: int
    conflicts: tuple[str, ...]
    sidecars: int = 0


@dataclass
class _PageChanges:
    """What a page asks to be written: whole rows of ``ma_media``, ids, and batches that lose a file."""

    new: list[dict[str, Any]] = field(default_factory=list)
    first: list[tuple[str, str]] = field(default_factory=list)
    sidecars: dict[str, str] = field(default_factory=dict)
    changed_sidecars: dict[str, str] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)


class Ledger(
    DeathLedger,
    BatchLedger,
    SidecarLedger,
    OriginalLedger,
    BegunLedger,
    PairLedger,
    PlaceLedger,
    CopyLedger,
    RebuildLedger,
    LeaseLedger,
    ErasureLedger,
):
    """Durable record of uploads, batches, outcomes and leases. Safe for several processes and threads."""

    # ---------------------------------------------------------------- uploads

    def record_page(
        self, inbox: str, objects: Sequence[InboxObject], position: str | None, *, take_over: bool
    ) -> PageResult:
        """Record one page of a listing and the position of the sweep, in one transaction.

        An upload is new when its key is unknown, its ``(etag, size)`` differs from the recorded one, it was gone, or it
        still waited in another inbox.

        Args:
            inbox: Normalised URL of the inbox.
            objects: The page.
            position: Where the sweep continues; ``None`` at its end.
            take_over: Whether keys that another inbox brought with other bytes count as new versions. When false
                they are reported as conflicts and left alone. The same bytes are no conflict: the file moved.
        """
        now = datetime.now(UTC)
        with self._transaction() as connection:
            result = self._record(connection, inbox, objects, now, take_over=take_over)
            self._save_sweep(connection, inbox, position, len(objects), now)
        return result

    def record_nominated(self, inbox: str, objects: Sequence[InboxObject]) -> PageResult:
        """Record uploads that something else than a listing has found, as :meth:`record_page` does.

        The position of the sweep stays where it is. Keys that another inbox brought are taken over.
        """
        with self._transaction() as connection:
            return self._record(connection, inbox, objects, datetime.now(UTC), take_over=True)

    def _record(
        self, connection: sa.Connection, inbox: str, objects: Sequence[InboxObject], now: datetime, *, take_over: bool
    ) -> PageResult:
        objects = self._without_refused(connection, objects)
        by_id = {keys.media_id(found.source_key): found for found in objects}
        known = self._rows(connection, by_id)
        changes = _compare(inbox, by_id, known, now, take_over=take_over)
        for chunk in chunks(changes.moved):
            connection.execute(sa.update(schema.media).where(schema.media.c.media_id.in_(chunk)).values(inbox=inbox))
        if changes.new:
            # Many executions of one statement, as in ``_insert_media_keys``: compiled once.
            statement, table = self._insert(schema.media), schema.media.c
            kept = {"media_id", "source_key", "owner", "month", "first_seen_at", "first_rejected_at"}
            changed = {name: statement.excluded[name] for name in changes.new[0] if name not in kept}
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[table.media_id],
                    set_=changed,
                    # Another process may have recorded this version since it was looked up, and put it into a batch.
                    where=sa.or_(
                        table.etag != statement.excluded.etag,
                        table.size_bytes != statement.excluded.size_bytes,
                        table.inbox != statement.excluded.inbox,
                        table.state == "gone",
                        (table.state == "sidecar") != (statement.excluded.state == "sidecar"),
                    ),
                ),
                changes.new,
            )
        self._insert_media_keys(connection, changes.first)
        self._insert_sidecar_keys(connection, changes.changed_sidecars)
        # A new version reads its sidecars when it is processed.
        left = self._drop_refreshes(connection, [row["media_id"] for row in changes.new if row["media_id"] in known])
        left |= self._request_refreshes(connection, inbox, changes.sidecars, changes.changed_sidecars)
        self._close_emptied(connection, changes.left | left)
        self._note_returned(connection, inbox, by_id, now)
        return PageResult(
            new=len(changes.new) - len(changes.changed_sidecars),
            conflicts=tuple(changes.conflicts),
            sidecars=len(changes.sidecars),
        )

    def _close_emptied(self, connection: sa.Connection, batch_ids: Iterable[str]) -> None:
        """Close batches that no run works on and whose last pending file has left them for another batch."""
        waits = sa.or_(
            sa.exists().where(schema.media.c.batch_id == schema.batch.c.batch_id, schema.media.c.state == "pending"),
            sa.exists().where(schema.refresh.c.batch_id == schema.batch.c.batch_id),
        )
        for chunk in chunks(sorted(batch_ids)):
            connection.execute(
                sa.update(schema.batch)
                .where(schema.batch.c.batch_id.in_(chunk), schema.batch.c.state.in_(("pending", "exhausted")), ~waits)
                .values(state="done", message=None)
            )

    def _save_sweep(
        self, connection: sa.Connection, inbox: str, position: str | None, listed: int, now: datetime
    ) -> None:
        row = connection.execute(sa.select(schema.sweep).where(schema.sweep.c.inbox == inbox)).one_or_none()
        resumed = row is not None and row.position is not None
        values = {
            "position": position,
            "started_at": row.started_at if row is not None and resumed else now,
            "completed_at": now if position is None else (row.completed_at if row is not None else None),
            "listed": listed + (row.listed if row is not None and resumed else 0),
        }
        statement = self._insert(schema.sweep).values(inbox=inbox, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=[schema.sweep.c.inbox], set_=values))

    def sweep_status(self, inbox: str) -> SweepStatus | None:
        """Return where the listing of ``inbox`` stands, ``None`` before the first page."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(schema.sweep).where(schema.sweep.c.inbox == inbox)).one_or_none()
        return None if row is None else SweepStatus(**row._asdict())

    def _rows(self, connection: sa.Connection, media_ids: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for chunk in chunks(list(media_ids)):
            statement = sa.select(schema.media).where(schema.media.c.media_id.in_(chunk))
            found.update({row.media_id: row for row in connection.execute(statement)})
        return found

    def entries(self, media_ids: Iterable[str]) -> dict[str, MediaEntry]:
        """Return the known ones of ``media_ids``."""
        with self._transaction() as connection:
            return {key: MediaEntry(**row._asdict()) for key, row in self._rows(connection, media_ids).items()}

    def waiting(self, inbox: str, limit: int) -> list[MediaEntry]:
        """Return pending uploads that no batch has yet, ``limit`` at most, in the order in which they were first seen.

        Where more wait, which of them come first is left to the database: to sort a million of them takes seconds.
        """
        found = (
            sa.select(schema.media.c.media_id)
            .where(schema.media.c.inbox == inbox, schema.media.c.state == "pending", schema.media.c.batch_id.is_(None))
            .limit(limit)
            .subquery("waiting")
        )
        statement = (
            sa.select(schema.media)
            .join(found, found.c.media_id == schema.media.c.media_id)
            .order_by(schema.media.c.first_seen_at, schema.media.c.source_key)
        )
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def forget_waiting(self, inbox: str) -> None:
        """Forget uploads of an inbox that wait for a batch and were never processed; a listing finds them again.

        Sidecars that no metadata was made from are forgotten too.
        """
        never = sa.and_(schema.media.c.sha256.is_(None), schema.media.c.first_rejected_at.is_(None))
        waits = sa.and_(schema.media.c.state == "pending", schema.media.c.batch_id.is_(None))
        with self._transaction() as connection:
            connection.execute(sa.delete(schema.media).where(schema.media.c.inbox == inbox, waits, never))
            self._forget_unused_sidecars(connection, inbox)

    def counts(self) -> dict[str, int]:
        """Return the number of uploads by state; those of state ``sidecar`` are no media files."""
        statement = sa.select(schema.media.c.state, sa.func.count()).group_by(schema.media.c.state)
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    # ---------------------------------------------------------------- results

    def record_results(
        self,
        outcomes: Sequence[Outcome],
        *,
        accepted: Iterable[tuple[MediaEntry, str, str]] = (),
        rejected: Iterable[MediaEntry] = (),
        gone: Iterable[MediaEntry] = (),
        failed: Iterable[MediaEntry] = (),
        reread: Iterable[tuple[MediaEntry, bool]] = (),
        sidecars: Iterable[tuple[MediaEntry, Sequence[SidecarUse]]] = (),
        previews: Iterable[Preview] = (),
    ) -> None:
        """Record what a chunk of a run did, in one transaction, after its rows and events were written.

        Each upload is only moved on if the inbox still shows the version that was worked on; a newer version that
        was listed meanwhile stays pending.

        Args:
            outcomes: Results per asset.
            accepted: ``(entry, sha256, original_key)`` of new accepted originals.
            rejected: Entries whose upload is rejected.
            gone: Entries whose upload left the inbox before it was read.
            failed: Entries that stay pending after an infrastructure error.
            reread: Entries whose stored original was read again, and whether it was sound.
            sidecars: Entries whose ``metadata`` was computed, and the sidecars that were taken into account.
            previews: Previews that were made anew.
        """
        now = datetime.now(UTC)
        accepted, rejected, gone = list(accepted), list(rejected), list(gone)
        with self._transaction() as connection:
            self._forget_begun(connection, {one.media_id for one in (*(one[0] for one in accepted), *rejected, *gone)})
            for entry, sha256, original_key in accepted:
                self._move_on(
                    connection,
                    entry,
                    state="accepted",
                    sha256=sha256,
                    original_key=original_key,
                    attempts=0,
                    first_rejected_at=None,
                )
            for entry in rejected:
                self._move_on(
                    connection,
                    entry,
                    state="rejected",
                    attempts=entry.attempts + 1,
                    first_rejected_at=entry.first_rejected_at or now,
                )
            for entry in gone:
                self._move_on(connection, entry, state="gone")
            for entry in failed:
                self._move_on(connection, entry, attempts=entry.attempts + 1)
            for entry, is_sound in reread:
                rejected_at = None if is_sound else entry.first_rejected_at or now
                if rejected_at != entry.first_rejected_at:
                    self._move_on(connection, entry, first_rejected_at=rejected_at)
            self._record_uses(connection, sidecars)
            self._record_previews(connection, previews)
            for chunk in chunks([asdict(one) for one in outcomes]):
                statement = self._insert(schema.outcome).values(list(chunk))
                changed = {name: statement.excluded[name] for name in chunk[0] if name not in ("media_id", "asset")}
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=[schema.outcome.c.media_id, schema.outcome.c.asset], set_=changed
                    )
                )

    def _move_on(self, connection: sa.Connection, entry: MediaEntry, **values: Any) -> None:
        connection.execute(
            sa.update(schema.media)
            .where(
                schema.media.c.media_id == entry.media_id,
                schema.media.c.etag == entry.etag,
                schema.media.c.size_bytes == entry.size_bytes,
            )
            .values(**values)
        )

    def done_in_lineage(self, root_run_id: str, media_ids: Iterable[str]) -> dict[str, set[str]]:
        """Return the assets that runs of one lineage have finished (materialized or rejected), by media id."""
        done: dict[str, set[str]] = {}
        table = schema.outcome
        with self._transaction() as connection:
            for chunk in chunks(list(media_ids)):
                statement = sa.select(table.c.media_id, table.c.asset).where(
                    table.c.media_id.in_(chunk), table.c.root_run_id == root_run_id, table.c.state != "failed"
                )
                for row in connection.execute(statement):
                    done.setdefault(row.media_id, set()).add(row.asset)
        return done

    def lacking(self, inbox: str, assets: Sequence[str]) -> dict[str, set[str]]:
        """Return, by media id, which of ``assets`` the accepted files of an inbox that are not archived lack."""
        table = schema.outcome
        lacking: dict[str, set[str]] = {}
        with self._transaction() as connection:
            for asset in assets:
                done = sa.and_(
                    table.c.media_id == schema.media.c.media_id,
                    table.c.asset == asset,
                    table.c.state != "failed",
                    table.c.input_version == schema.media.c.sha256,
                )
                statement = (
                    sa.select(schema.media.c.media_id)
                    .select_from(schema.media.outerjoin(table, done))
                    .where(
                        schema.media.c.inbox == inbox,
                        schema.media.c.state == "accepted",
                        table.c.media_id.is_(None),
                        ~is_archived(),
                    )
                )
                for row in connection.execute(statement):
                    lacking.setdefault(row.media_id, set()).add(asset)
        return lacking


def _compare(
    inbox: str, by_id: Mapping[str, InboxObject], known: Mapping[str, Any], now: datetime, *, take_over: bool
) -> _PageChanges:
    """Compare a page with the rows that the ledger has of its uploads; see :meth:`Ledger.record_page`."""
    changes = _PageChanges()
    for media_id, found in by_id.items():
        row = known.get(media_id)
        same = row is not None and (row.etag, row.size_bytes) == (found.etag, found.size_bytes)
        # What cannot be read, and what was accepted as a media file once, is not taken for a sidecar by its name.
        as_sidecar = found.problem is None and (row is None or row.original_key is None)
        as_sidecar = as_sidecar and is_sidecar(found.source_key)
        if row is not None and row.inbox != inbox:
            # What waits in a batch of the other inbox would wait for ever: that inbox may be listed no more.
            if same and row.state != "pending":
                changes.moved.append(media_id)
            elif not same and not take_over:
                changes.conflicts.append(found.source_key)
                continue
        if as_sidecar:
            changes.sidecars[media_id] = found.source_key
        is_new = row is None or not same or row.state == "gone" or (row.state == "pending" and row.inbox != inbox)
        was_sidecar = row is not None and row.state == "sidecar"
        if not is_new and as_sidecar == was_sidecar:
            continue
        changes.new.append(_listed_row(inbox, media_id, found, now, "sidecar" if as_sidecar else "pending"))
        changes.left.update([row.batch_id] if row is not None and row.batch_id is not None else [])
        if as_sidecar:
            changes.changed_sidecars[media_id] = found.source_key
        elif row is None or was_sidecar:
            changes.first.append((media_id, found.source_key))
    return changes


def _listed_row(inbox: str, media_id: str, found: InboxObject, now: datetime, state: MediaState) -> dict[str, Any]:
    return {
        "media_id": media_id,
        "source_key": found.source_key,
        "owner": keys.owner_of(found.source_key),
        "inbox": inbox,
        "month": keys.month_of(now),
        "first_seen_at": now,
        "etag": found.etag,
        "size_bytes": found.size_bytes,
        "modified_at": found.modified_at,
        "seen_at": now,
        "state": state,
        "batch_id": None,
        "attempts": 0,
        "problem": None if found.problem is None else str(found.problem),
        "problem_message": found.problem_message,
        "first_rejected_at": None,
    }
