"""Sidecars in the ledger: which media files they belong to, and whose ``metadata`` has not taken them into account yet.

Whose metadata is to be computed again for another reason, as a consent to their place, waits in the same line.
Statements only. What a sidecar is called is in ``sidecar_names``; how it is fetched is in ``pipeline.sidecars``. A
sidecar that vanishes from the inbox stays on record: what was read from it stays in the tables until ``metadata`` is
computed again, and then it is gone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_archive import is_archived
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import MediaEntry, SidecarUse
from media_assets.storage.sidecar_names import media_keys, sidecar_keys, sidecar_rank

_ASSET = "metadata"  # the asset that reads sidecars (``pipeline.assets.METADATA``)
_READABLE = ("accepted", "rejected", "gone")  # a new version, which is pending, is read when it is processed


class SidecarLedger(LedgerEngine):
    """The part of the ledger that is about sidecars."""

    def sidecars_of(self, entries: Sequence[MediaEntry]) -> dict[str, list[MediaEntry]]:
        """Return the sidecars of media files by media id, the most trusted first; files without any are left out."""
        keys_of = {entry.media_id: media_keys(entry.source_key) for entry in entries}
        wanted = sorted(set().union(*keys_of.values()))
        found: dict[str, dict[str, MediaEntry]] = defaultdict(dict)  # by key, then by media id
        table = schema.sidecar_key
        with self._transaction() as connection:
            for chunk in chunks(wanted):
                statement = (
                    sa.select(table.c.key.label("match_key"), schema.media)
                    .join_from(table, schema.media, table.c.media_id == schema.media.c.media_id)
                    .where(table.c.key.in_(chunk), schema.media.c.state == "sidecar")
                )
                for row in connection.execute(statement):
                    values = row._asdict()
                    match_key = values.pop("match_key")
                    found[match_key][row.media_id] = MediaEntry(**values)
        sidecars: dict[str, list[MediaEntry]] = {}
        for media_id, match_keys in keys_of.items():
            mine = {one.media_id: one for key in match_keys for one in found.get(key, {}).values()}
            if mine:
                sidecars[media_id] = sorted(mine.values(), key=_by_trust)
        return sidecars

    def lone_sidecars(self, limit: int) -> tuple[int, list[str]]:
        """Return how many sidecars belong to no upload that is known, and the first ``limit`` of their source keys."""
        names, others, file = schema.sidecar_key, schema.media_key, schema.media.alias("file")
        matched = (
            sa.select(names.c.media_id)
            .join(others, others.c.key == names.c.key)
            .join(file, file.c.media_id == others.c.media_id)
            .where(file.c.state != "sidecar")
        )
        lone = sa.and_(schema.media.c.state == "sidecar", schema.media.c.media_id.not_in(matched))
        with self._transaction() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(schema.media).where(lone)) or 0
            first = sa.select(schema.media.c.source_key).where(lone).order_by(schema.media.c.source_key).limit(limit)
            return count, list(connection.scalars(first)) if count else []

    def once_rejected_sidecars(self, inbox: str) -> list[MediaEntry]:
        """Return sidecars of an inbox that an older version rejected; their rows in ``rejected`` are still there."""
        columns = schema.media.c
        statement = sa.select(schema.media).where(
            columns.inbox == inbox, columns.state == "sidecar", columns.first_rejected_at.is_not(None)
        )
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def clear_rejections(self, media_ids: Sequence[str]) -> None:
        """Note that files have no row in ``rejected`` any more."""
        with self._transaction() as connection:
            for chunk in chunks(media_ids):
                connection.execute(
                    sa.update(schema.media)
                    .where(schema.media.c.media_id.in_(chunk), schema.media.c.state == "sidecar")
                    .values(first_rejected_at=None)
                )

    def waiting_refreshes(self, inbox: str, limit: int) -> list[MediaEntry]:
        """Return accepted files whose ``metadata`` is to be computed again and that no batch has yet."""
        statement = (
            sa.select(schema.media)
            .join_from(schema.refresh, schema.media, schema.refresh.c.media_id == schema.media.c.media_id)
            .where(schema.refresh.c.inbox == inbox, schema.refresh.c.batch_id.is_(None))
            .order_by(schema.media.c.source_key)
            .limit(limit)
        )
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def renew_metadata(self, media_ids: Sequence[str]) -> None:
        """Note that the metadata of accepted files is to be computed again; archived files stay as they are."""
        media = schema.media.c
        readable = sa.and_(media.state.in_(_READABLE), media.original_key.is_not(None), ~is_archived())
        with self._transaction() as connection:
            for chunk in chunks(media_ids):
                found = connection.execute(
                    sa.select(media.media_id, media.inbox).where(media.media_id.in_(chunk), readable)
                )
                rows = [{**row._asdict(), "batch_id": None} for row in found]
                if rows:
                    connection.execute(self._insert(schema.refresh).on_conflict_do_nothing(), rows)

    # ---------------------------------------------------------------- inside the transactions of the ledger

    def _insert_sidecar_keys(self, connection: sa.Connection, sidecars: Mapping[str, str]) -> None:
        """Record what sidecars, media id to source key, belong to. They stop to be media files."""
        rows = [{"key": key, "media_id": one} for one, name in sidecars.items() for key in sorted(sidecar_keys(name))]
        if rows:
            connection.execute(self._insert(schema.sidecar_key).on_conflict_do_nothing(), rows)

    def _request_refreshes(
        self, connection: sa.Connection, inbox: str, sidecars: Mapping[str, str], changed: Iterable[str]
    ) -> set[str]:
        """Note which accepted files have metadata that lacks a present version of one of these sidecars.

        Asked for every sidecar that is listed, not only for new ones: so each sweep mends what was missed, for example
        a sidecar that was listed while its media file was in work.

        Args:
            connection: Open transaction.
            inbox: The inbox that shows the sidecars.
            sidecars: Media id to source key of all sidecars of a page.
            changed: Those that are new or changed: what waits in a batch for an older version leaves it.

        Returns:
            Batches that lost a file.
        """
        wanted = sorted({key for name in sidecars.values() for key in sidecar_keys(name)})
        renewed = set(changed)
        stale: dict[str, bool] = {}  # media id, and whether a changed sidecar is the reason
        for chunk in chunks(wanted):
            for row in connection.execute(_stale_statement(chunk)):
                if row.sidecar_id in sidecars:
                    stale[row.media_id] = stale.get(row.media_id, False) or row.sidecar_id in renewed
        left: set[str] = set()
        for chunk in chunks(sorted(one for one, is_renewed in stale.items() if is_renewed)):
            left |= self._drop_refreshes(connection, chunk)
        if stale:
            rows = [{"media_id": media_id, "inbox": inbox, "batch_id": None} for media_id in sorted(stale)]
            connection.execute(self._insert(schema.refresh).on_conflict_do_nothing(), rows)
        return left

    def _drop_refreshes(self, connection: sa.Connection, media_ids: Sequence[str]) -> set[str]:
        """Forget that the metadata of files is to be computed again; return the batches that they waited in."""
        left: set[str] = set()
        for chunk in chunks(media_ids):
            those = schema.refresh.c.media_id.in_(chunk)
            batches = sa.select(schema.refresh.c.batch_id).where(those, schema.refresh.c.batch_id.is_not(None))
            left.update(connection.scalars(batches.distinct()))
            connection.execute(sa.delete(schema.refresh).where(those))
        return left

    def _record_uses(
        self, connection: sa.Connection, computed: Iterable[tuple[MediaEntry, Sequence[SidecarUse]]]
    ) -> None:
        """Record which sidecars the metadata of files has taken into account; it is up to date with them."""
        uses = {entry.media_id: found for entry, found in computed}
        table = schema.sidecar_use
        for chunk in chunks(sorted(uses)):
            connection.execute(sa.delete(table).where(table.c.media_id.in_(chunk)))
        self._drop_refreshes(connection, sorted(uses))
        rows: list[dict[str, Any]] = [
            {"media_id": media_id, "sidecar_id": use.sidecar_id, "etag": use.etag, "size_bytes": use.size_bytes}
            for media_id, found in uses.items()
            for use in found
        ]
        if rows:
            connection.execute(self._insert(table), rows)

    def _forget_unused_sidecars(self, connection: sa.Connection, inbox: str) -> None:
        """Forget sidecars of an inbox that no metadata was made from, and what they would have changed."""
        used = sa.select(schema.sidecar_use.c.sidecar_id)
        columns = schema.media.c
        never = sa.and_(columns.media_id.not_in(used), columns.first_rejected_at.is_(None))
        unused = sa.and_(columns.inbox == inbox, columns.state == "sidecar", never)
        those = sa.select(columns.media_id).where(unused)
        connection.execute(sa.delete(schema.sidecar_key).where(schema.sidecar_key.c.media_id.in_(those)))
        connection.execute(sa.delete(schema.media).where(unused))
        connection.execute(
            sa.delete(schema.refresh).where(schema.refresh.c.inbox == inbox, schema.refresh.c.batch_id.is_(None))
        )


def _by_trust(sidecar: MediaEntry) -> tuple[int, str]:
    return sidecar_rank(sidecar.source_key), sidecar.source_key


def _stale_statement(match_keys: Sequence[str]) -> sa.Select[Any]:
    """Pairs of a sidecar and an accepted file with metadata in which the present version of the sidecar is missing."""
    file, sidecar = schema.media.alias("file"), schema.media.alias("sidecar")
    names, files, use, outcome = schema.sidecar_key, schema.media_key, schema.sidecar_use, schema.outcome
    computed = sa.exists().where(outcome.c.media_id == file.c.media_id, outcome.c.asset == _ASSET)
    same_version = sa.and_(use.c.etag == sidecar.c.etag, use.c.size_bytes == sidecar.c.size_bytes)
    taken = sa.exists().where(use.c.media_id == file.c.media_id, use.c.sidecar_id == sidecar.c.media_id, same_version)
    return (
        sa.select(file.c.media_id, sidecar.c.media_id.label("sidecar_id"))
        .select_from(names)
        .join(files, files.c.key == names.c.key)
        .join(sidecar, sidecar.c.media_id == names.c.media_id)
        .join(file, file.c.media_id == files.c.media_id)
        .where(
            names.c.key.in_(match_keys),
            sidecar.c.state == "sidecar",
            file.c.original_key.is_not(None),
            file.c.state.in_(_READABLE),
            computed,
            ~taken,
        )
    )
