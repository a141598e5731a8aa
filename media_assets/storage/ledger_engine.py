"""The database connection of the ledger: dialects, transactions, schema version.

No statements about uploads or batches here; those are in ``ledger.py``.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from media_assets.storage import ledger_schema as schema
from media_assets.storage.errors import LedgerError
from media_assets.storage.sidecar_names import is_sidecar, media_keys

_UPGRADED_AT_ONCE = 5000
_CHUNK = 400  # rows per statement: far below SQLite's limit of bound variables
_FULL_BELOW_BYTES = 2**20  # SQLite needs some room for a journal or a write-ahead log before it can write a row


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield ``items`` in pieces that fit one statement."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def full_disk_message(said: str, folder: Path) -> str | None:
    """What SQLite's error means when the disk is full; ``None`` when something else is wrong.

    Args:
        said: Text of the error.
        folder: Folder of the database file.
    """
    # A full disk is met in several places: the shared memory of a write-ahead log cannot grow ("I/O error"), or a
    # journal cannot be made ("unable to open").
    full = "disk is full" in said or os.strerror(errno.ENOSPC) in said
    if not full and folder.is_dir() and ("disk I/O error" in said or "unable to open database file" in said):
        full = shutil.disk_usage(folder).free < _FULL_BELOW_BYTES
    if full:
        return f"There is no space left in {folder}. Free space there, then run again."
    return None


def _configure_sqlite(engine: sa.Engine) -> None:
    """Let several processes share the file: WAL, patience, and write locks taken at the start of a transaction."""

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "busy_timeout=30000", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    # A transaction that reads first and writes later fails at once when another one wrote in between.
    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class LedgerEngine:
    """An open ledger database.

    Args:
        url: SQLAlchemy URL. ``sqlite:////path/ledger.db`` (parents are created) or ``postgresql+psycopg2://...``.

    Raises:
        LedgerError: The database cannot be opened or was written by a newer version.
    """

    def __init__(self, url: str) -> None:
        self._folder: Path | None = None  # of an SQLite file
        try:
            parsed = sa.make_url(url)
            if parsed.drivername == "postgresql":
                raise LedgerError(
                    "A postgresql:// URL selects a driver that Dagster does not use. "
                    "Write postgresql+psycopg2:// instead."
                )
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                self._folder = Path(parsed.database).absolute().parent
                self._folder.mkdir(parents=True, exist_ok=True)
            self._engine = sa.create_engine(parsed)
            if parsed.get_backend_name() == "sqlite":
                _configure_sqlite(self._engine)
            schema.metadata.create_all(self._engine)
            self._upgrade()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise LedgerError(
                self._full_disk(error)
                or f"The ledger cannot be opened ({_first_line(error)}). "
                f"Check the path and the rights of the state folder{f' {self._folder}' if self._folder else ''}."
            ) from error

    def _full_disk(self, error: BaseException) -> str | None:
        return full_disk_message(str(error), self._folder) if self._folder is not None else None

    def _upgrade(self) -> None:
        """Bring a ledger of an older version up to this one, in one transaction; its missing tables are there now."""
        with self._engine.begin() as connection:
            version = connection.scalar(sa.select(schema.ledger_info.c.schema_version))
            if version is None:
                connection.execute(schema.ledger_info.insert().values(schema_version=schema.SCHEMA_VERSION))
                return
            if version > schema.SCHEMA_VERSION:
                raise LedgerError(
                    f"The ledger has schema version {version}, this program knows {schema.SCHEMA_VERSION}. "
                    "Upgrade media_assets."
                )
            if version < 2:
                self._add_media_keys(connection)
            if version < schema.SCHEMA_VERSION:
                connection.execute(sa.update(schema.ledger_info).values(schema_version=schema.SCHEMA_VERSION))

    def _add_media_keys(self, connection: sa.Connection) -> None:
        """Version 2: let sidecars find the uploads that are known. Sidecars that were refused are met by a listing."""
        columns = (schema.media.c.media_id, schema.media.c.source_key, schema.media.c.original_key)
        last = ""
        while True:
            statement = sa.select(*columns).where(columns[0] > last).order_by(columns[0]).limit(_UPGRADED_AT_ONCE)
            rows = connection.execute(statement).all()
            if not rows:
                return
            last = rows[-1].media_id
            self._insert_media_keys(
                connection,
                [
                    (row.media_id, row.source_key)
                    for row in rows
                    if row.original_key is not None or not is_sidecar(row.source_key)
                ],
            )

    def _insert_media_keys(self, connection: sa.Connection, uploads: Sequence[tuple[str, str]]) -> None:
        """Record under which names sidecars find uploads, given as ``(media_id, source_key)``."""
        rows = [{"key": key, "media_id": media_id} for media_id, name in uploads for key in sorted(media_keys(name))]
        if rows:
            # Many executions of one statement: an INSERT of many rows would be compiled anew each time, which takes
            # three times as long.
            connection.execute(self._insert(schema.media_key).on_conflict_do_nothing(), rows)

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise LedgerError(
                self._full_disk(error)
                or f"The ledger could not be read or written ({_first_line(error)}). "
                "Check free space and the database, then run again."
            ) from error

    def _insert(self, table: sa.Table) -> Any:
        return postgresql_insert(table) if self._engine.dialect.name == "postgresql" else sqlite_insert(table)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
