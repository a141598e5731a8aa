"""Copies that left for the public: under which key each one is stored, so that every one of them can be taken back.

Statements only. A key is on record before its object is stored and until it is deleted, whatever dies in between; what
is to be withdrawn is decided in ``pipeline.sharing_selection``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_engine import LedgerEngine, chunks

CopyState = Literal["writing", "published", "replaced"]

shared_copy = sa.Table(
    "ma_shared_copy",
    schema.metadata,
    sa.Column("path", sa.String(255), primary_key=True),
    sa.Column("media_id", sa.String(64), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("input_version", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("at", schema.UtcDateTime, nullable=False),
    sa.Index("ma_shared_copy_media", "media_id"),
)


@dataclass(frozen=True)
class SharedCopy:
    """A stored copy, or one that is being stored.

    Attributes:
        path: Its key.
        media_id: The file that it shows.
        owner: Whose it is.
        month: Month of the file's rows.
        input_version: SHA-256 of the version that it shows.
        state: ``writing`` until its row is there, ``replaced`` when a newer one has taken its place.
        at: When the key was taken.
    """

    path: str
    media_id: str
    owner: str
    month: str
    input_version: str
    state: CopyState
    at: datetime


class CopyLedger(LedgerEngine):
    """The part of the ledger that knows copies."""

    def record_copies(self, copies: Iterable[SharedCopy]) -> None:
        """Put copies on record; what was known of their keys is replaced."""
        rows = [asdict(one) for one in copies]
        with self._transaction() as connection:
            for chunk in chunks(rows):
                statement = self._insert(shared_copy).values(list(chunk))
                changed = {name: statement.excluded[name] for name in chunk[0] if name != "path"}
                connection.execute(statement.on_conflict_do_update(index_elements=[shared_copy.c.path], set_=changed))

    def publish_copies(self, paths: Sequence[str]) -> None:
        """Mark copies as published, and older ones of the same files as replaced, in one transaction."""
        with self._transaction() as connection:
            for chunk in chunks(paths):
                media_ids = sa.select(shared_copy.c.media_id).where(shared_copy.c.path.in_(chunk)).scalar_subquery()
                connection.execute(
                    sa.update(shared_copy)
                    .where(
                        shared_copy.c.media_id.in_(media_ids),
                        shared_copy.c.path.not_in(chunk),
                        shared_copy.c.state == "published",
                    )
                    .values(state="replaced")
                )
                connection.execute(
                    sa.update(shared_copy).where(shared_copy.c.path.in_(chunk)).values(state="published")
                )

    def copies(self, media_ids: Iterable[str] | None = None) -> list[SharedCopy]:
        """Return the copies of files, by key; ``None``: of all files."""
        statement = sa.select(shared_copy).order_by(shared_copy.c.path)
        with self._transaction() as connection:
            if media_ids is None:
                return [SharedCopy(**row._asdict()) for row in connection.execute(statement)]
            found = []
            for chunk in chunks(sorted(media_ids)):
                rows = connection.execute(statement.where(shared_copy.c.media_id.in_(chunk)))
                found += [SharedCopy(**row._asdict()) for row in rows]
        return found

    def forget_copies(self, paths: Sequence[str]) -> None:
        """Forget copies whose objects are deleted."""
        with self._transaction() as connection:
            for chunk in chunks(paths):
                connection.execute(sa.delete(shared_copy).where(shared_copy.c.path.in_(chunk)))
