"""Sensor of op ``protect``: copies that must go are withdrawn at once, files that may be shared become ranged runs.

What is to be done is read from the ledger, the register of consents and the reviews, so that no state is needed: a tick
that is repeated, or lost, changes nothing.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

import dagster as dg

from media_assets.defs.asset_events import forget_asset_events
from media_assets.defs.failures import failure_of
from media_assets.defs.jobs import analyze_job, protect_job
from media_assets.defs.orphans import RUNS_IN_PROGRESS, fail_orphaned_runs, is_orphaned
from media_assets.defs.partitions import partition_order
from media_assets.defs.tags import sharing_tags
from media_assets.models.errors import ModelError
from media_assets.pipeline.assets import SHAREABLE
from media_assets.pipeline.intake import contiguous_ranges
from media_assets.pipeline.library import Library
from media_assets.pipeline.requests import backoff
from media_assets.pipeline.sharing_selection import due_files, read_rules
from media_assets.pipeline.sharing_skips import note_denied
from media_assets.pipeline.sharing_withdrawal import withdraw_copies
from media_assets.settings import SettingsError

# Ranges that one tick asks for; the queue starts one at a time (``dagster.yaml``).
_RUNS_PER_TICK = 8
_LOOKED_BACK = 8
_NOTED_PER_TICK = 5000


def _retry_at(instance: dg.DagsterInstance, now: datetime) -> datetime:
    """When files whose covering failed are tried again: later after each failed run, at once after a good one."""
    failures, last = 0, now
    for record in instance.get_run_records(dg.RunsFilter(job_name=protect_job.name), limit=_LOOKED_BACK):
        run = record.dagster_run
        # Nothing was wrong with the work when its process died.
        if run.status != dg.DagsterRunStatus.FAILURE or is_orphaned(run):
            break
        last = record.update_timestamp.astimezone(UTC) if failures == 0 else last
        failures += 1
    return last + backoff(failures) if failures else now


def protect_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Withdraw what must go, and request the runs that cover what may be shared and has no copy yet."""
    try:
        rules = read_rules(library)
        forget = partial(forget_asset_events, context.instance, SHAREABLE)
        withdrawn = withdraw_copies(library, forget_events=forget)
        noted = note_denied(library, rules, limit=_NOTED_PER_TICK)
        said = f"{withdrawn} copies were withdrawn. " if withdrawn else ""
        said += f"{noted} files are noted as not to be shared. " if noted else ""
        if not library.settings.share:
            return dg.SensorResult(skip_reason=f"{said}The setting `share` is off.")
        fail_orphaned_runs(context.instance, timedelta(seconds=library.settings.batch_dead_after_s))
        for job, doing in ((protect_job, "Copies are being made."), (analyze_job, "An analysis is running.")):
            filters = dg.RunsFilter(job_name=job.name, statuses=RUNS_IN_PROGRESS)
            if context.instance.get_run_records(filters, limit=1):
                return dg.SensorResult(skip_reason=said + doing)
        # A file that cannot be covered must not hold up the others.
        found = due_files(library, rules)
    except (ModelError, SettingsError) as error:
        raise failure_of(error) from None
    due = found.fresh or found.failed
    if not due:
        return dg.SensorResult(skip_reason=said + "Everything that may be shared has a copy.")
    now = datetime.now(UTC)
    retry_at = now if found.fresh else _retry_at(context.instance, now)
    if now < retry_at:
        again = retry_at.isoformat(timespec="seconds")
        return dg.SensorResult(skip_reason=f"{said}{len(due)} copies failed; tried again at {again}.")
    lacking = {media_id: {SHAREABLE} for media_id in due}
    ranges = contiguous_ranges(lacking, partition_order(context.instance), library.settings.batch_max_files)
    requests = [
        dg.RunRequest(tags=sharing_tags(media_ids[0], media_ids[-1]), asset_selection=[dg.AssetKey(SHAREABLE)])
        for media_ids, _ in islice(ranges, _RUNS_PER_TICK)
    ]
    if not requests:
        return dg.SensorResult(skip_reason=f"{said}{len(due)} files lack a copy, and none of them has a partition.")
    return dg.SensorResult(run_requests=requests)


def build_protect_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor, running from the start.

    Args:
        interval_s: Least time between two ticks.
    """

    @dg.sensor(
        name="protect_sensor",
        job=protect_job,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts `protect` for files that may be published, and withdraws copies that must go.",
    )
    def protect_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return protect_tick(context, library)

    return protect_sensor
