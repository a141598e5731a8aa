"""The states of partitions, asked of the database in one statement that answers with what is unfinished only.

Dagster 1.13 fetches two rows for each partition that was ever made, to find those few whose newest plan was not carried
out. It does so whenever a partition was added: most of what the first view of an asset with 50,000 partitions costs.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from dagster import AssetKey, DagsterEventType
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

_PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_MADE = DagsterEventType.ASSET_MATERIALIZATION


class QuickStates(SqlEventLogStorage):
    """Mixin of event logs; before the storage whose method it replaces."""

    def get_latest_asset_partition_materialization_attempts_without_materializations(
        self, asset_key: AssetKey, after_storage_id: int | None = None
    ) -> Mapping[str, tuple[str, int]]:
        """Return run and event of the newest plan of each partition that nothing was made for since."""
        newest = self._latest_event_ids_by_partition_subquery(
            asset_key, [_MADE, _PLANNED], after_cursor=after_storage_id
        )
        kind, number = newest.c.dagster_event_type, newest.c.id
        both = (
            sa.select(
                newest.c.partition,
                sa.func.max(sa.case((kind == _PLANNED.value, number))).label("planned"),
                sa.func.max(sa.case((kind == _MADE.value, number))).label("made"),
            )
            .group_by(newest.c.partition)
            .subquery("newest_events")
        )
        table = SqlEventLogStorageTable
        unfinished = (
            sa.select(both.c.partition, table.c.run_id, both.c.planned)
            .join_from(both, table, table.c.id == both.c.planned)
            .where(sa.or_(both.c.made.is_(None), both.c.made < both.c.planned))
        )
        with self.index_connection() as conn:
            return {row.partition: (row.run_id, row.planned) for row in conn.execute(unfinished)}
