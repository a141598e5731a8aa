"""Sensors: the inbox becomes batches, new rows become a compaction.

What is new is decided in ``pipeline.intake``, when a batch is started (again) in ``pipeline.requests``. Here are only
the translation into Dagster's words and the look-ups in its instance.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from media_assets.defs.jobs import catalog_job, ingest_job
from media_assets.defs.orphans import RUNS_IN_PROGRESS, fail_orphaned_runs
from media_assets.defs.partitions import close_batch, media_partitions, partition_order
from media_assets.defs.tags import ORPHANED_TAG, RUN_KEY_TAG, batch_tags
from media_assets.pipeline.assets import METADATA
from media_assets.pipeline.intake import SweepResult, narrowed, plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead
from media_assets.pipeline.requests import RunState, decide
from media_assets.storage.ledger_schema import Batch

# Batches that are looked at in one tick: bounds its look-ups, and the runs that wait in the queue.
_OPEN_BATCHES = 8

# What makes a compaction fail, a damaged part for example, is rarely mended by itself.
_AFTER_FAILED_COMPACTION = timedelta(minutes=15)

_RUN_STATES: dict[dg.DagsterRunStatus, RunState] = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "failed",
    dg.DagsterRunStatus.STARTED: "started",
    dg.DagsterRunStatus.STARTING: "started",
}


def _settle(instance: dg.DagsterInstance, library: Library, batch: Batch, now: datetime) -> Batch | None:
    """Move one open batch on; return it if its run has to be requested."""
    records = instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: batch.run_key}), limit=1)
    record = records[0] if records else None
    state = "none" if record is None else _RUN_STATES.get(record.dagster_run.status, "waiting")
    settings = library.settings
    decision = decide(
        batch,
        state,
        now,
        timedelta(seconds=settings.batch_dead_after_s),
        worker_dead=batch.worker is not None and is_dead(batch.worker),
        run_updated_at=record.update_timestamp.astimezone(UTC) if record is not None else None,
    )
    if decision.action == "request":
        return batch
    if decision.action == "wait" or (decision.action == "close" and close_batch(instance, library, batch)):
        return None
    if decision.action == "abandon" and record is not None:
        instance.report_run_failed(record.dagster_run, decision.message)
    reopened = library.ledger.reopen_batch(
        batch,
        message=decision.message or "Files of the batch changed while it ran.",
        not_before=decision.not_before or now,
        max_attempts=settings.batch_max_attempts,
    )
    return reopened if reopened.state == "pending" and reopened.not_before <= now else None


def _request(batch: Batch) -> dg.RunRequest:
    # Nothing but `metadata` is planned where only sidecars changed: a failure must not show on the other assets.
    selection = [dg.AssetKey(METADATA)] if batch.is_refresh else None
    return dg.RunRequest(run_key=batch.run_key, tags=batch_tags(batch), asset_selection=selection)


def _cursor(library: Library, found: SweepResult) -> str:
    """For people: the state of the sweep itself is in the ledger."""
    status = library.ledger.sweep_status(library.inbox().url)
    completed = status.completed_at.isoformat(timespec="seconds") if status and status.completed_at else None
    return json.dumps({"listed": found.listed, "new": found.new, "last_full_sweep": completed})


def inbox_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """List a bounded piece of the inbox, put what is new into batches, and request the runs that are due."""
    settings = library.settings
    library.ensure_inbox()
    inbox = library.inbox()
    found = sweep(
        library.ledger,
        inbox,
        page_size=settings.inbox_page_size,
        max_pages=settings.inbox_pages_per_tick,
        take_over=True,
    )

    positions = partial(partition_order, context.instance)
    plan_batches(
        library.ledger,
        inbox.url,
        positions,
        max_files=settings.batch_max_files,
        max_bytes=settings.batch_max_bytes,
    )
    now = datetime.now(UTC)  # not earlier: batches that were planned just now are due
    due: list[Batch] = []
    partitions: list[str] = []
    for open_batch in library.ledger.open_batches(inbox.url, _OPEN_BATCHES):
        batch = _settle(context.instance, library, open_batch, now)
        if batch is None:
            continue
        members = library.ledger.pending_members(batch.batch_id)
        if members:
            due.append(narrowed(batch, members, positions))
            partitions += [entry.media_id for entry in members]
        else:  # its run died after its last file was recorded, or newer versions of its files wait in other batches
            close_batch(context.instance, library, batch)
    # After the batches, whose dead runs start again at once: a failed one would wait.
    fail_orphaned_runs(context.instance, timedelta(seconds=settings.batch_dead_after_s))
    cursor = _cursor(library, found)
    if not due:
        return dg.SensorResult(
            skip_reason=f"{found.listed} objects listed below {inbox.url}, {found.new} new, no run to start.",
            cursor=cursor,
        )
    return dg.SensorResult(
        run_requests=[_request(batch) for batch in due],
        dynamic_partitions_requests=[media_partitions.build_add_request(partitions)],
        cursor=cursor,
    )


def catalog_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Request a compaction when there are new rows: at once when ingestion rests, else now and then."""
    now = datetime.now(UTC)
    pending = library.pending_parts()
    if not pending:
        return dg.SensorResult(skip_reason="The catalog is up to date.")
    fail_orphaned_runs(context.instance, timedelta(seconds=library.settings.batch_dead_after_s))
    runs = context.instance.get_run_records(dg.RunsFilter(job_name=catalog_job.name), limit=1)
    run = runs[0].dagster_run if runs else None
    # Nothing was wrong with the tables when its process died: no reason to wait. Either sensor may have seen it first.
    status = run.status if run is not None and ORPHANED_TAG not in run.tags else None
    if status in RUNS_IN_PROGRESS:
        return dg.SensorResult(skip_reason="A compaction is running.")
    last = datetime.fromisoformat(context.cursor) if context.cursor else None
    since = now - last if last is not None else timedelta.max
    if status == dg.DagsterRunStatus.FAILURE and since < _AFTER_FAILED_COMPACTION:
        return dg.SensorResult(skip_reason="The last compaction failed, its log says why. It is tried again later.")
    busy = library.ledger.open_batches(library.inbox().url, 1)
    if busy and since < timedelta(seconds=library.settings.catalog_interval_s):
        return dg.SensorResult(skip_reason=f"{pending} new parts; files are still arriving.")
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=now.isoformat())


def build_sensors(interval_s: int) -> list[dg.SensorDefinition]:
    """Return the sensors, running from the start.

    Args:
        interval_s: Least time between two ticks.
    """

    @dg.sensor(
        name="inbox_sensor",
        job=ingest_job,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Watches the inbox. New and changed files become partitions and ranged runs of `ingest`.",
    )
    def inbox_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return inbox_tick(context, library)

    @dg.sensor(
        name="catalog_sensor",
        job=catalog_job,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compacts the tables when there are new rows.",
    )
    def catalog_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return catalog_tick(context, library)

    return [inbox_sensor, catalog_sensor]
