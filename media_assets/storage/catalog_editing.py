"""Other rows in current files of the catalog, where rows must not stay in any file.

Deleting what somebody has a right to have deleted; everything else is corrected by newer parts and ``catalog``.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from media_assets.storage import keys
from media_assets.storage.catalog import parts_by_month, read_base, sweep, write_rows
from media_assets.storage.catalog_manifest import (
    Manifest,
    Month,
    columns_version,
    manifest_for_readers,
    save_manifest,
    table_folder,
)
from media_assets.storage.objects import ObjectStore
from media_assets.storage.schemas import table_named


def edit_current(store: ObjectStore, table: str, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Write the current files of a table anew with other rows, and delete the old ones.

    The caller holds the lease of the catalog, and has edited the parts first, so that no compaction brings the rows
    back. A file that is lost is left to the next compaction.

    Args:
        store: The library.
        table: Name of the table.
        edit: Returns the rows that shall be there; the very table that it was given leaves the file alone.

    Raises:
        CatalogError: The catalog is damaged.
        StorageError: The store could not be read or written.
    """
    declared = table_named(table)
    listed = {info.key for info in store.list(table_folder(declared))}
    before = manifest_for_readers(store, declared)
    now = datetime.now(UTC)
    version = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    names = parts_by_month(store, declared)
    edited: dict[str, Month] = {}
    for month, old in before.months.items():
        data = read_base(store, declared, old, ())
        wanted = data if data is None else edit(data)
        if wanted is None or wanted is data:
            continue
        key = keys.catalog_key(table, month, version)
        size_bytes, sha256 = write_rows(store, key, wanted, np.arange(wanted.num_rows))
        # The name of a part that is gone may be given to another one.
        parts = sorted(set(old.parts) & set(names.get(month, ())))
        edited[month] = Month(
            file=key,
            rows=wanted.num_rows,
            size_bytes=size_bytes,
            sha256=sha256,
            columns=columns_version(declared),
            parts=parts,
        )
    after = before
    if edited:
        after = Manifest(version=version, updated_at=now, months={**before.months, **edited})
        save_manifest(store, declared, after)
    sweep(store, declared, listed, after)
