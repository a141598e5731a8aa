"""Erasing media files from Dagster: partition keys, events with previews, checks, tags, ticks and compute logs.

Dagster 1.13 cannot (``wipe_asset_partitions`` is not implemented for its open-source storages), and what names a
partition is spread over many tables: the rows of events, plans and checks, run tags, backfills, sensor ticks, caches.
Rows of a partition are deleted; wherever else something names it, the name is replaced. What is erased is decided in
``pipeline.erasure``.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageMetadata,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from sqlalchemy.engine import Connection

from media_assets.defs.orphans import RUNS_IN_PROGRESS
from media_assets.defs.partitions import PARTITIONS_NAME, remove_partitions
from media_assets.storage.database_space import give_back_space, statistics_naming, vacuum_file
from media_assets.storage.traces import Needles

ERASED = "erased-000000000000"
"""What stands where an erased name stood: it has the form of a partition key."""

_AT_ONCE = 400
_IN_WORK = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
_SHARD_SUFFIX = ".db"


class ErasureBusyError(Exception):
    """A run or a backfill goes on; it could write what is being erased."""


@dataclass(frozen=True)
class DagsterErasure:
    """What was erased from Dagster.

    Attributes:
        partitions: Partition keys.
        events: Events and check results of these partitions.
        redacted: Rows in which a name was replaced.
        run_logs: Runs whose compute logs were deleted.
    """

    partitions: int
    events: int
    redacted: int
    run_logs: int


def open_instance() -> dg.DagsterInstance:
    """Open the instance that ``DAGSTER_HOME`` names; close it by leaving it as a context."""
    return dg.DagsterInstance.get()


def check_idle(instance: dg.DagsterInstance) -> None:
    """Make sure that nothing is running: what a run has read before could be written after it was erased.

    Raises:
        ErasureBusyError: A run or a backfill goes on.
    """
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=_IN_WORK), limit=1)
    if backfills:
        raise ErasureBusyError(
            f"Backfill {backfills[0].backfill_id} goes on. Wait for its end or cancel it, and retry."
        )
    records = instance.get_run_records(dg.RunsFilter(statuses=RUNS_IN_PROGRESS), limit=1)
    if records:
        run_id = records[0].dagster_run.run_id
        raise ErasureBusyError(f"Run {run_id} goes on. Wait for its end, or stop the service, and erase again.")


def erase_partitions(instance: dg.DagsterInstance, media_ids: Collection[str], names: Iterable[str]) -> DagsterErasure:
    """Delete everything of some partitions; doing it again changes nothing.

    Args:
        instance: The instance; its storages must be SQL databases, as all of Dagster's own are.
        media_ids: Partition keys.
        names: What else must not be left: source keys, checksums, keys of objects.

    Raises:
        TypeError: A storage is of another kind.
    """
    storage = event_log_of(instance)
    ids = sorted(media_ids)
    present = set(instance.get_dynamic_partitions(PARTITIONS_NAME)) & set(ids)
    remove_partitions(instance, sorted(present))
    redaction = _Redaction([*ids, *names])
    runs: set[str] = set()
    events = redacted = 0
    with storage.index_connection() as connection:
        events += _delete_events(connection, ids, runs, indexed=True)
        redacted += _forget_states(connection, redaction)
    for connect, metadata in _databases(instance):
        with connect as connection:
            redacted += redaction.apply(connection, metadata.sorted_tables, runs)
    for path in shard_paths(storage):
        touched = _erase_shard(storage, path, ids, redaction, runs)
        events, redacted = events + touched[0], redacted + touched[1]
    return DagsterErasure(len(present), events, redacted, _delete_logs(instance, runs))


def give_space_back(instance: dg.DagsterInstance) -> None:
    """Let no deleted row be left in the files of the instance's databases.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: They are in use, or there is no room for a copy.
    """
    storage = event_log_of(instance)
    for path in shard_paths(storage):
        vacuum_file(path)
    for connect, metadata in _databases(instance):
        with connect as connection:
            engine = connection.engine
        give_back_space(engine, [table.name for table in metadata.sorted_tables])


def find_names(instance: dg.DagsterInstance, names: Iterable[str]) -> list[str]:
    """Return the tables in which one of ``names`` is left, as ``database/table``; empty: nothing is.

    Raises:
        TypeError: A storage is of another kind.
    """
    redaction = _Redaction(names)
    storage = event_log_of(instance)
    found: set[str] = set()
    for connect, metadata in _databases(instance):
        with connect as connection:
            tables = redaction.tables_with(connection, metadata.sorted_tables)
            found |= {f"dagster/{name}" for name in (*tables, *statistics_naming(connection, redaction.needles))}
    for path in shard_paths(storage):
        with shard_connection(storage, path) as connection:
            tables = redaction.tables_with(connection, [SqlEventLogStorageTable])
        found |= {f"dagster/log of run {_run_of(path)}/{name}" for name in tables}
    return sorted(found)


class DagsterEraser:
    """What an erasure asks of Dagster (``pipeline.erasure.erase.Orchestrator``).

    Args:
        instance: An open instance.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def check_idle(self) -> None:
        """See :func:`check_idle`."""
        check_idle(self._instance)

    def erase(self, media_ids: Collection[str], names: Collection[str]) -> dict[str, int]:
        """See :func:`erase_partitions`."""
        done = erase_partitions(self._instance, media_ids, names)
        return {f"dagster_{name}": count for name, count in asdict(done).items()}

    def give_space_back(self) -> None:
        """See :func:`give_space_back`."""
        give_space_back(self._instance)

    def places_naming(self, names: Collection[str]) -> list[str]:
        """See :func:`find_names`."""
        return find_names(self._instance, names)

    def knows_run(self, run_id: str) -> bool:
        """Return whether there was such a run."""
        return self._instance.get_run_by_id(run_id) is not None


