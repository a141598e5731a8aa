"""Runs whose process died without a word, together with whoever watched it (a killed service, a killed command).

Dagster's default launcher cannot ask for the health of a run worker, so such a run would be shown as running for ever,
take a place in the queue and keep others from starting. What becomes of its batch is decided in the sensors.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.defs.jobs import analyze_job, catalog_job, groups_job, ingest_job
from media_assets.defs.tags import ORPHANED_TAG, WORKER_TAG
from media_assets.pipeline.liveness import is_dead

RUNS_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""States of runs that have not ended."""

_OUR_JOBS = {job.name for job in (ingest_job, analyze_job, groups_job, catalog_job)}
_MESSAGE = "The process of this run has ended without a word: it was killed, or the machine went down."


def fail_orphaned_runs(instance: dg.DagsterInstance, dead_after: timedelta) -> None:
    """Mark started runs as failed, and as orphaned, whose process is certainly dead.

    Args:
        instance: The Dagster instance.
        dead_after: Age after which a run of our jobs counts as dead that never came to say who works on it.
    """
    now = datetime.now(UTC)
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run, worker = record.dagster_run, record.dagster_run.tags.get(WORKER_TAG)
        if worker is not None:
            dead = is_dead(worker)
        else:
            silent = now - record.update_timestamp.astimezone(UTC)
            dead = run.job_name in _OUR_JOBS and silent >= dead_after
        if not dead:
            continue
        # Read again: it may have ended in good order after it was listed. A dead process changes nothing any more.
        now_is = instance.get_run_by_id(run.run_id)
        if now_is is not None and now_is.status == dg.DagsterRunStatus.STARTED:
            instance.add_run_tags(run.run_id, {ORPHANED_TAG: "true"})  # first: both sensors look at failed runs
            instance.report_run_failed(run, _MESSAGE)
