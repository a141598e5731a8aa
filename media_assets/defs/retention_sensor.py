"""Sensor that deletes old events of runs, a few runs at each tick. No run is needed for that."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.defs.retention import prune_events
from media_assets.pipeline.library import Library

_INTERVAL_S = 600


def retention_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Prune on from where the last tick stopped; the cursor is the end of the last run that was looked at."""
    days = library.settings.event_retention_days
    if days == 0:
        return dg.SensorResult(skip_reason="The setting `event_retention_days` is 0.")
    before = datetime.now(UTC) - timedelta(days=days)
    after = datetime.fromisoformat(context.cursor) if context.cursor else None
    pruned = prune_events(context.instance, before, after)
    cursor = pruned.last_updated_at.astimezone(UTC).isoformat() if pruned.last_updated_at else context.cursor
    return dg.SensorResult(
        skip_reason=f"{pruned.events} events of {pruned.runs} runs that ended before {before:%Y-%m-%d} were deleted.",
        cursor=cursor,
    )


def build_retention_sensor() -> dg.SensorDefinition:
    """Return the sensor, running from the start."""

    @dg.sensor(
        name="retention_sensor",
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Deletes the logs of old runs. The states of partitions stay: asset events are kept.",
    )
    def retention_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return retention_tick(context, library)

    return retention_sensor
