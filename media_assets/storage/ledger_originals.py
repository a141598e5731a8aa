"""Stored originals in the ledger: which bytes of an owner are stored, and which file counts as bringing them.

Statements only. The others with the same bytes are its duplicates (``files.duplicate_of``). Where that file has become
another one, its place goes to one that still has the bytes, or comes with them later.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import MediaEntry


class OriginalLedger(LedgerEngine):
    """The part of the ledger that knows stored originals."""

    def claim_original(self, owner: str, sha256: str, media_id: str, original_key: str) -> tuple[str, str]:
        """Return ``(media_id, original_key)`` of the file that brought these bytes for this owner."""
        table, holder = schema.original, schema.media.alias("holder")
        this = sa.and_(table.c.owner == owner, table.c.sha256 == sha256)
        with self._transaction() as connection:
            connection.execute(
                self._insert(table)
                .values(owner=owner, sha256=sha256, original_key=original_key, media_id=media_id)
                .on_conflict_do_nothing()
            )
            moved_on = sa.exists().where(
                holder.c.media_id == table.c.media_id, holder.c.sha256.is_not(None), holder.c.sha256 != sha256
            )
            connection.execute(sa.update(table).where(this, moved_on).values(media_id=media_id))
            row = connection.execute(sa.select(table.c.media_id, table.c.original_key).where(this)).one()
        return row.media_id, row.original_key

    def holders(self, contents: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[MediaEntry]]:
        """Return the files whose accepted version has these bytes, by owner and SHA-256; reads all uploads once."""
        wanted = set(contents)
        found: dict[tuple[str, str], list[MediaEntry]] = {}
        with self._transaction() as connection:
            for chunk in chunks(sorted({sha256 for _, sha256 in wanted})):
                statement = sa.select(schema.media).where(schema.media.c.sha256.in_(chunk))
                for row in connection.execute(
                    statement.order_by(schema.media.c.first_seen_at, schema.media.c.media_id)
                ):
                    if (row.owner, row.sha256) in wanted:
                        found.setdefault((row.owner, row.sha256), []).append(MediaEntry(**row._asdict()))
        return found

    def claimed_by(self, contents: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the media id of the file that brought each of these bytes, by owner and SHA-256."""
        found: dict[tuple[str, str], str] = {}
        where = sa.tuple_(schema.original.c.owner, schema.original.c.sha256)
        with self._transaction() as connection:
            for chunk in chunks(sorted(contents)):
                statement = sa.select(schema.original).where(where.in_(list(chunk)))
                found.update({(row.owner, row.sha256): row.media_id for row in connection.execute(statement)})
        return found

    def hand_over(self, contents: Mapping[tuple[str, str], str]) -> None:
        """Let other files count as those that brought these bytes."""
        table = schema.original
        with self._transaction() as connection:
            for (owner, sha256), media_id in contents.items():
                connection.execute(
                    sa.update(table).where(table.c.owner == owner, table.c.sha256 == sha256).values(media_id=media_id)
                )
