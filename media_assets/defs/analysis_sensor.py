"""Sensor of op ``analyze``: new previews become ranged runs, one at a time, beside ingestion and before backfills.

What lacks a result is read from the ledger, so that no state is needed: a tick that is repeated, or lost, changes
nothing.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from media_assets.defs.failures import failure_of
from media_assets.defs.jobs import analyze_job
from media_assets.defs.orphans import RUNS_IN_PROGRESS, fail_orphaned_runs, is_orphaned
from media_assets.defs.partitions import partition_order
from media_assets.defs.tags import analysis_tags
from media_assets.models.errors import ModelError
from media_assets.pipeline.analysis_recipe import vision_recipe_of
from media_assets.pipeline.assets import ANALYZE_ASSETS
from media_assets.pipeline.intake import contiguous_ranges
from media_assets.pipeline.library import Library
from media_assets.pipeline.requests import backoff

# Ranges that one tick asks for; the queue starts one at a time (``dagster.yaml``).
_RUNS_PER_TICK = 8
_LOOKED_BACK = 8


def _retry_at(instance: dg.DagsterInstance, now: datetime) -> datetime:
    """When files whose analysis failed are tried again: later after each failed run, at once after a good one."""
    failures, last = 0, now
    for record in instance.get_run_records(dg.RunsFilter(job_name=analyze_job.name), limit=_LOOKED_BACK):
        run = record.dagster_run
        # Nothing was wrong with the work when its process died.
        if run.status != dg.DagsterRunStatus.FAILURE or is_orphaned(run):
            break
        last = record.update_timestamp.astimezone(UTC) if failures == 0 else last
        failures += 1
    return last + backoff(failures) if failures else now


def analysis_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Request the runs that analyse what has a preview and no result yet."""
    settings = library.settings
    if not settings.analyze:
        return dg.SensorResult(skip_reason="The setting `analyze` is off.")
    fail_orphaned_runs(context.instance, timedelta(seconds=settings.batch_dead_after_s))
    running = dg.RunsFilter(job_name=analyze_job.name, statuses=RUNS_IN_PROGRESS)
    if context.instance.get_run_records(running, limit=1):
        return dg.SensorResult(skip_reason="An analysis is running.")
    try:
        vision = vision_recipe_of(settings)
    except ModelError as error:
        raise failure_of(error) from None
    assets = [asset for asset in ANALYZE_ASSETS if vision.is_on(asset)]
    # A model that is missing must not hold up the analysis of what comes in.
    lacking = library.ledger.unanalyzed(assets, never_tried=True)
    if not lacking:
        lacking = library.ledger.unanalyzed(assets)
        if not lacking:
            return dg.SensorResult(skip_reason="Everything that has a preview is analysed.")
        now = datetime.now(UTC)
        retry_at = _retry_at(context.instance, now)
        if now < retry_at:
            again = retry_at.isoformat(timespec="seconds")
            return dg.SensorResult(skip_reason=f"The analysis of {len(lacking)} files failed; tried again at {again}.")
    ranges = contiguous_ranges(lacking, partition_order(context.instance), settings.batch_max_files)
    requests = [
        dg.RunRequest(
            tags=analysis_tags(media_ids[0], media_ids[-1]),
            asset_selection=[dg.AssetKey(asset) for asset in sorted(wanted)],
        )
        for media_ids, wanted in islice(ranges, _RUNS_PER_TICK)
    ]
    if not requests:
        return dg.SensorResult(skip_reason=f"{len(lacking)} files lack an analysis, and none of them has a partition.")
    return dg.SensorResult(run_requests=requests)


def build_analysis_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor, running from the start.

    Args:
        interval_s: Least time between two ticks.
    """

    @dg.sensor(
        name="analysis_sensor",
        job=analyze_job,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts `analyze` for files that have a preview and no result yet.",
    )
    def analysis_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return analysis_tick(context, library)

    return analysis_sensor
