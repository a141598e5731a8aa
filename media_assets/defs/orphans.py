"""Runs whose process died without a word, together with whoever watched it (a killed service, a killed command).

Dagster's default launcher cannot ask for the health of a run worker, so such a run would be shown as running for ever,
take a place in the queue and keep others from starting. What becomes of its batch is decided in the sensors.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.defs.jobs import analyze_job, catalog_job, groups_job, ingest_job, protect_job
from media_assets.defs.tags import ORPHANED_TAG, WORKER_TAG
from media_assets.pipeline.liveness import is_dead, named_start

RUNS_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""States of runs that have not ended."""

_LAUNCHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_OUR_JOBS = {job.name for job in (ingest_job, analyze_job, protect_job, groups_job, catalog_job)}
_MESSAGE = "The process of this run has ended without a word: it was killed, or the machine went down."
_START_TIMEOUT = timedelta(seconds=180)  # that of run monitoring, which does the same where a daemon runs

_REASON_TAG = "dagster/failure_reason"  # the constant is not part of Dagster's public API
# A run that says one of these had a living process; one that died leaves none, or says that nothing is known.
_SAID = {"STEP_FAILURE", "RUN_EXCEPTION", "JOB_INITIALIZATION_FAILURE", "START_TIMEOUT", "UNEXPECTED_TERMINATION"}


def is_orphaned(run: dg.DagsterRun) -> bool:
    """Return whether this run was marked as failed because its process had died; a retry of it inherits its tags."""
    return run.tags.get(ORPHANED_TAG) == run.run_id


def _worker(record: dg.RunRecord) -> str | None:
    """Return the process that works on a run, ``None`` where it has not said so yet.

    A retry inherits the name of the process of the run before it, which is dead as a rule, and older than the retry.
    """
    run = record.dagster_run
    worker = run.tags.get(WORKER_TAG)
    if worker is None or run.parent_run_id is None:
        return worker
    return None if named_start(worker) < record.create_timestamp.astimezone(UTC) else worker


def has_died(run: dg.DagsterRun) -> bool:
    """Return whether a failed run did not get to say why: its process was found dead, by whomever."""
    failed = run.status == dg.DagsterRunStatus.FAILURE
    return failed and (is_orphaned(run) or run.tags.get(_REASON_TAG) not in _SAID)


def stuck_runs(instance: dg.DagsterInstance, dead_after: timedelta) -> list[dg.DagsterRun]:
    """Return the runs that are shown as going on though their process is certainly dead, or never came to be.

    Args:
        instance: The Dagster instance.
        dead_after: Age after which a run of our jobs counts as dead that never came to say who works on it.
    """
    now, found = datetime.now(UTC), []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_LAUNCHED)):
        run, worker = record.dagster_run, _worker(record)
        if worker is not None:
            stuck = is_dead(worker)
        else:
            patience = dead_after if run.status == dg.DagsterRunStatus.STARTED else max(dead_after, _START_TIMEOUT)
            stuck = run.job_name in _OUR_JOBS and now - record.update_timestamp.astimezone(UTC) >= patience
        if stuck:
            found.append(run)
    return found


def fail_orphaned_runs(instance: dg.DagsterInstance, dead_after: timedelta) -> None:
    """Mark runs as failed, and as orphaned, whose process is certainly dead; as canceled where that was asked for.

    Of runs of the inbox, of backfills and of those that people started, in any state after the queue.

    Args:
        instance: The Dagster instance.
        dead_after: See :func:`stuck_runs`.
    """
    for run in stuck_runs(instance, dead_after):
        # Read again: it may have ended in good order after it was listed. A dead process changes nothing any more.
        now_is = instance.get_run_by_id(run.run_id)
        if now_is is None or now_is.status != run.status:
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, _MESSAGE)
            continue
        instance.add_run_tags(run.run_id, {ORPHANED_TAG: run.run_id})  # first: both sensors look at failed runs
        instance.report_run_failed(run, _MESSAGE)
