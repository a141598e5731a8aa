"""Sensor that works out the states of partitions while nothing else goes on, so that pages open at once.

Dagster works them out when a page asks, anew after each partition that came: seconds with tens of thousands of them.
What it has worked out it keeps in its database, for all processes.
"""

import json
import time

import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from media_assets.defs.orphans import RUNS_IN_PROGRESS
from media_assets.defs.partitions import PARTITIONS_NAME, media_partitions
from media_assets.pipeline.assets import PER_FILE_ASSETS
from media_assets.pipeline.library import Library

_INTERVAL_S = 30
_MAX_SECONDS = 15.0
"""After this the rest is left to the next tick."""


def states_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SkipReason:
    """Work out what has changed; the cursor says of what."""
    instance = context.instance
    if library.ledger.open_batches(library.inbox().url, 1) or instance.get_run_records(
        dg.RunsFilter(statuses=RUNS_IN_PROGRESS), limit=1
    ):
        return dg.SkipReason("Files are arriving, or a run goes on.")
    partitions = instance.get_dynamic_partitions(PARTITIONS_NAME)
    newest = instance.event_log_storage.get_maximum_record_id()
    known = json.dumps([newest, len(partitions), partitions[-1] if partitions else None])
    if context.cursor == known:
        return dg.SkipReason("Nothing has changed.")
    started = time.monotonic()
    for done, asset in enumerate(PER_FILE_ASSETS):
        if time.monotonic() - started >= _MAX_SECONDS:
            return dg.SkipReason(f"The states of {done} assets are known; the others follow.")
        get_and_update_asset_status_cache_value(instance, dg.AssetKey(asset), media_partitions)
    context.update_cursor(known)
    return dg.SkipReason(f"The states of {len(partitions)} partitions are known.")


def build_states_sensor() -> dg.SensorDefinition:
    """Return the sensor, running from the start."""

    @dg.sensor(
        name="states_sensor",
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Works out the states of partitions when nothing else goes on, so that pages open quickly.",
    )
    def states_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SkipReason:
        return states_tick(context, library)

    return states_sensor
