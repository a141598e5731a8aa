"""Job and sensor that follow the consents: what an owner withdraws goes with the next tick.

The register is read from the library, so that a tick that is repeated, or lost, changes nothing. An answer counts as
followed only when all runs have ended that went on when it was first seen, and could still write by an older one.
"""

from functools import partial

import dagster as dg

from media_assets.defs.asset_events import forget_asset_events
from media_assets.defs.failures import failure_of
from media_assets.defs.orphans import RUNS_IN_PROGRESS
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.revocation.applied import mark_seen, owners_pending
from media_assets.pipeline.revocation.apply import ConsentReport, apply_consents, summary
from media_assets.settings import SettingsError
from media_assets.storage.consents import publish_records
from media_assets.storage.errors import StorageError

PRIVACY_JOB = "privacy_job"
_INTERVAL_S = 30
_RUNNING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_PRIORITY_TAG = {"dagster/priority": "20"}


def runs_going_on(instance: dg.DagsterInstance, own_run_id: str | None = None) -> set[str]:
    """Return the other runs that go on: what they have read of consents may be old. One that is queued read nothing."""
    return set(instance.get_run_ids(dg.RunsFilter(statuses=_RUNNING))) - {own_run_id or ""}


def follow_consents(
    instance: dg.DagsterInstance, library: Library, run_id: str | None = None, *, everyone: bool = False
) -> ConsentReport:
    """Follow the consents, Dagster's events included; see :func:`apply_consents`.

    Raises:
        CompactionBusyError: The catalog is being compacted.
        StorageError: Store or ledger refuse.
        SettingsError: The policy file is not usable.
        TypeError: Dagster's event log is no SQL database.
    """
    return apply_consents(
        library,
        partial(forget_asset_events, instance),
        run_id=run_id,
        everyone=everyone,
        going_on=lambda: runs_going_on(instance, run_id),
    )


@dg.op(name="follow_consents", description="Deletes what owners do not allow any longer, and lets the rest be made.")
def _follow(context: dg.OpExecutionContext, library: dg.ResourceParam[Library]) -> None:
    try:
        report = follow_consents(context.instance, library, context.run_id)
    except (StorageError, SettingsError, CompactionBusyError) as error:
        raise failure_of(error) from None
    context.log.info(f"Consents of {report.owners} owners were followed: {dict(summary(report))}")
    if not report.is_settled:
        context.log.info(f"{len(report.awaited)} other runs went on meanwhile. It is done once more after them.")
    context.add_output_metadata({name.replace(" ", "_"): value for name, value in summary(report).items()})


@dg.job(
    name=PRIVACY_JOB, description="Follows what owners consent to. Started by the privacy sensor.", tags=_PRIORITY_TAG
)
def privacy_job() -> None:
    """Follow the register of consents."""
    _follow()


def privacy_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Request a run when an owner's answers were not followed yet."""
    try:
        consents = read_consents(library)
    except SettingsError as error:
        raise failure_of(error) from None
    publish_records(library.store)
    pending = owners_pending(library, consents)
    if not pending:
        return dg.SensorResult(skip_reason="All consents are followed.")
    going_on = runs_going_on(context.instance)
    seen = mark_seen(library.store, consents, pending, going_on)
    awaited = [going_on.intersection(one.awaited) if one.is_edited else set() for one in seen.values()]
    going = dg.RunsFilter(job_name=PRIVACY_JOB, statuses=RUNS_IN_PROGRESS)
    if context.instance.get_run_records(going, limit=1):
        return dg.SensorResult(skip_reason=f"The consents of {len(pending)} owners are being followed.")
    if all(awaited):
        runs = len(set().union(*awaited))
        again = f"It is done once more after {runs} runs that go on."
        return dg.SensorResult(skip_reason=f"The consents of {len(pending)} owners were followed. {again}")
    return dg.SensorResult(run_requests=[dg.RunRequest()])


def build_privacy_sensor() -> dg.SensorDefinition:
    """Return the sensor, running from the start."""

    @dg.sensor(
        name="privacy_sensor",
        job_name=PRIVACY_JOB,  # the job itself gets its resources where all definitions meet
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Follows consents that were given, withdrawn or have expired: deletes and recomputes.",
    )
    def privacy_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return privacy_tick(context, library)

    return privacy_sensor
