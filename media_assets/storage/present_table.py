"""The current rows of a whole table, whether the catalog has absorbed them yet or not.

For decisions that must not wait for a compaction; a few columns at a time. Rows of single files are read by
``present``; analysts and SQL read the catalog (``query``).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from media_assets.storage import keys
from media_assets.storage.catalog import current_months, month_sources
from media_assets.storage.columns import Table
from media_assets.storage.current_rows import current_rows
from media_assets.storage.errors import CatalogError, ObjectMissing
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import table_named
from media_assets.storage.tables import REMOVED_SCHEMA, conform, list_parts, read_parquet

_ATTEMPTS = 5
_NEEDED = ("media_id", "run_id", "computed_at")


def read_present(store: ObjectStore, table: str, columns: Sequence[str]) -> pa.Table:
    """Read columns of the current rows of a table, tombstones counted.

    Args:
        store: The library.
        table: Name of the table.
        columns: Names in the wanted order.

    Returns:
        The rows by month, then in the order of the table's key; no rows if the table has none.

    Raises:
        CatalogError: The table does not exist, or the catalog or a part is not usable.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    for _ in range(_ATTEMPTS):
        try:
            months = {part.month for key in list_parts(store, table) if (part := keys.parse_part_key(key)) is not None}
            found = [
                _month(store, declared, month, columns) for month in sorted({*months, *current_months(store, table)})
            ]
        except ObjectMissing:
            continue  # a compaction has replaced the file since the manifest was read
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(
                f"Table {table} cannot be read ({error}). Materialize the asset `catalog` to rebuild it."
            ) from error
        return pa.concat_tables([declared.schema.empty_table().select(list(columns)), *found])
    raise CatalogError(f"A current file of table {table} is gone. Materialize the asset `catalog` to rebuild it.")


def present_folders(table: str) -> tuple[str, str]:
    """Return the folders of everything that :func:`read_present` reads: parts, and current files.

    Raises:
        ValueError: ``table`` is not the name of a table.
    """
    parts = keys.part_key(table, "1970-01", "any", 0).split("/month=")[0]
    return parts, keys.catalog_manifest_key(table).rpartition("/")[0]


def _month(store: ObjectStore, table: Table, month: str, columns: Sequence[str]) -> pa.Table:
    split = [table.split[0]] if table.split is not None else []
    names = list(dict.fromkeys([*_NEEDED, *table.key, *split, *columns]))
    schema = pa.schema([table.schema.field(name) for name in names], metadata={"table": table.name})
    pieces, numbers, removed = [schema.empty_table()], [np.empty(0, np.int64)], [REMOVED_SCHEMA.empty_table()]
    for key in month_sources(store, table.name, month):
        part = keys.parse_part_key(key)
        if part is not None and part.removed:
            removed.append(conform(read_parquet(store, key), REMOVED_SCHEMA, key))
            continue
        data = conform(read_parquet(store, key, names), schema, key)
        pieces.append(data)
        numbers.append(np.full(data.num_rows, part.n if part is not None else -1, np.int64))
    rows = pa.concat_tables(pieces)
    order = current_rows(table, rows, np.concatenate(numbers), pa.concat_tables(removed))
    return rows.take(order).select(list(columns))
