"""The partitions of all per-file assets: one dynamic partition per media file that has or awaits an accepted version.

See https://docs.dagster.io/guides/build/partitions-and-backfills. The grammar of the keys is in ``storage.keys``.
"""

from collections.abc import Iterable

import dagster as dg

from media_assets.pipeline.library import Library
from media_assets.storage.ledger_schema import Batch

PARTITIONS_NAME = "media"

media_partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)


def drop_partitions(
    instance: dg.DagsterInstance, library: Library, batch: Batch | None, media_ids: Iterable[str] = ()
) -> int:
    """Take away the partitions of files that were refused, or left the inbox, and never had an accepted version.

    Nothing can be materialized for them, and Dagster 1.13 ends a backfill as failed when a partition that it targets
    has no materialization, though its run succeeded. A later upload under the same key brings the partition back.

    Args:
        instance: The Dagster instance.
        library: The library.
        batch: A batch whose files are looked at.
        media_ids: More files to look at.

    Returns:
        How many were taken away.
    """
    members = [entry.media_id for entry in library.ledger.batch_members(batch.batch_id)] if batch else []
    dropped = library.ledger.without_version({*members, *media_ids})
    for media_id in dropped:
        instance.delete_dynamic_partition(PARTITIONS_NAME, media_id)
    return len(dropped)
