"""SQL over the catalog with an in-memory DuckDB: one view per table, always over the current files.

Only reading for people and programs; what is current is decided by ``catalog``. DuckDB is imported here and nowhere
else in ``storage/``.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from media_assets.storage.catalog import current_files
from media_assets.storage.columns import Table
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ATTEMPTS = 3
_KEEP_STALE_S = 24 * 3600.0  # a long query of another process may still read a file that was replaced


def run_query(
    store: ObjectStore, sql: str, cache_dir: Path, parameters: Mapping[str, object] | None = None
) -> pa.Table:
    """Run SQL over views named like the tables (``files``, ``metadata`` and so on).

    A table without rows is an empty view with all its columns. Timestamps with a zone come back in UTC. DuckDB may
    read and write files of the user who asks, as its own command line does; it installs no extension by itself.

    Args:
        store: The library.
        sql: One or more statements of the user's own.
        cache_dir: Folder for copies of the current files of a store that is not local; created on demand. Files that
            were replaced over a day ago are removed.
        parameters: Values of ``$name`` in ``sql``, by name. What people or files say comes in here, never in ``sql``.

    Returns:
        The result of the last statement; no columns and no rows if it has none.

    Raises:
        CatalogError: The SQL fails (DuckDB's first line), or the catalog is damaged.
        StorageError: The store could not be read.
    """
    with CatalogQueries(store, cache_dir) as queries:
        return queries.run(sql, parameters)


class CatalogQueries:
    """Several queries over one connection, as :func:`run_query` runs one; use it as a context manager.

    They see the catalog of the first query, unless a compaction takes its files away.

    Args:
        store: The library.
        cache_dir: As in :func:`run_query`.
        tables: Names of the tables that are used; only those are copied from a store that is not local.
    """

    def __init__(self, store: ObjectStore, cache_dir: Path, tables: Iterable[str] = tuple(TABLES)) -> None:
        self._store = store
        self._cache_dir = cache_dir
        self._tables = tuple(tables)
        self._files: dict[str, list[str]] = {}
        self._connection: DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection; the next query opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Run SQL; arguments, result and errors are those of :func:`run_query`."""
        import duckdb

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._result(sql, parameters)
            except (duckdb.Error, ObjectMissing, UnicodeEncodeError) as error:
                self.close()
                # A compaction may have replaced a file since the manifest was read.
                if attempt < _ATTEMPTS and self._files != self._current():
                    continue
                if isinstance(error, ObjectMissing):
                    message = f"{error.key} is gone. Materialize the asset `catalog` to rebuild it."
                    raise CatalogError(message) from error
                reason = str(error).strip().partition("\n")[0].rstrip(".")
                raise CatalogError(f"{reason}. Correct the query; the tables are {', '.join(TABLES)}.") from None
        raise AssertionError("the last attempt returns or raises")

    def _result(self, sql: str, parameters: Mapping[str, object] | None) -> pa.Table:
        result = self._opened().sql(sql, params=parameters)
        rows: pa.Table = pa.table({}) if result is None else result.to_arrow_table()
        return rows

    def _current(self) -> dict[str, list[str]]:
        return {name: current_files(self._store, name) for name in self._tables}

    def _opened(self) -> "DuckDBPyConnection":
        import duckdb

        if self._connection is None:
            self._files = self._current()
            connection = duckdb.connect(":memory:")
            try:
                _prepare(connection, self._store, self._files, self._cache_dir)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _prepare(
    connection: "DuckDBPyConnection", store: ObjectStore, files: dict[str, list[str]], cache_dir: Path
) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET python_enable_replacements = false")  # a name in SQL is a table, never a Python variable
    connection.execute("CREATE SCHEMA declared")
    local = _local_files(store, [key for names in files.values() for key in names], cache_dir)
    for name, keys in files.items():
        _create_view(connection, TABLES[name], [local[key] for key in keys])


def _create_view(connection: "DuckDBPyConnection", table: Table, paths: list[Path]) -> None:
    # The empty table gives the view its columns when there are no files, or only files of an older version.
    connection.register("arrow_schema", table.schema.empty_table())
    connection.execute(f"CREATE TABLE declared.{table.name} AS FROM arrow_schema")
    connection.unregister("arrow_schema")
    select = f"FROM declared.{table.name}"
    if paths:
        names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
        select += f" UNION ALL BY NAME FROM read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
    connection.execute(f"CREATE VIEW {table.name} AS {select}")


def _local_files(store: ObjectStore, keys: list[str], cache_dir: Path) -> dict[str, Path]:
    """Path of a file for each key: the store's own, or a copy in the cache (current files never change)."""
    own = {key: path for key in keys if (path := store.local_path(key)) is not None}
    if len(own) == len(keys):
        for key, path in own.items():
            if not path.is_file():
                raise ObjectMissing(f"{key} does not exist. Materialize the asset `catalog`.", key)
        return own
    folder = cache_dir / hashlib.sha256(store.url.encode()).hexdigest()[:16]
    copies = {key: folder / key for key in keys}
    try:
        for key, path in copies.items():
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
                store.get_to_file(key, unfinished)
                unfinished.replace(path)
        _forget(folder, set(copies.values()))
    except OSError as error:
        raise CatalogError(
            f"The cache {cache_dir} cannot be used ({error.strerror}). Free it or name another."
        ) from error
    return copies


def _forget(folder: Path, current: set[Path]) -> None:
    for path in folder.rglob("*.parquet*"):
        with suppress(FileNotFoundError):  # another process forgets too
            if path in current:
                os.utime(path)  # so that its age counts from when it was last current
            elif path.stat().st_mtime < time.time() - _KEEP_STALE_S:
                path.unlink()
