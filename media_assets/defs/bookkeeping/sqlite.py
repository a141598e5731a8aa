"""Dagster's SQLite storage with connections that are kept, and batches of events in one transaction.

The files are those of ``DagsterSqliteStorage``: ``history/runs.db``, ``history/runs/index.db``, one file for the log of
each run, ``schedules/schedules.db``.
"""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, cast

import sqlalchemy as sa
from dagster import Field, StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._core.events.log import EventLogEntry
from dagster._core.instance import MayHaveInstanceWeakref
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection

from media_assets.defs.bookkeeping.batches import BatchWriter, check_writable, insert_numbered, insert_rows
from media_assets.defs.bookkeeping.connections import enable_batches, renew_after_fork, sqlite_engine
from media_assets.defs.bookkeeping.partition_lists import KeptPartitions
from media_assets.defs.bookkeeping.rows import event_rows
from media_assets.defs.bookkeeping.states import QuickStates

# Logs of runs that stay open besides the index: those that a daemon writes at the same time. Three files each.
_OPEN_LOGS = 8


class _File:
    """A database file whose connections are kept, until another file has taken its place."""

    def __init__(self, url: str, size: int) -> None:
        self.path = Path(cast("str", sa.make_url(url).database))
        self.engine = sqlite_engine(url, size)
        self._identity: tuple[int, int] | None = None
        # Dagster disposes of some of its storages only.
        weakref.finalize(self, self.engine.dispose)

    def is_replaced(self) -> bool:
        """Return whether the file was deleted (``dagster run wipe``), or another one put there, since it was opened."""
        return self._identity is not None and self._found() != self._identity

    def remember(self) -> None:
        """Note which file it is, once it is open."""
        if self._identity is None:
            self._identity = self._found()

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        self.engine.dispose()
        self._identity = None


class _KeptConnections:
    """Mixin of the storage of runs and of the storage of schedules."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._file = _File(conn_string, size=2)
        super().__init__(conn_string, inst_data)  # type: ignore[call-arg]

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection that has begun a transaction."""
        if self._file.is_replaced():
            self._file.close()
        with self._file.engine.connect() as conn, conn.begin():
            self._file.remember()
            yield conn

    def dispose(self) -> None:
        """Close what was kept."""
        self._file.close()


class RunStorage(_KeptConnections, SqliteRunStorage):
    """Runs."""


class ScheduleStorage(_KeptConnections, SqliteScheduleStorage):
    """Sensors, schedules and their ticks."""

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> "ScheduleStorage":
        """Open the storage in a folder, created when it is missing."""
        made = SqliteScheduleStorage.from_local(base_dir, inst_data)  # always of that class
        return cls(made._conn_string, inst_data)


class EventLogStorage(BatchWriter, QuickStates, KeptPartitions, SqliteEventLogStorage):
    """Events: a file for each run, and the index over those of assets."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._files: OrderedDict[str, _File] = OrderedDict()
        super().__init__(base_dir, inst_data)
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Take another lock: a thread that this process does not have may hold the inherited one."""
        # Reentrant: Dagster's methods look for tables while they write.
        self._db_lock = threading.RLock()  # type: ignore[assignment]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._locked_connection(shard) as conn, conn.begin():
            yield conn

    @contextmanager
    def _locked_connection(self, shard: str) -> Iterator[Connection]:
        """Yield a connection without a transaction. The lock must be held: each file keeps one connection."""
        file = self._files.get(shard)
        if file is None:
            file = self._files[shard] = _File(self.conn_string_for_shard(shard), size=1)
        self._files.move_to_end(shard)
        if file.is_replaced():
            file.close()
            self._initialized_dbs.discard(shard)
        if shard not in self._initialized_dbs:
            if not self._is_complete(file):
                self._initdb(file.engine)
            self._initialized_dbs.add(shard)
        with file.engine.connect() as conn:
            file.remember()
            yield conn
        while len(self._files) > _OPEN_LOGS + 1:
            oldest = next(name for name in self._files if name not in (shard, INDEX_SHARD_NAME))
            self._files.pop(oldest).close()

    @staticmethod
    def _is_complete(file: _File) -> bool:
        """Return whether the file was set up already: asking alembic reads all of Dagster's migrations each time."""
        with file.engine.connect() as conn:
            tables = set(sa.inspect(conn).get_table_names())
            if not {"event_logs", "alembic_version"} <= tables:
                return False
            return bool(conn.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar_one() == 1)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of any mix of types that Dagster writes in batches, all or none of them."""
        check_writable(events)
        if events:
            self._store(events)

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        """Write a batch.

        The log of the run is committed before the index, which the status of partitions is read from. A process that
        is killed between the two leaves lines in the log of the run, and no partition that looks done.
        """
        rows = event_rows(events)
        mirrored = [row for row in rows if row.is_of_asset or row.is_of_check]
        with self._db_lock, ExitStack() as stack:
            index = stack.enter_context(self._locked_connection(INDEX_SHARD_NAME))
            # Callbacks of the stack run in reverse: the index commits last because it was begun first.
            stack.enter_context(index.begin())
            for run_id in dict.fromkeys(event.run_id for event in events):
                log = stack.enter_context(self._locked_connection(run_id))
                stack.enter_context(log.begin())
                insert_rows(log, [row for row in rows if row.event.run_id == run_id])
            self._store_side_effects(index, mirrored, insert_numbered(index, mirrored))

    def wipe(self) -> None:
        """Delete all events."""
        self._close_files()
        super().wipe()

    def dispose(self) -> None:
        """Close what was kept."""
        super().dispose()
        self._close_files()

    def _close_files(self) -> None:
        with self._db_lock:
            while self._files:
                self._files.popitem()[1].close()


class SqliteStorage(DagsterSqliteStorage):
    """All of Dagster's bookkeeping in SQLite files below ``base_dir``, by default below DAGSTER_HOME."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Instead of the constructor of ``DagsterSqliteStorage``, which opens Dagster's own three.
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = RunStorage.from_local(str(Path(base_dir, "history")))
        self._event_log_storage = EventLogStorage(str(Path(base_dir, "history", "runs")))
        self._schedule_storage = ScheduleStorage.from_local(str(Path(base_dir, "schedules")))
        MayHaveInstanceWeakref.__init__(self)  # type: ignore[no-untyped-call,arg-type]
        enable_batches()

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return the configuration of ``DagsterSqliteStorage``, with a default."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Open the storage that ``dagster.yaml`` describes."""
        # Without DAGSTER_HOME (``dagster dev`` in a checkout) all processes have their current folder in common only.
        base_dir = config_value.get("base_dir") or os.environ.get("DAGSTER_HOME") or ".dagster_home"
        return cls.from_local(str(Path(base_dir).expanduser().absolute()), inst_data)
