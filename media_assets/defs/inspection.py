"""What the Dagster instance says about the partitions, for ``media-assets doctor`` and for tests."""

import dagster as dg

from media_assets.defs.partitions import PARTITIONS_NAME
from media_assets.pipeline.assets import PER_FILE_ASSETS


def partition_count() -> int:
    """Return the number of partitions of the instance in ``DAGSTER_HOME``."""
    with dg.DagsterInstance.get() as instance:
        return len(instance.get_dynamic_partitions(PARTITIONS_NAME))


def uses_sqlite() -> bool:
    """Return whether the instance keeps its events in SQLite files."""
    with dg.DagsterInstance.get() as instance:
        return "sqlite" in type(instance.event_log_storage).__name__.lower()


def materialized_partitions() -> dict[str, set[str]]:
    """Return the materialized partitions of each per-file asset."""
    with dg.DagsterInstance.get() as instance:
        return {asset: set(instance.get_materialized_partitions(dg.AssetKey(asset))) for asset in PER_FILE_ASSETS}
