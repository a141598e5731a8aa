"""The current rows of a few files, whether the catalog has absorbed them yet or not.

For the pipeline, which corrects single rows between two compactions; analysts and SQL read the catalog (``query``).
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from media_assets.storage import keys
from media_assets.storage.catalog import month_sources
from media_assets.storage.columns import Table
from media_assets.storage.current_rows import current_rows
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import table_named
from media_assets.storage.tables import REMOVED_SCHEMA, conform

_ATTEMPTS = 5


def present_rows(store: ObjectStore, table: str, month: str, media_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Read the current rows of files of a table that has one row for each, and no tombstones.

    Args:
        store: The library.
        table: Name of the table.
        month: Month in which the files were first seen, ``yyyy-mm``.
        media_ids: The files.

    Returns:
        Column name to value by media id; files without a row are left out.

    Raises:
        CatalogError: The catalog or a part is not usable.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    for _ in range(_ATTEMPTS):
        try:
            return _read(store, declared, month_sources(store, table, month), media_ids)
        except ObjectMissing:
            continue  # a compaction has replaced the file since the manifest was read
    raise CatalogError(f"A current file of table {table} is gone. Materialize the asset `catalog` to rebuild it.")


def present_groups(
    store: ObjectStore, table: str, month: str, media_ids: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """Read the current rows of files of any table, tombstones counted.

    Args:
        store: The library.
        table: Name of the table.
        month: Month in which the files were first seen, ``yyyy-mm``.
        media_ids: The files.

    Returns:
        Rows by media id, in the order of the table's key; files without rows are left out.

    Raises:
        CatalogError: The catalog or a part is not usable.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    for _ in range(_ATTEMPTS):
        try:
            return _read_groups(store, declared, month, media_ids)
        except ObjectMissing:
            continue  # a compaction has replaced the file since the manifest was read
    raise CatalogError(f"A current file of table {table} is gone. Materialize the asset `catalog` to rebuild it.")


def _read_groups(
    store: ObjectStore, table: Table, month: str, media_ids: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    pieces, numbers = [table.schema.empty_table()], [np.empty(0, np.int64)]
    removed = [REMOVED_SCHEMA.empty_table()]
    for key in month_sources(store, table.name, month):
        part = keys.parse_part_key(key)
        for data in _matching(store, key, media_ids):
            if part is not None and part.removed:
                removed.append(conform(data, REMOVED_SCHEMA, key))
                continue
            pieces.append(conform(data, table.schema, key))
            numbers.append(np.full(data.num_rows, part.n if part is not None else -1, np.int64))
    found = pa.concat_tables(pieces)
    order = current_rows(table, found, np.concatenate(numbers), pa.concat_tables(removed))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.take(order).to_pylist():
        rows.setdefault(row["media_id"], []).append(row)
    return rows


def _read(
    store: ObjectStore, table: Table, sources: list[str], media_ids: Collection[str]
) -> dict[str, dict[str, Any]]:
    latest: dict[str, tuple[tuple[object, ...], dict[str, Any]]] = {}
    for key in sources:
        part = keys.parse_part_key(key)
        if part is not None and part.removed:
            continue
        for data in _matching(store, key, media_ids):
            for row in conform(data, table.schema, key).to_pylist():
                # The order of ``tables.PartWriter``; what the catalog has absorbed loses against equal parts.
                age = (row["computed_at"], row["run_id"], part.n if part is not None else -1)
                if row["media_id"] not in latest or latest[row["media_id"]][0] < age:
                    latest[row["media_id"]] = (age, row)
    return {media_id: row for media_id, (_, row) in latest.items()}


def _matching(store: ObjectStore, key: str, media_ids: Collection[str]) -> Iterator[pa.Table]:
    """Yield the rows of the files, one row group at a time: a month may be larger than memory."""
    wanted = pa.array(sorted(media_ids), pa.string())
    path = store.local_path(key)
    try:
        with pq.ParquetFile(path if path is not None else pa.BufferReader(store.get_bytes(key))) as file:
            for number in range(file.num_row_groups):
                found: Any = pc.is_in(file.read_row_group(number, columns=["media_id"])["media_id"], value_set=wanted)
                if pc.any(found).as_py():
                    yield file.read_row_group(number).filter(found)
    except FileNotFoundError as error:
        raise ObjectMissing(f"{key} does not exist. Materialize the asset `catalog` and try again.", key) from error
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(f"{key} cannot be read ({error}). Restore it from a backup.") from error
