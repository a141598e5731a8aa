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
from media_assets.storage.ledger_archive import is_archived
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import OutcomeState

CopyState = Literal["writing", "published", "replaced", "withdrawn"]

shared_copy = sa.Table(
    "ma_shared_copy",
    schema.metadata,
    sa.Column("path", sa.String(255), primary_key=True),
    sa.Column("media_id", sa.String(64), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("input_version", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
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
        state: ``writing`` until its row is there, ``replaced`` when a newer one has taken its place,
            ``withdrawn`` while it is being deleted.
        holder: The process that stores it (``pipeline.liveness``).
        at: When the key was taken.
    """

    path: str
    media_id: str
    owner: str
    month: str
    input_version: str
    state: CopyState
    holder: str
    at: datetime


@dataclass(frozen=True)
class ShareRow:
    """What decides whether an accepted file is to be shared.

    Attributes:
        media_id: The file.
        owner: Whose it is.
        sha256: Its present version.
        state: What became of its copy last; ``None``: nothing was tried.
        code_version: Version of that result.
        input_version: Version of the file that it was made of.
        faces: Version of its faces, those of the present version of the file; ``None``: not looked for.
        texts: Likewise of its texts.
    """

    media_id: str
    owner: str
    sha256: str
    state: OutcomeState | None
    code_version: str | None
    input_version: str | None
    faces: str | None
    texts: str | None


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

    def share_owners(self) -> set[str]:
        """Return the owners of accepted files."""
        statement = sa.select(schema.media.c.owner).where(schema.media.c.original_key.is_not(None)).distinct()
        with self._transaction() as connection:
            return {row.owner for row in connection.execute(statement)}

    def share_rows(
        self,
        asset: str,
        *,
        owners: Iterable[str] | None = None,
        inbox: str | None = None,
        media_ids: Iterable[str] | None = None,
        archived: bool = False,
    ) -> list[ShareRow]:
        """Return what decides about the copies of accepted files, by media id.

        Args:
            asset: Name of the asset of the copies.
            owners: Only files of these; ``None``: of all.
            inbox: Only files of this inbox.
            media_ids: Only these files, of whichever owner.
            archived: Whether archived files are among them.
        """
        media = schema.media
        results = {name: schema.outcome.alias(name) for name in ("copy", "faces", "texts")}
        joined: sa.FromClause = media
        for name, table in results.items():
            condition = sa.and_(
                table.c.media_id == media.c.media_id, table.c.asset == (asset if name == "copy" else name)
            )
            if name != "copy":
                condition &= sa.and_(table.c.state != "failed", table.c.input_version == media.c.sha256)
            joined = joined.outerjoin(table, condition)
        statement = (
            sa.select(
                *(media.c.media_id, media.c.owner, media.c.sha256, results["copy"].c.state),
                *(results["copy"].c.code_version, results["copy"].c.input_version),
                results["faces"].c.code_version.label("faces"),
                results["texts"].c.code_version.label("texts"),
            )
            .select_from(joined)
            .where(media.c.original_key.is_not(None), *(() if archived else (~is_archived(),)))
            .order_by(media.c.media_id)
        )
        if inbox is not None:
            statement = statement.where(media.c.inbox == inbox)
        column, wanted = (media.c.owner, owners) if media_ids is None else (media.c.media_id, media_ids)
        with self._transaction() as connection:
            if wanted is None:
                return [ShareRow(**row._asdict()) for row in connection.execute(statement)]
            found = [
                ShareRow(**row._asdict())
                for chunk in chunks(sorted(set(wanted)))
                for row in connection.execute(statement.where(column.in_(chunk)))
            ]
        return sorted(found, key=lambda row: row.media_id)

    def without_version(
        self, asset: str, code_version: str, owners: Iterable[str], *, inbox: str | None = None
    ) -> list[str]:
        """Return the accepted files of owners that have no result of an asset of just this version, by media id.

        Archived files are left out.

        Args:
            asset: Name of the asset.
            code_version: Version of the result.
            owners: Whose files.
            inbox: Only files of this inbox.
        """
        media, outcome = schema.media, schema.outcome
        has_it = sa.exists().where(
            outcome.c.media_id == media.c.media_id,
            outcome.c.asset == asset,
            outcome.c.code_version == code_version,
            outcome.c.input_version == media.c.sha256,
            outcome.c.state != "failed",
        )
        statement = sa.select(media.c.media_id).where(media.c.original_key.is_not(None), ~is_archived(), ~has_it)
        if inbox is not None:
            statement = statement.where(media.c.inbox == inbox)
        with self._transaction() as connection:
            return sorted(
                row.media_id
                for chunk in chunks(sorted(set(owners)))
                for row in connection.execute(statement.where(media.c.owner.in_(chunk)))
            )

    def forget_results(self, asset: str, media_ids: Iterable[str]) -> None:
        """Forget the results of an asset, so that files are found to lack them."""
        with self._transaction() as connection:
            for chunk in chunks(sorted(media_ids)):
                connection.execute(
                    sa.delete(schema.outcome).where(
                        schema.outcome.c.asset == asset, schema.outcome.c.media_id.in_(chunk)
                    )
                )

    def forget_copies(self, paths: Sequence[str]) -> None:
        """Forget copies whose objects are deleted."""
        with self._transaction() as connection:
            for chunk in chunks(paths):
                connection.execute(sa.delete(shared_copy).where(shared_copy.c.path.in_(chunk)))
