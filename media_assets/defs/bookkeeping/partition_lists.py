"""The list of all partitions, read again only when it has changed.

Dagster 1.13 reads it about 15 times for the two runs of a batch, anew for each asset. With 100,000 partitions that
takes longer than everything else that is recorded.
"""

import threading
from collections.abc import Sequence, Set
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import DynamicPartitionsTable

# Of more keys than this Dagster would ask in statements of 900 keys each.
_MANY = 900


class KeptPartitions(SqlEventLogStorage):
    """Mixin of event logs; before the storage.

    Rows are only ever added and deleted. A list is the same as long as its rows are as many, with the same sum of
    numbers, the same newest time and the same last key. Postgres never gives a number twice; a row that is seen late,
    because its transaction took longer, changes the sum. SQLite gives the number of the last row again when that was
    deleted: the new row is another key, or the same one at a later time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lists: dict[str, tuple[tuple[Any, ...], list[str]]] = {}
        self._lists_lock = threading.Lock()
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a definition in the order in which they were added."""
        self._check_partitions_table()
        table = DynamicPartitionsTable.c
        of_definition = table.partitions_def_name == partitions_def_name
        last = sa.select(table.partition).where(of_definition).order_by(table.id.desc()).limit(1)
        state = sa.select(
            sa.func.count(), sa.func.sum(table.id), sa.func.max(table.create_timestamp), last.scalar_subquery()
        ).where(of_definition)
        with self.index_connection() as conn:
            # Before the list: what is added in between makes the list newer than its state, and is read once more.
            now = tuple(conn.execute(state).one())
            with self._lists_lock:
                kept = self._lists.get(partitions_def_name)
            if kept is None or kept[0] != now:
                found = conn.execute(sa.select(table.partition).where(of_definition).order_by(table.id))
                kept = (now, list(found.scalars()))
                with self._lists_lock:
                    self._lists[partitions_def_name] = kept
        return list(kept[1])

    def get_existing_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> Set[str]:
        """Return those of the keys that exist."""
        if len(partition_keys) < _MANY:
            return super().get_existing_dynamic_partitions(partitions_def_name, partition_keys)
        return set(self.get_dynamic_partitions(partitions_def_name)).intersection(partition_keys)
