"""Giving the space of deleted rows back: without it they stay readable in the files of a database.

SQLite leaves deleted rows in free pages and in its write-ahead log, Postgres in dead rows of its tables, and in the
statistics of its planner: the most common values and the bounds of histograms are real values.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import sqlalchemy as sa

from media_assets.storage.traces import Needles

_PATIENCE_S = 30.0

_STATISTICS = sa.text(
    "SELECT tablename, attname, most_common_vals::text AS common, histogram_bounds::text AS bounds, "
    "most_common_elems::text AS elements FROM pg_stats WHERE schemaname = ANY (current_schemas(false))"
)
_TYPES = sa.text(
    "SELECT s.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_stats s "
    "JOIN pg_attribute a ON a.attname = s.attname AND a.attrelid = "
    "(quote_ident(s.schemaname) || '.' || quote_ident(s.tablename))::regclass "
    "WHERE s.tablename = :name AND s.schemaname = ANY (current_schemas(false))"
)


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
        for name in sorted(present.intersection(tables)):
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {quote(name)}")
            _forget_statistics(connection, name, quote)
        # The owner of the database may do this; for others it is a warning, and left to autovacuum.
        connection.exec_driver_sql("VACUUM (FULL) pg_catalog.pg_statistic")


def statistics_naming(connection: sa.Connection, needles: Needles) -> list[str]:
    """Return the columns, as ``table.column``, of which the statistics of Postgres still hold one of these texts."""
    if connection.dialect.name != "postgresql":
        return []
    found = []
    for row in connection.execute(_STATISTICS):
        text = "\n".join(value for value in (row.common, row.bounds, row.elements) if value is not None)
        if needles.find(text.encode("utf-8", "surrogatepass")):
            found.append(f"{row.tablename}.{row.attname}")
    return sorted(found)


def _forget_statistics(connection: sa.Connection, name: str, quote: Callable[[str], str]) -> None:
    """Drop the statistics of a table that is empty now: ``ANALYZE`` leaves those as they were."""
    if connection.exec_driver_sql(f"SELECT EXISTS (SELECT 1 FROM {quote(name)})").scalar():  # noqa: S608 - quoted
        return
    for row in connection.execute(_TYPES, {"name": name}).all():
        # Of the same type: nothing is written anew, and the statistics of the column go.
        connection.exec_driver_sql(f"ALTER TABLE {quote(name)} ALTER COLUMN {quote(row.attname)} TYPE {row.type}")


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
