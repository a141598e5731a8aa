"""What Dagster still knows after the ledger was lost, and what it is told again: partitions, never events.

Events of a lost Dagster database cannot be brought back: which run made what, when, with which log. Materializations
that were made up would carry today's time and no run, so none are logged; partitions without one are shown as missing,
and nothing computes them again by itself.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from media_assets.defs.partitions import PARTITIONS_NAME
from media_assets.defs.tags import DATA_VERSION_TAG

_PARTITIONS_AT_ONCE = 500  # below SQLite's limit of bound variables (dagster issue 16260)


def open_instance() -> dg.DagsterInstance:
    """Return the instance that ``DAGSTER_HOME`` names; use it as a context manager."""
    return dg.DagsterInstance.get()


def recorded_versions(instance: dg.DagsterInstance, asset: str) -> Mapping[str, str]:
    """Return the data version of the newest materialization of each partition of an asset."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {media_id: found[DATA_VERSION_TAG] for media_id, found in tags.items() if DATA_VERSION_TAG in found}


def restore_partitions(instance: dg.DagsterInstance, media_ids: Sequence[str]) -> int:
    """Add the partitions that are missing, in this order; return how many."""
    present = set(instance.get_dynamic_partitions(PARTITIONS_NAME))
    missing = [media_id for media_id in media_ids if media_id not in present]
    for start in range(0, len(missing), _PARTITIONS_AT_ONCE):
        instance.add_dynamic_partitions(PARTITIONS_NAME, missing[start : start + _PARTITIONS_AT_ONCE])
    return len(missing)
