"""Deletes the events of single assets about some partitions: what they show is not allowed any longer.

Dagster 1.13 cannot (``wipe_asset_partitions`` is not implemented for its open-source storages). The partitions stay,
and count as missing for these assets.
"""

from collections.abc import Collection, Iterator

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from sqlalchemy.engine import Connection

from media_assets.defs.erasing import event_log_of, shard_connection, shard_paths

_AT_ONCE = 400


def forget_asset_events(instance: dg.DagsterInstance, asset: str, media_ids: Collection[str]) -> int:
    """Delete everything that the event log says of an asset about some partitions; return how many events.

    Doing it again changes nothing.

    Args:
        instance: The instance; its event log must be an SQL database, as all of Dagster's own are.
        asset: Name of the asset.
        media_ids: Partition keys.

    Raises:
        TypeError: The event log is of another kind.
    """
    storage, key = event_log_of(instance), dg.AssetKey(asset)
    deleted = 0
    with storage.index_connection() as connection:
        for rows in _found(connection, key, media_ids):
            connection.execute(sa.delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(rows)))
            connection.execute(sa.delete(SqlEventLogStorageTable).where(SqlEventLogStorageTable.c.id.in_(rows)))
            deleted += len(rows)
        for chunk in _chunks(media_ids):
            checks = AssetCheckExecutionsTable.c
            connection.execute(
                sa.delete(AssetCheckExecutionsTable).where(
                    checks.asset_key == key.to_string(), checks.partition.in_(chunk)
                )
            )
        if deleted:
            # What Dagster keeps to be quick: it works the states out anew, and reads the newest event from the log.
            keys = AssetKeyTable
            connection.execute(
                sa.update(keys)
                .where(keys.c.asset_key == key.to_string())
                .values(cached_status_data=None, last_materialization=None)
            )
    for path in shard_paths(storage):
        with shard_connection(storage, path) as connection:
            for rows in _found(connection, key, media_ids):
                connection.execute(sa.delete(SqlEventLogStorageTable).where(SqlEventLogStorageTable.c.id.in_(rows)))
    return deleted


def count_asset_events(instance: dg.DagsterInstance, asset: str, media_ids: Collection[str]) -> int:
    """Return how many events of an asset about some partitions there are, in the index and in the logs of runs.

    Raises:
        TypeError: The event log is of another kind.
    """
    storage, key = event_log_of(instance), dg.AssetKey(asset)
    with storage.index_connection() as connection:
        found = sum(len(rows) for rows in _found(connection, key, media_ids))
    for path in shard_paths(storage):
        with shard_connection(storage, path) as connection:
            found += sum(len(rows) for rows in _found(connection, key, media_ids))
    return found


def _found(connection: Connection, key: dg.AssetKey, media_ids: Collection[str]) -> Iterator[list[int]]:
    table = SqlEventLogStorageTable.c
    for chunk in _chunks(media_ids):
        statement = sa.select(table.id).where(table.asset_key == key.to_string(), table.partition.in_(chunk))
        rows = [row.id for row in connection.execute(statement)]
        for start in range(0, len(rows), _AT_ONCE):
            yield rows[start : start + _AT_ONCE]


def _chunks(media_ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(media_ids)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