class _Redaction:
    """Finds names in texts and replaces them.

    Args:
        names: Names that tell of a file.
    """

    def __init__(self, names: Iterable[str]) -> None:
        forms = {form for name in names if name for form in _forms(name)}
        self.needles = Needles(form.encode("utf-8", "surrogatepass") for form in forms)

    def is_in(self, value: object) -> bool:
        """Return whether a text names one of them."""
        if isinstance(value, bytes):
            return bool(self.needles.find(value))
        return isinstance(value, str) and bool(self.needles.find(value.encode("utf-8", "surrogatepass")))

    def replaced(self, text: str) -> str:
        """Return the text without the names, the longest first: one may contain another."""
        found = {
            one.decode("utf-8", "surrogatepass") for one in self.needles.find(text.encode("utf-8", "surrogatepass"))
        }
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, ERASED)
        return text

    def apply(self, connection: Connection, tables: Iterable[sa.Table], runs: set[str]) -> int:
        """Replace the names in every text of these tables; return the number of rows. Their runs go into ``runs``."""
        changed = 0
        for table in tables:
            for row in self._rows_with(connection, table):
                texts = {name: value for name, value in row._mapping.items() if isinstance(value, str)}
                values = {name: self.replaced(value) for name, value in texts.items() if self.is_in(value)}
                if values:
                    connection.execute(sa.update(table).where(table.c.id == row.id).values(values))
                    changed += 1
                    if "run_id" in table.c and row.run_id:
                        runs.add(row.run_id)
        return changed

    def tables_with(self, connection: Connection, tables: Iterable[sa.Table]) -> list[str]:
        """Return the names of the tables in which a name is left."""
        return [table.name for table in tables if any(True for _ in self._rows_with(connection, table))]

    def _rows_with(self, connection: Connection, table: sa.Table) -> Iterator[sa.Row[Any]]:
        columns = [column for column in table.c if column.name == "id" or _is_text(column)]
        if "id" not in table.c or len(columns) < 2 or not sa.inspect(connection).has_table(table.name):
            return
        last = None
        while True:
            statement = sa.select(*columns).order_by(table.c.id).limit(_AT_ONCE)
            rows = connection.execute(statement if last is None else statement.where(table.c.id > last)).all()
            if not rows:
                return
            last = rows[-1].id
            for row in rows:
                if any(self.is_in(value) for value in row):
                    yield row


def _forms(name: str) -> set[str]:
    """A name as it is, and as JSON writes it."""
    return {name, json.dumps(name)[1:-1]}


