"""Append-only parts of the tables: writing, listing and reading them (DESIGN.md sections 7 and 8).

One part is one Parquet file, put in one atomic step and never changed. Which rows are current is the business of
``catalog``, what a row looks like that of ``schemas``.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from media_assets.storage import keys
from media_assets.storage.columns import Table
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import rows_to_table, table_named

REMOVED_SCHEMA = pa.schema(
    (
        pa.field("media_id", pa.string(), nullable=False),
        pa.field("computed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("asset", pa.string()),
    )
)
"""Schema of a part of tombstones: all rows of ``media_id`` computed at ``computed_at`` or before are gone.

In a table that assets share (``Table.split``) only those of ``asset``, where it is not null.
"""


class PartWriter:
    """Writes the parts of one run. Safe to share between threads.

    The current rows of a media id are those of its latest computation: the greatest ``(computed_at, run_id, n)``, n
    being the number of the part. So all rows that one computation makes for one media id go into one ``append`` and
    share ``computed_at``, and a media id always goes to the month in which it was first seen.
    """

    def __init__(self, store: ObjectStore, run_id: str) -> None:
        """Write into ``store`` as the run ``run_id`` (1-64 letters, digits, ``_`` and ``-``)."""
        self._store = store
        self._run_id = run_id
        self._next: dict[tuple[str, str], int] = {}
        # Held while a part is put: n must grow in the order in which parts become visible.
        self._lock = threading.Lock()

    def append(self, table: str, month: str, rows: Sequence[Mapping[str, object]]) -> str:
        """Write rows as one new part.

        Args:
            table: Name of the table.
            month: Month in which the media files were first seen, ``yyyy-mm``.
            rows: At least one, see :func:`media_assets.storage.schemas.rows_to_table`. ``run_id`` is filled in.

        Returns:
            Key of the part.

        Raises:
            CatalogError: A row does not fit the schema, belongs to another run, or two rows share their key.
            StorageError: The store refused the part; nothing was written.
            ValueError: There are no rows, or ``month`` is none.
        """
        if not rows:
            raise ValueError("append needs at least one row")
        declared = table_named(table)
        data = rows_to_table(declared, [{"run_id": self._run_id, **row} for row in rows])
        for run_id in data["run_id"].unique().to_pylist():
            if run_id != self._run_id:
                raise CatalogError(f"A row of table {table} is of run {run_id}, not {self._run_id}. Leave run_id out.")
        if twice := duplicate_keys(declared, data):
            raise CatalogError(
                f"Two rows of table {table} have the key {twice[0]}. Write one row per {' and '.join(declared.key)}."
            )
        return self._put(table, month, data, removed=False)

    def remove(
        self, table: str, month: str, media_ids: Iterable[str], computed_at: datetime, *, asset: str | None = None
    ) -> str:
        """Write tombstones: rows of ``media_ids`` computed at ``computed_at`` or before are no longer current.

        Args:
            table: Name of the table.
            month: Month in which the media files were first seen, ``yyyy-mm``.
            media_ids: At least one; whether they have rows does not matter.
            computed_at: Aware time.
            asset: Only rows of this asset, in a table that assets share; ``None``: all rows.

        Returns:
            Key of the part.

        Raises:
            StorageError: The store refused the part; nothing was written.
            ValueError: There are no media ids, ``computed_at`` is naive, ``month`` is none, or assets do not share
                the table.
        """
        ids = sorted(set(media_ids))
        if not ids or computed_at.tzinfo is None:
            raise ValueError("remove needs at least one media id and an aware time")
        if asset is not None and table_named(table).split is None:
            raise ValueError(f"assets do not share table {table}")
        columns = {"media_id": ids, "computed_at": [computed_at] * len(ids), "asset": [asset] * len(ids)}
        data = pa.table(columns, schema=REMOVED_SCHEMA)
        return self._put(table, month, data, removed=True)

    def _put(self, table: str, month: str, data: pa.Table, *, removed: bool) -> str:
        content = _parquet_bytes(data)
        make_key = keys.removed_part_key if removed else keys.part_key
        with self._lock:
            n = self._next_number(table, month)
            while not self._store.put_bytes(make_key(table, month, self._run_id, n), content, only_if_absent=True):
                n += 1  # taken by another process of the same run, or by ourselves when only the answer was lost
            self._next[table, month] = n + 1
        return make_key(table, month, self._run_id, n)

    def _next_number(self, table: str, month: str) -> int:
        known = self._next.get((table, month))
        if known is not None:
            return known
        # A restarted run goes on after what it wrote before: of two results of one instant the later one counts.
        folder = keys.part_key(table, month, self._run_id, 0).rpartition("/")[0]
        parts = (keys.parse_part_key(info.key) for info in self._store.list(folder))
        return max((part.n + 1 for part in parts if part is not None and part.run_id == self._run_id), default=0)


def list_parts(store: ObjectStore, table: str) -> list[str]:
    """Keys of all parts of a table, tombstones included, sorted. Objects that are no parts are left out."""
    folder = keys.part_key(table, "1970-01", "any", 0).split("/month=")[0]
    return sorted(info.key for info in store.list(folder) if keys.parse_part_key(info.key) is not None)


def read_part(store: ObjectStore, key: str) -> pa.Table:
    """Read one part with the schema that the code has now; columns younger than the part are null.

    Args:
        store: The library.
        key: Key of a part of rows or of tombstones (then the schema is :data:`REMOVED_SCHEMA`).

    Raises:
        CatalogError: The part is missing, corrupt, or of a schema that this version does not know; it is named.
        StorageError: The store could not be read.
    """
    part = keys.parse_part_key(key)
    if part is None:
        raise CatalogError(f"{key} is not a part of a table. Pass a key below tables/.")
    schema = REMOVED_SCHEMA if part.removed else table_named(part.table).schema
    try:
        return conform(read_parquet(store, key), schema, key)
    except (ObjectMissing, pa.ArrowException, OSError) as error:
        raise CatalogError(
            f"{key} cannot be read ({_first_line(error)}). Restore it from a backup, or delete it and materialize the "
            f"partitions of run {part.run_id} again."
        ) from error


def read_parts(store: ObjectStore, table: str) -> Iterator[tuple[str, pa.Table]]:
    """Read every part of a table: key and content, in the order of keys; see :func:`read_part`."""
    for key in list_parts(store, table):
        yield key, read_part(store, key)


def replace_part(store: ObjectStore, key: str, data: pa.Table) -> None:
    """Put other rows in the place of those of a part, in one atomic step; without any rows the part is deleted.

    For what must not stay in any part: rows that somebody has a right to have deleted. Everything else is corrected by
    newer parts.

    Raises:
        StorageError: The store refused the part; the old one is still there.
    """
    if data.num_rows:
        store.put_bytes(key, _parquet_bytes(data))
    else:
        store.delete(key)


def read_parquet(store: ObjectStore, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet object as it is; columns that it does not have are left out.

    Raises:
        ObjectMissing: No such object.
        pyarrow.ArrowException: It is not a valid Parquet file.
    """
    path = store.local_path(key)
    # What cannot be opened is left to the store: it knows how to say why.
    direct = path is not None and os.access(path, os.R_OK)
    try:
        # Not read_table: that would take the folder month=... for a column.
        with pq.ParquetFile(path if path is not None and direct else pa.BufferReader(store.get_bytes(key))) as file:
            present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            return file.read(columns=present)
    except FileNotFoundError as error:
        raise ObjectMissing(f"{key} does not exist. Materialize the asset `catalog` and try again.", key) from error


