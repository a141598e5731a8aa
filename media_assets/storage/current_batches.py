"""The current rows of a table, one row group at a time: for columns that are too large to hold at once."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from media_assets.storage.catalog import current_files
from media_assets.storage.errors import CatalogError
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import table_named
from media_assets.storage.tables import conform


def current_batches(store: ObjectStore, table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the current rows in pieces of a row group, in the order of ``catalog.read_current``.

    Args:
        store: The library.
        table: Name of the table.
        columns: Names in the wanted order.

    Raises:
        CatalogError: The table does not exist, the catalog is damaged, or a compaction has replaced a file meanwhile.
        StorageError: The store could not be read.
    """
    declared = table_named(table)
    schema = pa.schema([declared.schema.field(name) for name in columns])
    for key in current_files(store, table):
        path = store.local_path(key)
        try:
            with pq.ParquetFile(path if path is not None else pa.BufferReader(store.get_bytes(key))) as file:
                present = [name for name in columns if name in file.schema_arrow.names]
                for group in range(file.num_row_groups):
                    yield conform(file.read_row_group(group, columns=present), schema, key)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(
                f"{key} cannot be read ({error}). Materialize the asset `catalog` and try again."
            ) from error