def _is_text(column: "sa.Column[Any]") -> bool:
    return isinstance(column.type, sa.types.String | sa.types.LargeBinary) or column.type.python_type is str


def event_log_of(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    """Return the event log as the SQL database that it is.

    Raises:
        TypeError: It is something else.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"The event log is a {type(storage).__name__}, which is no SQL database. Erase by its means.")
    return storage


def _databases(instance: dg.DagsterInstance) -> Iterator[tuple[AbstractContextManager[Connection], sa.MetaData]]:
    """Yield a connection and the tables of each part of the storage, the logs of single runs aside."""
    yield event_log_of(instance).index_connection(), SqlEventLogStorageMetadata
    runs, schedules = instance.run_storage, instance.schedule_storage
    if not isinstance(runs, SqlRunStorage):
        raise TypeError(f"Runs are in a {type(runs).__name__}, which is no SQL database. Erase by its means.")
    yield runs.connect(), RunStorageSqlMetadata
    if isinstance(schedules, SqlScheduleStorage):
        yield schedules.connect(), ScheduleStorageSqlMetadata


def shard_paths(storage: SqlEventLogStorage) -> list[Path]:
    """The files of the logs of single runs; SQLite alone has them."""
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    index = Path(storage.path_for_shard("index"))
    return sorted(path for path in index.parent.glob(f"*{_SHARD_SUFFIX}") if path.name != index.name)


def shard_connection(storage: SqlEventLogStorage, path: Path) -> AbstractContextManager[Connection]:
    """Open the log of a single run."""
    return storage.run_connection(_run_of(path))


def _run_of(shard: Path) -> str:
    """Run whose log a file is; "" for the events that belong to no run, whose file is called `.db`."""
    return shard.name.removesuffix(_SHARD_SUFFIX)


def _delete_events(connection: Connection, ids: Sequence[str], runs: set[str], *, indexed: bool) -> int:
    """Delete all rows of partitions, of every kind and every asset."""
    table, tags, checks = SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable
    deleted = 0
    for start in range(0, len(ids), _AT_ONCE):
        chunk = ids[start : start + _AT_ONCE]
        rows = connection.execute(sa.select(table.c.id, table.c.run_id).where(table.c.partition.in_(chunk))).all()
        runs.update(row.run_id for row in rows if row.run_id)
        numbers = [row.id for row in rows]
        for at in range(0, len(numbers), _AT_ONCE):
            some = numbers[at : at + _AT_ONCE]
            if indexed:
                connection.execute(sa.delete(tags).where(tags.c.event_id.in_(some)))
            connection.execute(sa.delete(table).where(table.c.id.in_(some)))
        deleted += len(numbers)
        if indexed:
            deleted += int(connection.execute(sa.delete(checks).where(checks.c.partition.in_(chunk))).rowcount)
    return deleted


def _forget_states(connection: Connection, redaction: _Redaction) -> int:
    """Empty what Dagster keeps of assets to be quick: the newest materialization, and the states of all partitions."""
    table = AssetKeyTable
    connection.execute(sa.update(table).values(cached_status_data=None))
    changed = 0
    for row in connection.execute(sa.select(table.c.id, table.c.last_materialization)).all():
        if redaction.is_in(row.last_materialization):
            # Dagster reads it from the event log then.
            connection.execute(sa.update(table).where(table.c.id == row.id).values(last_materialization=None))
            changed += 1
    return changed


def _erase_shard(
    storage: SqlEventLogStorage, path: Path, ids: Sequence[str], redaction: _Redaction, runs: set[str]
) -> tuple[int, int]:
    of_run: set[str] = set()
    with shard_connection(storage, path) as connection:
        deleted = _delete_events(connection, ids, of_run, indexed=False)
        changed = redaction.apply(connection, [SqlEventLogStorageTable], of_run)
    if deleted or changed:
        runs.add(_run_of(path))
    return deleted, changed


def _delete_logs(instance: dg.DagsterInstance, runs: Collection[str]) -> int:
    for run_id in sorted(runs):
        if re.fullmatch(r"[0-9a-fA-F-]{8,64}", run_id):
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(runs)