def conform(data: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Give data of an older version the present schema: columns in order, missing ones null.

    Args:
        data: What was read.
        schema: What it shall be.
        name: Key of the object, for messages.

    Raises:
        CatalogError: A column is unknown, of another type, or null where it must not be.
    """
    if unknown := sorted(set(data.column_names) - set(schema.names)):
        raise CatalogError(f"{name} has a column {unknown[0]!r} that this version does not know. Upgrade media_assets.")
    columns: list[pa.ChunkedArray[Any]] = []
    for field in schema:
        column = data[field.name] if field.name in data.column_names else pa.nulls(data.num_rows, field.type)
        if column.type != field.type:
            raise CatalogError(
                f"{name} has column {field.name} as {column.type}, not {field.type}. Use the version of media_assets "
                "that wrote it, or delete it and materialize its partitions again."
            )
        if column.null_count and not field.nullable:
            raise CatalogError(
                f"{name} has no value in column {field.name}. Delete it and materialize its partitions again."
            )
        columns.append(pa.chunked_array([column]) if isinstance(column, pa.Array) else column)
    return pa.Table.from_arrays(columns, schema=schema)


def duplicate_keys(table: Table, data: pa.Table) -> list[tuple[object, ...]]:
    """Keys that more than one row has, sorted; each is a tuple in the order of ``table.key``."""
    counts = data.select(list(table.key)).group_by(list(table.key)).aggregate([([], "count_all")])
    many = counts.filter(pc.field("count_all") > pc.scalar(1))
    return sorted((tuple(row[name] for name in table.key) for row in many.to_pylist()), key=repr)


def _parquet_bytes(data: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(data, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
