"""Partition keys that leave Dagster when a month is archived, and come back when it is reopened.

Which months may be archived is decided in ``pipeline.archive``. Here are the order of the steps, so that a crash
between any two of them is completed by the same command, and what Dagster is doing meanwhile.
"""

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable

from media_assets.defs.orphans import RUNS_IN_PROGRESS
from media_assets.defs.partitions import PARTITIONS_NAME, add_partitions, partition_order, remove_partitions
from media_assets.defs.tags import covered_partitions
from media_assets.pipeline.assets import PER_FILE_ASSETS
from media_assets.pipeline.library import Library
from media_assets.pipeline.partition_keys import KeyComparison, compare_keys

_IN_WORK = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
_AT_ONCE = 400  # below SQLite's limit of bound variables
_EVENTS = (
    dg.DagsterEventType.ASSET_MATERIALIZATION.value,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
    dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value,
)
_ASSET_KEYS = tuple(dg.AssetKey(asset).to_string() for asset in PER_FILE_ASSETS)


class ArchiveBusyError(Exception):
    """A run or a backfill works on partitions that are to go."""


def open_instance() -> dg.DagsterInstance:
    """Open the instance that ``DAGSTER_HOME`` names, for commands; close it by leaving it as a context."""
    return dg.DagsterInstance.get()


def check_unused(instance: dg.DagsterInstance, media_ids: Collection[str]) -> None:
    """Make sure that no run and no backfill needs these partitions.

    A run that has not started yet could not start without the ends of its range, and a backfill asks for its partitions
    until it ends.

    Raises:
        ArchiveBusyError: One of them may need them.
    """
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=_IN_WORK), limit=1)
    if backfills:
        raise ArchiveBusyError(f"Backfill {backfills[0].backfill_id} goes on. Wait for its end, or cancel it.")
    order: Mapping[str, int] | None = None
    for record in instance.get_run_records(dg.RunsFilter(statuses=RUNS_IN_PROGRESS)):
        run = record.dagster_run
        ends = covered_partitions(run.tags)
        if ends is None:
            continue
        if order is None:
            order = partition_order(instance)
        first, last = (order.get(end) for end in ends)
        if first is None or last is None:
            continue  # it cannot start, whatever is archived
        if any(first <= order.get(one, -1) <= last for one in media_ids):
            raise ArchiveBusyError(f"Run {run.run_id} works on some of these files. Wait for its end.")


def archive_month(instance: dg.DagsterInstance, library: Library, month: str, *, forget_events: bool = False) -> int:
    """Archive a month, or complete what was begun before; return how many keys have left Dagster.

    The files are marked first, so that no sensor asks for them any more. A mark without a removed key is harmless, and
    this call completes it; a removed key without a mark would be missing.

    Raises:
        ArchiveBusyError: A run or a backfill may need the partitions; nothing was changed.
        StorageError: The ledger cannot be read or written.
    """
    before = set(library.ledger.archived_files(month))
    library.ledger.archive_month(month)
    media_ids = library.ledger.archived_files(month)
    keys = set(instance.get_dynamic_partitions(PARTITIONS_NAME))
    present = [one for one in media_ids if one in keys]
    try:
        check_unused(instance, present)
    except ArchiveBusyError:
        library.ledger.reopen_files([one for one in media_ids if one not in before])
        raise
    remove_partitions(instance, present)
    if forget_events:
        wipe_events(instance, media_ids)
    return len(present)


def reopen_files(instance: dg.DagsterInstance, library: Library, media_ids: Sequence[str]) -> int:
    """Bring the keys of archived files back, behind the others, in this order; return how many.

    The keys come first: a crash leaves keys that the ledger still calls archived, and this call completes it.
    """
    add_partitions(instance, media_ids)
    library.ledger.reopen_files(media_ids)
    return len(media_ids)


def compare_with_ledger(instance: dg.DagsterInstance, library: Library) -> KeyComparison:
    """Compare Dagster's partition keys with the ledger."""
    present = instance.get_dynamic_partitions(PARTITIONS_NAME)
    return compare_keys(present, library.ledger.partition_facts())


def mend_keys(instance: dg.DagsterInstance, found: KeyComparison) -> None:
    """Remove the keys that are to go, add those that are missing.

    Raises:
        ArchiveBusyError: A run or a backfill may need the partitions; nothing was changed.
    """
    check_unused(instance, found.stale)
    remove_partitions(instance, found.stale)
    add_partitions(instance, found.missing)


def wipe_events(instance: dg.DagsterInstance, media_ids: Sequence[str]) -> int:
    """Delete all events of the assets of these partitions; return how many.

    Dagster 1.13 cannot: ``DagsterInstance.wipe_asset_partitions`` is not implemented for its open-source storages.

    Raises:
        TypeError: The event log is no SQL database.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"The event log is a {type(storage).__name__}, which is no SQL database. Wipe it by its means.")
    table, tags = SqlEventLogStorageTable, AssetEventTagsTable
    deleted = 0
    runs: defaultdict[str, set[str]] = defaultdict(set)
    for start in range(0, len(media_ids), _AT_ONCE):
        chunk = media_ids[start : start + _AT_ONCE]
        found = sa.select(table.c.id, table.c.run_id, table.c.partition).where(
            # In the order of the index of events by asset and partition.
            table.c.asset_key.in_(_ASSET_KEYS),
            table.c.dagster_event_type.in_(_EVENTS),
            table.c.partition.in_(chunk),
        )
        with storage.index_connection() as connection:
            rows = connection.execute(found).all()
            for at in range(0, len(rows), _AT_ONCE):
                ids = [row.id for row in rows[at : at + _AT_ONCE]]
                connection.execute(sa.delete(tags).where(tags.c.event_id.in_(ids)))
                connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
        deleted += len(rows)
        for row in rows:
            runs[row.run_id].add(row.partition)
    if isinstance(storage, SqliteEventLogStorage):
        for run_id, of_run in runs.items():
            _wipe_log(Path(storage.path_for_shard(run_id)), sorted(of_run))
    return deleted


def _wipe_log(path: Path, media_ids: Sequence[str]) -> None:
    """Delete the events from the log of one run, which SQLite has in a file of its own, and give the space back."""
    if not path.is_file():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        deleted = 0
        for start in range(0, len(media_ids), _AT_ONCE):
            chunk = media_ids[start : start + _AT_ONCE]
            marks, kinds = ",".join("?" for _ in chunk), ",".join("?" for _ in _EVENTS)
            deleted += connection.execute(
                f"DELETE FROM event_logs WHERE partition IN ({marks}) AND dagster_event_type IN ({kinds})",  # noqa: S608
                (*chunk, *_EVENTS),
            ).rowcount
        if deleted:
            connection.execute("VACUUM")
