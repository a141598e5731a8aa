"""The partitions of all per-file assets: one dynamic partition per media file that has or awaits an accepted version.

See https://docs.dagster.io/guides/build/partitions-and-backfills. The grammar of the keys is in ``storage.keys``.
"""

import dagster as dg

from media_assets.pipeline.library import Library
from media_assets.storage.ledger_schema import Batch

PARTITIONS_NAME = "media"

media_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)


def partition_order(instance: dg.DagsterInstance) -> dict[str, int]:
    """Return the position of each existing partition; ranges follow it. Asks the database for all of them."""
    return {key: at for at, key in enumerate(instance.get_dynamic_partitions(PARTITIONS_NAME))}


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
