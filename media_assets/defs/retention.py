"""What Dagster keeps of old runs: their assets' events and their outcome, not each line of their logs.

Dagster itself deletes old ticks only; its event log grows without bound (dagster issues 4100 and 33785), and deleting a
run deletes the materializations of its partitions with it, which would turn them grey in the UI. So events are deleted
by kind. The state of every partition stays what it was.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

_RUNS_AT_ONCE = 100

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION.value
# Materializations, observations and checks; and what a run came to. `%` stands for the rest of a name.
_KEPT = ("ASSET%", "PIPELINE%", "RUN%", "STEP_FAILURE")
_TYPE = SqlEventLogStorageTable.c.dagster_event_type
# Lines of code have no type.
_IS_LINE = sa.or_(_TYPE.is_(None), sa.not_(sa.or_(*(_TYPE.like(kind) for kind in _KEPT))))


@dataclass(frozen=True)
class Pruned:
    """What was deleted.

    Attributes:
        runs: Runs that were looked at.
        events: Rows of the event log that were deleted.
        last_updated_at: When the newest of these runs ended; where the next call goes on. ``None``: there was none.
        is_complete: Whether no older run is left to look at.
    """

    runs: int
    events: int
    last_updated_at: datetime | None
    is_complete: bool


def prune_events(
    instance: dg.DagsterInstance, before: datetime, after: datetime | None = None, limit: int = _RUNS_AT_ONCE
) -> Pruned:
    """Delete what is not needed any more of the events of runs that ended before a time.

    Kept are all events of assets and of checks, except plans that were carried out by the same run, and the start and
    end of the run. Doing it again changes nothing.

    Args:
        instance: The instance; its event log must be a SQL database, as all of Dagster's own are.
        before: Runs that ended before this time.
        after: Only runs that ended after it: where an earlier call stopped.
        limit: Runs at most.

    Raises:
        TypeError: The event log is of another kind.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(
            f"The event log is a {type(storage).__name__}, which is no SQL database. Prune it by its own means."
        )
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, updated_before=before, updated_after=after),
        limit=limit,
        order_by="update_timestamp",
        ascending=True,
    )
    run_ids = [record.dagster_run.run_id for record in records]
    deleted = _prune_shared(storage, run_ids)
    if isinstance(storage, SqliteEventLogStorage):
        deleted += sum(_prune_shard(storage, run_id) for run_id in run_ids)
    return Pruned(
        runs=len(run_ids),
        events=deleted,
        last_updated_at=records[-1].update_timestamp if records else None,
        is_complete=len(run_ids) < limit,
    )


def _prune_shared(storage: SqlEventLogStorage, run_ids: Sequence[str]) -> int:
    """Prune the one log of all runs; on SQLite, where each run has a log of its own, the copies of asset events."""
    if not run_ids:
        return 0
    table = SqlEventLogStorageTable
    made = table.alias("made")
    carried_out = sa.exists().where(
        made.c.run_id == table.c.run_id,
        made.c.dagster_event_type == _MADE,
        made.c.asset_key == table.c.asset_key,
        made.c.partition.is_not_distinct_from(table.c.partition),
    )
    is_needless = sa.or_(_IS_LINE, sa.and_(table.c.dagster_event_type == _PLANNED, carried_out))
    with storage.index_connection() as connection:
        return int(connection.execute(sa.delete(table).where(table.c.run_id.in_(run_ids), is_needless)).rowcount)


def _prune_shard(storage: SqliteEventLogStorage, run_id: str) -> int:
    """Prune the log of one run and give its space back to the disk."""
    path = Path(storage.path_for_shard(run_id))
    if not path.is_file():
        return 0
    with storage.run_connection(run_id) as connection:
        deleted = int(connection.execute(sa.delete(SqlEventLogStorageTable).where(_IS_LINE)).rowcount)
    if deleted:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as file:
            file.execute("VACUUM")
    return deleted
