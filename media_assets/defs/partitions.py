"""The partitions of all per-file assets: one dynamic partition per media file that has or awaits an accepted version.

See https://docs.dagster.io/guides/build/partitions-and-backfills. The grammar of the keys is in ``storage.keys``.
"""

from collections.abc import Sequence

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import DynamicPartitionsTable

from media_assets.pipeline.library import Library
from media_assets.storage.ledger_schema import Batch

PARTITIONS_NAME = "media"

media_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)

_KEYS_AT_ONCE = 500  # below SQLite's limit of bound variables (dagster issue 16260)


def partition_order(instance: dg.DagsterInstance) -> dict[str, int]:
    """Return the position of each existing partition; ranges follow it. Asks the database for all of them."""
    return {key: at for at, key in enumerate(instance.get_dynamic_partitions(PARTITIONS_NAME))}


def add_partitions(instance: dg.DagsterInstance, media_ids: Sequence[str]) -> None:
    """Add partitions behind those that exist, in this order; those that exist already stay where they are."""
    for start in range(0, len(media_ids), _KEYS_AT_ONCE):
        instance.add_dynamic_partitions(PARTITIONS_NAME, media_ids[start : start + _KEYS_AT_ONCE])


def remove_partitions(instance: dg.DagsterInstance, media_ids: Sequence[str]) -> None:
    """Remove partitions; their events stay. Nothing happens to those that do not exist.

    Dagster's own method removes one key with one transaction: minutes for 50,000 on a disk that is slow to confirm.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):  # another product's storage: its own way
        for media_id in media_ids:
            instance.delete_dynamic_partition(PARTITIONS_NAME, media_id)
        return
    table = DynamicPartitionsTable
    for start in range(0, len(media_ids), _KEYS_AT_ONCE):
        chunk = media_ids[start : start + _KEYS_AT_ONCE]
        with storage.index_connection() as connection:
            connection.execute(
                sa.delete(table).where(table.c.partitions_def_name == PARTITIONS_NAME, table.c.partition.in_(chunk))
            )


def close_batch(instance: dg.DagsterInstance, library: Library, batch: Batch) -> bool:
    """Close a batch of which nothing is pending any more, after its run has ended; return whether it was closed.

    Files that were refused, or left the inbox, and never had an accepted version lose their partitions.

    Nothing can be materialized for them, and Dagster 1.13 ends a backfill as failed when a partition that it targets
    has no materialization, though its run succeeded. A later upload under the same key brings the partition back. Not
    while the run is alive: its range may begin or end with one of them.
    """
    members = library.ledger.batch_members(batch.batch_id)
    if any(entry.state == "pending" for entry in members):
        return False
    for entry in members:
        if entry.state in ("rejected", "gone") and entry.original_key is None:
            instance.delete_dynamic_partition(PARTITIONS_NAME, entry.media_id)
    return library.ledger.finish_batch(batch.batch_id)
