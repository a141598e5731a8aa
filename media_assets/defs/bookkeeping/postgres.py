"""Dagster's Postgres storage with connections that are kept, and batches of events in one transaction.

Needs ``dagster-postgres``. The three parts of the storage share the connections of a process: two that stay, and more
for a moment when several threads ask at once. A daemon, a web server, a code server and four runs hold 14.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.instance import MayHaveInstanceWeakref
from dagster._core.storage.event_log.schema import AssetEventTagsTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import event as sa_event
from sqlalchemy.pool import QueuePool

from media_assets.defs.bookkeeping.batches import BatchWriter, check_writable
from media_assets.defs.bookkeeping.connections import enable_batches, track
from media_assets.defs.bookkeeping.copying import copy_numbered, copy_rows
from media_assets.defs.bookkeeping.partition_lists import KeptPartitions
from media_assets.defs.bookkeeping.rows import event_rows
from media_assets.defs.bookkeeping.states import QuickStates

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

_KEPT = 2  # a thread needs a second one at times, while it holds the first
_MORE = 10
_RECYCLE_S = 1800

# Numbers of asset events must become visible in their order: a web server that has seen event 1001 never looks for
# 1000 again, and would not show its partition as materialized. So one transaction at a time gives out numbers. Any 63
# bits that nobody else uses.
_FAILED = DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value
_NUMBERS_LOCK = 0x6D65646961_5F65


class Connections:
    """The connections of a process, for the three parts of a storage.

    Args:
        url: Address of the database.
        token_provider: Gives out passwords that expire, as for ``DagsterPostgresStorage``.
    """

    def __init__(self, url: str, token_provider: "PgTokenProvider | None" = None) -> None:
        self._url = url
        self._token_provider = token_provider
        self.engine = self._engine(pool_size=_KEPT, max_overflow=_MORE, pool_recycle=_RECYCLE_S)
        self._for_webserver: tuple[int, int, int] | None = None

    def _engine(self, **options: Any) -> sa.Engine:
        engine = create_pg_engine(
            self._url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            # A server that was started again has closed them all; Dagster's own code would have opened new ones.
            pool_pre_ping=True,
            **options,
        )
        sa_event.listen(engine, "connect", _compress_quickly)
        return track(engine)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> sa.Engine:
        """Return the engine with the limits of the web server's command line; the first part to ask makes it."""
        wanted = (statement_timeout, pool_recycle, max_overflow)
        if self._for_webserver != wanted:
            self._for_webserver = wanted
            self.engine = self._engine(pool_size=_KEPT, max_overflow=max_overflow, pool_recycle=pool_recycle)
            sa_event.listen(
                self.engine, "connect", lambda connection, _: set_pg_statement_timeout(connection, statement_timeout)
            )
        return self.engine


def _compress_quickly(connection: Any, _record: Any) -> None:
    """Let the server pack long rows with LZ4, if it can: pictures get no smaller, and take less time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, 'lz4', false) FROM pg_settings "
            "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
        )
    connection.commit()


class _Shared:
    """Mixin: the part of a storage uses the connections of all."""

    _engine: sa.Engine
    connections: Connections

    def share(self, connections: Connections) -> Self:
        """Use ``connections`` instead of a new one for each statement, and return the storage."""
        self.connections = connections
        self._engine = connections.engine
        return self

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit the time of a statement, as the web server wants it."""
        self._engine = self.connections.optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)


class RunStorage(_Shared, PostgresRunStorage):
    """Runs."""


class ScheduleStorage(_Shared, PostgresScheduleStorage):
    """Sensors, schedules and their ticks."""


class EventLogStorage(BatchWriter, _Shared, QuickStates, KeptPartitions, PostgresEventLogStorage):
    """Events."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of any mix of types that Dagster writes in batches, all or none of them."""
        check_writable(events)
        wanted = [event for event in events if event.get_dagster_event().event_type_value != _FAILED]
        if wanted:
            self._store(wanted)

    def dispose(self) -> None:
        """Close what was kept, of all parts of the storage."""
        super().dispose()
        self.connections.engine.dispose()

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        rows = event_rows(events)
        with self.index_transaction() as conn:
            conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _NUMBERS_LOCK})
            numbers = copy_numbered(conn, rows)
            self._store_side_effects(conn, rows, numbers)

    def _insert_tags(self, conn: sa.Connection, tags: Sequence[Mapping[str, Any]]) -> None:
        copy_rows(conn, AssetEventTagsTable.name, tags)


class PostgresStorage(DagsterPostgresStorage):
    """All of Dagster's bookkeeping in a Postgres database, configured like ``DagsterPostgresStorage``."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        # Instead of the constructor of ``DagsterPostgresStorage``, which opens Dagster's own three.
        self.postgres_url = postgres_url
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        self.connections = Connections(postgres_url, token_provider)
        options: dict[str, Any] = {"token_provider": token_provider}
        self._run_storage = RunStorage(postgres_url, should_autocreate_tables, **options).share(self.connections)
        self._event_log_storage = EventLogStorage(postgres_url, should_autocreate_tables, **options).share(
            self.connections
        )
        self._schedule_storage = ScheduleStorage(postgres_url, should_autocreate_tables, **options).share(
            self.connections
        )
        MayHaveInstanceWeakref.__init__(self)  # type: ignore[no-untyped-call,arg-type]
        enable_batches()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Open the storage that ``dagster.yaml`` describes."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )
