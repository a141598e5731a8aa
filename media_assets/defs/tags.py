"""Tags of runs and pools of ops: Dagster's own for ranges and priorities, ours for batches.

Only names and the dictionary that a batch's run carries.
"""

from collections.abc import Mapping

from media_assets.storage.ledger_schema import Batch

BATCH_TAG = "media_assets/batch"
RUN_KEY_TAG = "media_assets/run_key"
# Name of the process that executes a run (``pipeline.liveness``), so that a dead one is noticed. The UI hides tags with
# this prefix.
WORKER_TAG = ".dagster/media_assets_worker"
# On runs that were marked as failed because their process had died: nothing is known to be wrong with their work. Its
# value is the id of the run, because retries inherit it.
ORPHANED_TAG = ".dagster/media_assets_orphaned"

# On runs of op ``analyze``: the queue starts one at a time (``dagster.yaml``).
ANALYSIS_TAG = "media_assets/analysis"
# On runs that leave out what is there already, whoever made it: those of the analysis sensor, not backfills.
ONLY_MISSING_TAG = "media_assets/only_missing"

# On runs of op ``protect``: the queue starts one at a time too.
SHARING_TAG = "media_assets/sharing"

# Concurrency pools of the ops, for limits on a deployment: each op uses all cores of its machine.
DECODING_POOL = "decoding"
MODELS_POOL = "models"
COVERING_POOL = "covering"

# Literal values of Dagster's tags for a result's provenance; the constants are not part of its public API.
CODE_VERSION_TAG = "dagster/code_version"
DATA_VERSION_TAG = "dagster/data_version"
_NO_EVENT = "NULL"

_PARTITION_TAG = "dagster/partition"
_RANGE_START_TAG = "dagster/asset_partition_range_start"
_RANGE_END_TAG = "dagster/asset_partition_range_end"

# New arrivals overtake a running backfill, whose runs have priority 0; their analysis comes between.
_PRIORITY = "10"
_ANALYSIS_PRIORITY = "5"
_SHARING_PRIORITY = "4"


def is_partitioned(tags: Mapping[str, str]) -> bool:
    """Return whether a run with these tags has partitions; one that only executes asset checks has none."""
    return _PARTITION_TAG in tags or _RANGE_START_TAG in tags


def covered_partitions(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first and the last partition of a run with these tags; ``None``: it has none."""
    if _PARTITION_TAG in tags:
        return tags[_PARTITION_TAG], tags[_PARTITION_TAG]
    if _RANGE_START_TAG in tags and _RANGE_END_TAG in tags:
        return tags[_RANGE_START_TAG], tags[_RANGE_END_TAG]
    return None


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over the partitions ``first`` to ``last``, in the order of their insertion."""
    return {_RANGE_START_TAG: first, _RANGE_END_TAG: last}


def input_tags(asset: str, data_version: str, pointer: int | None) -> dict[str, str]:
    """Return the tags that say what a result was made from.

    Without them the UI calls a result out of sync ("has a new dependency"). For partitions it compares events and not
    versions: the newest one of the input up to the pointer with the newest one of all.

    Args:
        asset: The asset that was read.
        data_version: Its data version.
        pointer: Number of its newest event.
    """
    return {
        f"dagster/input_data_version/{asset}": data_version,
        f"dagster/input_event_pointer/{asset}": str(pointer or _NO_EVENT),
    }


def analysis_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run that analyses new previews of the partitions ``first`` to ``last``."""
    return {
        **range_tags(first, last),
        ONLY_MISSING_TAG: "true",
        "dagster/priority": _ANALYSIS_PRIORITY,
        # The sensor finds what was left, with back-off.
        "dagster/max_retries": "0",
    }


def sharing_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run that makes copies of the partitions ``first`` to ``last`` which lack one."""
    return {**analysis_tags(first, last), "dagster/priority": _SHARING_PRIORITY}


def batch_tags(batch: Batch) -> dict[str, str]:
    """Return the tags of the run that does the current attempt at ``batch``."""
    return {
        **range_tags(batch.first_media_id, batch.last_media_id),
        BATCH_TAG: batch.batch_id,
        RUN_KEY_TAG: batch.run_key,
        "dagster/priority": _PRIORITY,
        # The sensor starts failed batches again, with back-off; the daemon's own retries would double them.
        "dagster/max_retries": "0",
    }
