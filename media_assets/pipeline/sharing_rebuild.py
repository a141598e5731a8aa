"""The record of stored copies, made again from the tables after the ledger was lost.

What no row names is deleted: nobody would ever take it back. That files are shared already is not known then, so that
their copies are made once more and take the places of the old ones.
"""

from datetime import UTC, datetime

from media_assets.pipeline.assets import SHAREABLE, TABLE_OF
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import new_holder
from media_assets.pipeline.sharing_withdrawal import withdraw_unknown
from media_assets.storage import catalog
from media_assets.storage.ledger_copies import SharedCopy

_COLUMNS = ("media_id", "owner", "input_version", "path")


def restore_copies(library: Library) -> int:
    """Put every copy that the catalog names on record, and delete the others; return how many are on record.

    Args:
        library: The library; its catalog must be up to date, and nothing else may work on it.

    Raises:
        StorageError: Catalog, store or ledger refuse.
    """
    table, now, holder = TABLE_OF[SHAREABLE], datetime.now(UTC), new_holder()
    copies = [
        SharedCopy(
            path=row["path"],
            media_id=row["media_id"],
            owner=row["owner"],
            month=month,
            input_version=row["input_version"],
            state="published",
            holder=holder,
            at=now,
        )
        for month in catalog.current_months(library.store, table)
        for row in catalog.read_month(library.store, table, month, _COLUMNS).to_pylist()
        if row["path"] is not None
    ]
    library.ledger.record_copies(copies)
    withdraw_unknown(library)
    return len(copies)
