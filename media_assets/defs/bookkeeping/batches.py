"""What both event logs share: the rows of many events, written by one connection."""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ContextManager  # noqa: UP035 - as in Dagster's signatures

import sqlalchemy as sa
from dagster._core.events import ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from sqlalchemy.engine import Connection

from media_assets.defs.bookkeeping.rows import EventRow

if TYPE_CHECKING:
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
else:
    SqlEventLogStorage = object

_WRITABLE = frozenset(kind.value for kind in BATCH_WRITABLE_EVENTS)

_INSERT = SqlEventLogStorageTable.insert()
_INSERT_RETURNING = _INSERT.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)


def check_writable(events: Sequence[EventLogEntry]) -> None:
    """Refuse, as Dagster does, events that have effects which a batch would leave out.

    Raises:
        ValueError: There is such an event.
    """
    for event in events:
        if event.dagster_event is None or event.dagster_event.event_type_value not in _WRITABLE:
            raise ValueError(f"Events of this type cannot be written in a batch: {event.dagster_event_type}")


def insert_rows(conn: Connection, rows: Sequence[EventRow]) -> None:
    """Insert events whose numbers are not needed."""
    conn.execute(_INSERT, [row.values for row in rows])


def insert_numbered(conn: Connection, rows: Sequence[EventRow]) -> list[int]:
    """Insert events and return their numbers, which rise in the order of ``rows``."""
    return [int(number) for (number,) in conn.execute(_INSERT_RETURNING, [row.values for row in rows])]


class BatchWriter(SqlEventLogStorage):
    """Mixin of an event log: everything that belongs to asset events, in a transaction that is open already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._transaction = threading.local()
        self._known_tables: set[str] = set()
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    @property
    def _open_transaction(self) -> Connection | None:
        """The connection in which this thread is writing a batch."""
        found: Connection | None = getattr(self._transaction, "connection", None)
        return found

    @contextmanager
    def _writing(self, conn: Connection) -> Iterator[None]:
        """Meanwhile whatever Dagster's own methods write to the index in this thread goes through ``conn``."""
        self._transaction.connection = conn
        try:
            yield
        finally:
            self._transaction.connection = None

    def index_connection(self) -> ContextManager[Connection]:
        """Return a connection to the index; inside a batch, the one that writes it."""
        conn = self._open_transaction
        return super().index_connection() if conn is None else nullcontext(conn)  # type: ignore[safe-super]

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event."""
        if event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS:
            self._store([event])
        else:
            super().store_event(event)

    @abstractmethod
    def _store(self, events: Sequence[EventLogEntry]) -> None:
        """Write events and all that belongs to them, all or none."""

    def has_table(self, table_name: str) -> bool:
        """Return whether there is a table; one that was there is not looked for again."""
        if table_name not in self._known_tables:
            with self.index_connection() as index:
                if not sa.inspect(index).has_table(table_name):
                    return False
            self._known_tables.add(table_name)
        return True

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        # Columns are only ever added, by a migration.
        if column_name not in self._known_tables:
            if not super()._has_asset_key_col_on_connection(conn, column_name):
                return False
            self._known_tables.add(column_name)
        return True

    def _insert_tags(self, conn: Connection, tags: Sequence[Mapping[str, Any]]) -> None:
        conn.execute(AssetEventTagsTable.insert(), list(tags))

    def _store_side_effects(self, conn: Connection, rows: Sequence[EventRow], numbers: Sequence[int]) -> None:
        """Write what the event log keeps besides the events: tags, planned checks, and the newest event of each asset.

        Args:
            conn: A transaction on the index.
            rows: Already inserted.
            numbers: Their numbers.
        """
        # The row of an asset describes its newest events: one write for each asset and kind, not for each event.
        newest: dict[tuple[str, str], tuple[EventLogEntry, int]] = {}
        tags = []
        for row, number in zip(rows, numbers, strict=True):
            if row.asset is None or not row.is_of_asset:
                continue
            newest[(row.asset, row.kind)] = (row.event, number)
            wanted = self.get_asset_tags_to_index(set(row.tags)) if row.tags else ()
            tags += [
                {
                    "event_id": number,
                    "asset_key": row.asset,
                    "key": key,
                    "value": row.tags[key],
                    "event_timestamp": row.values["timestamp"],
                }
                for key in row.tags
                if key in wanted
            ]
        with self._writing(conn):
            # Homes of before Dagster 0.15 may lack the table.
            if tags and self.has_table(AssetEventTagsTable.name):
                self._insert_tags(conn, tags)
            for row, number in zip(rows, numbers, strict=True):
                if row.is_of_check:
                    self.store_asset_check_event(row.event, number)
            # By the keys of the assets, so that two runs never wait for each other; events of one asset in their order.
            for _, (event, number) in sorted(newest.items(), key=lambda item: (item[0][0], item[1][1])):
                self._store_asset_event(conn, event, number)
