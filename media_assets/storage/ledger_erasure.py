"""Erasing media files from the ledger: from every table, with what other rows say of them.

Statements only; what is to be erased is decided in ``pipeline.erasure``. Every table of the ledger has its rule in
:data:`RULES`, so that a new one cannot be forgotten.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import sqlalchemy as sa

from media_assets.storage import keys
from media_assets.storage import ledger_schema as schema
from media_assets.storage.database_space import give_back_space, statistics_naming
from media_assets.storage.errors import LedgerError
from media_assets.storage.ledger_deaths import death, suspect
from media_assets.storage.ledger_departures import departed_batch
from media_assets.storage.ledger_engine import chunks
from media_assets.storage.ledger_places import Cell, place
from media_assets.storage.ledger_refusals import RefusalLedger
from media_assets.storage.ledger_schema import MediaEntry
from media_assets.storage.traces import Needles

Rule = Literal["of_files", "of_batches", "positions", "places", "kept"]

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            *("ma_media", "ma_original", "ma_begun", "ma_outcome", "ma_media_key", "ma_sidecar_key", "ma_sidecar_use"),
            *("ma_refresh", "ma_pair", "ma_preview", "ma_archived", "ma_departure", "ma_picture_death"),
            "ma_shared_copy",
        ),
        "of_files",
    ),
    **dict.fromkeys(("ma_batch", "ma_death", "ma_suspect", "ma_departed_batch"), "of_batches"),
    "ma_sweep": "positions",
    "ma_place": "places",
    # Versions and leases of the ledger, turns of geocoders, and hashes of what must not come back.
    **dict.fromkeys(("ma_ledger", "ma_lease", "ma_geocoder", "ma_refusal"), "kept"),
}
"""What happens to the rows of each table: they go with their files, with their last file, or stay."""


class ErasureLedger(RefusalLedger):
    """The part of the ledger that forgets."""

    def entries_of(self, owner: str) -> list[MediaEntry]:
        """Return all uploads of an owner, sidecars too."""
        statement = sa.select(schema.media).where(schema.media.c.owner == owner).order_by(schema.media.c.media_id)
        with self._transaction() as connection:
            return [MediaEntry(**row._asdict()) for row in connection.execute(statement)]

    def all_source_keys(self) -> dict[str, str]:
        """Return the source key of every upload by its media id."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(schema.media.c.media_id, schema.media.c.source_key)).all()
        return {row.media_id: row.source_key for row in rows}

    def lonely_sidecars(self, media_ids: Collection[str]) -> list[MediaEntry]:
        """Return the sidecars that belong to these files and to no others."""
        names, files, media = schema.sidecar_key.c, schema.media_key.c, schema.media.c
        joined = sa.select(names.media_id, files.media_id.label("file_id")).where(names.key == files.key)
        with self._transaction() as connection:
            found: set[str] = set()
            for chunk in chunks(sorted(media_ids)):
                found.update(connection.scalars(joined.where(files.media_id.in_(chunk))))
            shared: set[str] = set()
            for chunk in chunks(sorted(found)):
                rows = connection.execute(joined.where(names.media_id.in_(chunk)))
                shared |= {row.media_id for row in rows if row.file_id not in media_ids}
            entries = []
            for chunk in chunks(sorted(found - shared)):
                rows = connection.execute(sa.select(schema.media).where(media.media_id.in_(chunk)))
                entries += [MediaEntry(**row._asdict()) for row in rows if row.state == "sidecar"]
        return entries

    def contents_of(self, media_ids: Collection[str], owner: str | None) -> list[tuple[str, str, str, str]]:
        """Return the stored contents that these files, or this owner, brought: owner, SHA-256, key, media id."""
        table = schema.original.c
        columns = sa.select(table.owner, table.sha256, table.original_key, table.media_id)
        found: set[tuple[str, str, str, str]] = set()
        with self._transaction() as connection:
            for chunk in chunks(sorted(media_ids)):
                found.update(tuple(row) for row in connection.execute(columns.where(table.media_id.in_(chunk))))
            if owner is not None:
                found.update(tuple(row) for row in connection.execute(columns.where(table.owner == owner)))
        return sorted(found)

    def versions_of(self, media_ids: Collection[str]) -> dict[str, set[str]]:
        """Return the SHA-256 of every version of these files that the ledger mentions, by media id."""
        found: dict[str, set[str]] = {}
        asked = [
            (schema.media.c.media_id, schema.media.c.sha256),
            (schema.original.c.media_id, schema.original.c.sha256),
            (schema.begun.c.media_id, schema.begun.c.sha256),
            (schema.outcome.c.media_id, schema.outcome.c.input_version),
        ]
        with self._transaction() as connection:
            for chunk in chunks(sorted(media_ids)):
                for media_id, sha256 in asked:
                    statement = sa.select(media_id, sha256).where(media_id.in_(chunk), sha256.is_not(None))
                    for row in connection.execute(statement.distinct()):
                        found.setdefault(row[0], set()).add(row[1])
        return found

    def versions_of_others(
        self, sha256s: Collection[str], media_ids: Collection[str]
    ) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """Return owner and SHA-256 of the contents that other files have now, and of those that they brought once."""
        found: list[set[tuple[str, str]]] = []
        with self._transaction() as connection:
            for table in (schema.media.c, schema.original.c):
                of_others: set[tuple[str, str]] = set()
                for chunk in chunks(sorted(sha256s)):
                    rows = connection.execute(
                        sa.select(table.owner, table.sha256, table.media_id).where(table.sha256.in_(chunk))
                    )
                    of_others |= {(row.owner, row.sha256) for row in rows if row.media_id not in media_ids}
                found.append(of_others)
        return found[0], found[1]

    def forget_files(
        self, media_ids: Collection[str], *, owner: str | None = None, cells: Iterable[Cell] = ()
    ) -> dict[str, int]:
        """Delete everything that is known of files, in one transaction; doing it again changes nothing.

        Args:
            media_ids: The files and sidecars.
            owner: An owner of whom nothing may be left.
            cells: Rounded positions of the files, in thousandths of a degree: answers of geocoders.

        Returns:
            Rows that were deleted, by table; tables without any are left out.
        """
        deleted: Counter[str] = Counter()
        ids = sorted(media_ids)
        with self._transaction() as connection:
            batches = self._batches_of(connection, ids)
            self._part_pairs(connection, ids)
            for name, rule in RULES.items():
                if rule == "of_files":
                    deleted[name] += _forget_in(connection, schema.metadata.tables[name], ids, owner)
            deleted["ma_sidecar_use"] += _delete_in(connection, schema.sidecar_use.c.sidecar_id, ids)
            for name, count in self._mend_batches(connection, batches).items():
                deleted[name] += count
            self._forget_positions(connection, set(ids), owner)
            deleted["ma_place"] += _forget_cells(connection, sorted(set(cells)))
        return {name: count for name, count in sorted(deleted.items()) if count}

    def tables_naming(self, needles: Needles, owner: str | None) -> list[str]:
        """Return the tables in which one of these texts is left, or a row of this owner; empty: none."""
        found = []
        with self._transaction() as connection:
            for name in sorted(RULES):
                table = schema.metadata.tables[name]
                texts = [column for column in table.c if isinstance(column.type, sa.String)]
                for row in connection.execute(sa.select(*texts)) if texts else ():
                    values = row._mapping
                    text = "\n".join(value for value in values.values() if value is not None)
                    is_owners = owner is not None and "owner" in values and values["owner"] == owner
                    if is_owners or needles.find(text.encode("utf-8", "surrogatepass")):
                        found.append(name)
                        break
            return [*found, *statistics_naming(connection, needles)]

    def knows_content(self, sha256: str) -> bool:
        """Return whether a file that is known has these bytes, or brought them once."""
        with self._transaction() as connection:
            columns = (schema.media.c.sha256, schema.original.c.sha256)
            return any(
                connection.scalar(sa.select(column).where(column == sha256).limit(1)) is not None for column in columns
            )

    def give_back_space(self) -> None:
        """Let no deleted row be left in the file of the database.

        Raises:
            LedgerError: The database is in use, or there is not enough room for a copy of it.
        """
        try:
            give_back_space(self._engine, sorted(RULES))
        except sa.exc.SQLAlchemyError as error:
            raise LedgerError(
                "The ledger could not be written anew, so that deleted rows may be left in its file "
                f"({str(error).splitlines()[0][:300]}). Stop the service, free some space, then erase again."
            ) from error

    def _batches_of(self, connection: sa.Connection, ids: Sequence[str]) -> set[str]:
        batch, found = schema.batch.c, set[str]()
        for chunk in chunks(ids):
            for table in (schema.media.c, schema.refresh.c):
                statement = sa.select(table.batch_id).where(table.media_id.in_(chunk), table.batch_id.is_not(None))
                found.update(connection.scalars(statement.distinct()))
            ends = sa.or_(batch.first_media_id.in_(chunk), batch.last_media_id.in_(chunk))
            found.update(connection.scalars(sa.select(batch.batch_id).where(ends)))
        return found

    def _mend_batches(self, connection: sa.Connection, batch_ids: Iterable[str]) -> dict[str, int]:
        """Delete batches without files; let others begin and end with files that they have."""
        media, refresh, table = schema.media.c, schema.refresh.c, schema.batch.c
        emptied = []
        for batch_id in sorted(batch_ids):
            waiting = sa.select(refresh.media_id).where(refresh.batch_id == batch_id)
            statement = sa.select(media.media_id, media.size_bytes).where(
                sa.or_(media.batch_id == batch_id, media.media_id.in_(waiting))
            )
            members = connection.execute(statement.order_by(media.first_seen_at, media.source_key)).all()
            if not members:
                emptied.append(batch_id)
                continue
            connection.execute(
                sa.update(schema.batch)
                .where(table.batch_id == batch_id)
                .values(
                    first_media_id=members[0].media_id,
                    last_media_id=members[-1].media_id,
                    file_count=len(members),
                    size_bytes=sum(row.size_bytes for row in members),
                    message=None,
                )
            )
        columns = (table.batch_id, death.c.batch_id, suspect.c.batch_id, departed_batch.c.batch_id)
        return {column.table.name: _delete_in(connection, column, emptied) for column in columns}

    def _part_pairs(self, connection: sa.Connection, ids: Sequence[str]) -> None:
        """Let no other half name an erased one. What its row says is mended with the tables, at once."""
        table = schema.pair
        for chunk in chunks(ids):
            for column in (table.c.partner_id, table.c.written_id):
                connection.execute(
                    sa.update(table).where(column.in_(chunk)).values(partner_id=None, written_id=None, is_written=True)
                )

    def _forget_positions(self, connection: sa.Connection, ids: set[str], owner: str | None) -> None:
        """Begin listings anew that stand at an erased upload."""
        table = schema.sweep
        for row in connection.execute(sa.select(table).where(table.c.position.is_not(None))).all():
            if keys.media_id(row.position) in ids or keys.owner_of(row.position) == owner:
                connection.execute(sa.update(table).where(table.c.inbox == row.inbox).values(position=None))


def _forget_in(connection: sa.Connection, table: sa.Table, ids: Sequence[str], owner: str | None) -> int:
    deleted = _delete_in(connection, table.c.media_id, ids)
    if owner is not None and "owner" in table.c:
        deleted += int(connection.execute(sa.delete(table).where(table.c.owner == owner)).rowcount)
    return deleted


def _delete_in(connection: sa.Connection, column: "sa.Column[str]", values: Sequence[str]) -> int:
    deleted = 0
    for chunk in chunks(values):
        deleted += int(connection.execute(sa.delete(column.table).where(column.in_(chunk))).rowcount)
    return deleted


def _forget_cells(connection: sa.Connection, cells: Sequence[Cell]) -> int:
    where = sa.tuple_(place.c.latitude_mdeg, place.c.longitude_mdeg)
    deleted = 0
    for start in range(0, len(cells), 100):
        deleted += int(connection.execute(sa.delete(place).where(where.in_(list(cells[start : start + 100])))).rowcount)
    return deleted
