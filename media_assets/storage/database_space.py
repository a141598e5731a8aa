"""Giving the space of deleted rows back: without it they stay readable in the files of a database.

SQLite leaves deleted rows in free pages and in its write-ahead log, Postgres in dead rows of its tables.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

_PATIENCE_S = 30.0


def give_back_space(engine: sa.Engine, tables: Iterable[str]) -> None:
    """Write a database anew without what was deleted. This process must have no transaction open.

    Args:
        engine: The database.
        tables: Names of tables, for Postgres, which is asked for these alone; those that do not exist are left out.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: It is in use, or there is not enough room for a copy.
    """
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            vacuum_file(Path(engine.url.database))
        return
    present = set(sa.inspect(engine).get_table_names())
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in tables:
            if name in present:
                connection.exec_driver_sql(f"VACUUM (FULL) {quote(name)}")


def vacuum_file(path: Path) -> None:
    """Write an SQLite database anew, and cut its write-ahead log off; nothing happens where there is no file.

    Raises:
        sqlalchemy.exc.OperationalError: It is in use, or there is not enough room for a copy.
    """
    if not path.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        raise sa.exc.OperationalError("VACUUM", None, error) from error
    if busy:
        problem = RuntimeError(f"{path.name} is in use by another process")
        raise sa.exc.OperationalError("PRAGMA wal_checkpoint(TRUNCATE)", None, problem)
