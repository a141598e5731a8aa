"""Sensors: the inbox becomes batches, new rows become a compaction.

What is new is decided in ``pipeline.intake``, when a batch is started (again) in ``pipeline.requests``. Here are only
the translation into Dagster's words and the look-ups in its instance.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from media_assets.defs.jobs import catalog_job, ingest_job
from media_assets.defs.orphans import RUNS_IN_PROGRESS, fail_orphaned_runs, has_died, is_orphaned
from media_assets.defs.partitions import close_batch, media_partitions, partition_order
from media_assets.defs.tags import RUN_KEY_TAG, batch_tags
from media_assets.pipeline.assets import METADATA
from media_assets.pipeline.bisect import bury
from media_assets.pipeline.intake import OPEN_BATCHES, SweepResult, narrowed, plan_batches, sweep
from media_assets.pipeline.library import Library
from media_assets.pipeline.liveness import is_dead, started_at
from media_assets.pipeline.requests import RunState, backoff, decide
from media_assets.storage.ledger_schema import Batch

# As OPEN_BATCHES, for those that have died, of which one run is requested at a time.
_OPEN_SUSPECTS = 32

# Compactions that are looked at to see how many failed in a row: with seven the wait is the longest.
_COMPACTIONS_LOOKED_AT = 8

_RUN_STATES: dict[dg.DagsterRunStatus, RunState] = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "failed",
    dg.DagsterRunStatus.STARTED: "started",
    dg.DagsterRunStatus.STARTING: "started",
}


def _run_state(run: dg.DagsterRun | None) -> RunState:
    if run is None:
        return "none"
    return "died" if has_died(run) else _RUN_STATES.get(run.status, "waiting")


@dataclass
class _Look:
    """What one tick finds out about the open batches.

    Attributes:
        due: Batches whose runs have to be requested.
        died: Whether the process of a batch was found dead.
        busy: Whether the run of a batch waits or works.
    """

    due: list[Batch] = field(default_factory=list)
    died: bool = False
    busy: bool = False


def _look(
    instance: dg.DagsterInstance, library: Library, batches: Sequence[Batch], now: datetime, *, others_died: bool
) -> _Look:
    """Move open batches on."""
    look = _Look()
    for batch in batches:
        due = _settle(instance, library, batch, now, look, others_died=others_died)
        if due is not None:
            look.due.append(due)
    return look


def _settle(
    instance: dg.DagsterInstance, library: Library, batch: Batch, now: datetime, look: _Look, *, others_died: bool
) -> Batch | None:
    """Move one open batch on; return it if its run has to be requested."""
    records = instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: batch.run_key}), limit=1)
    record = records[0] if records else None
    state = _run_state(record.dagster_run if record is not None else None)
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
    if decision.action == "wait":
        look.busy |= state != "none" or batch.state == "running"
        return None
    if decision.action == "close" and close_batch(instance, library, batch):
        return None
    if decision.action == "abandon" and record is not None:
        instance.report_run_failed(record.dagster_run, decision.message)
    if decision.died:
        look.died = True
        watched = batch.heartbeat_at is not None and batch.heartbeat_at >= started_at()
        positions = partial(partition_order, instance)
        bury(library.ledger, batch, now, positions, is_shared=others_died or not watched)
        close_batch(instance, library, batch)
        buried = library.ledger.batch(batch.batch_id)
        return buried if buried is not None and buried.state == "pending" and buried.not_before <= now else None
    reopened = library.ledger.reopen_batch(
        batch,
        message=decision.message or "Files of the batch changed while it ran.",
        not_before=decision.not_before or now,
        max_attempts=settings.batch_max_attempts,
    )
    return reopened if reopened.state == "pending" and reopened.not_before <= now else None


def _due_batches(instance: dg.DagsterInstance, library: Library, inbox_url: str, now: datetime) -> list[Batch]:
    """Move the oldest open batches on and return those that are due: of those that have died, one at a time."""
    suspects = library.ledger.suspect_ids(inbox_url)
    others = library.ledger.open_batches(inbox_url, OPEN_BATCHES, without=suspects, due_at=now)
    look = _look(instance, library, others, now, others_died=False)
    suspected = library.ledger.open_batches(inbox_url, _OPEN_SUSPECTS, only=suspects, due_at=now) if suspects else []
    alone = _look(instance, library, suspected, now, others_died=look.died)
    if not look.died and not suspects:
        return look.due
    known = library.ledger.suspect_ids(inbox_url)
    unsuspected = [batch for batch in look.due if batch.batch_id not in known]
    newly = [batch for batch in look.due if batch.batch_id in known]
    return unsuspected if alone.busy else unsuspected + (newly + alone.due)[:1]


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
        max_open=OPEN_BATCHES,
    )
    now = datetime.now(UTC)  # not earlier: batches that were planned just now are due
    due: list[Batch] = []
    partitions: list[str] = []
    for batch in _due_batches(context.instance, library, inbox.url, now):
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


def _failed_in_a_row(runs: Sequence[dg.DagsterRun]) -> int:
    """Count the newest runs that failed; nothing was wrong with the tables when a process died, so those end it."""
    count = 0
    for run in runs:
        if run.status != dg.DagsterRunStatus.FAILURE or is_orphaned(run):
            break
        count += 1
    return count


def catalog_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Request a compaction when there are new rows: at once when ingestion rests, else now and then."""
    now = datetime.now(UTC)
    pending = library.pending_parts()
    if not pending:
        return dg.SensorResult(skip_reason="The catalog is up to date.")
    fail_orphaned_runs(context.instance, timedelta(seconds=library.settings.batch_dead_after_s))
    runs = context.instance.get_run_records(dg.RunsFilter(job_name=catalog_job.name), limit=_COMPACTIONS_LOOKED_AT)
    if runs and not is_orphaned(runs[0].dagster_run) and runs[0].dagster_run.status in RUNS_IN_PROGRESS:
        return dg.SensorResult(skip_reason="A compaction is running.")
    last = datetime.fromisoformat(context.cursor) if context.cursor else None
    since = now - last if last is not None else timedelta.max
    # A store that did not answer is soon there again, a damaged part is rarely mended by itself.
    failures = _failed_in_a_row([record.dagster_run for record in runs])
    if failures and since < backoff(failures):
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
