"""What the Dagster instance says about runs that hang and daemons that are silent, for ``media-assets doctor``."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.defs.orphans import stuck_runs

# Dagster's own: a heartbeat every 30 s, and half an hour before the UI warns. A service whose daemon is restarted in
# seconds needs no such patience.
_TOLERATED_S = 120.0


@dataclass(frozen=True)
class StuckRun:
    """A run that is shown as going on though its process is dead."""

    run_id: str
    job: str
    status: str


@dataclass(frozen=True)
class Daemons:
    """What the daemons last said.

    Attributes:
        last_heartbeat_at: The newest of all daemons; ``None`` when none ever ran.
        silent: Those that said nothing for too long, or never said anything.
        queued: Runs that wait in the queue.
    """

    last_heartbeat_at: datetime | None
    silent: tuple[str, ...]
    queued: int


def find_stuck_runs(dead_after: timedelta) -> list[StuckRun]:
    """Return the stuck runs of the instance in ``DAGSTER_HOME``; see ``orphans.stuck_runs``."""
    with dg.DagsterInstance.get() as instance:
        return [StuckRun(run.run_id, run.job_name, run.status.value) for run in stuck_runs(instance, dead_after)]


def find_daemons() -> Daemons:
    """Return what the daemons of the instance in ``DAGSTER_HOME`` last said."""
    with dg.DagsterInstance.get() as instance:
        statuses = instance.get_daemon_statuses()
        needed = {name: one for name, one in statuses.items() if one.required}
        # Errors of an iteration, a failed tick for example, are no matter here.
        beats = {name: one.last_heartbeat.timestamp for name, one in needed.items() if one.last_heartbeat is not None}
        oldest = datetime.now(UTC).timestamp() - _TOLERATED_S
        return Daemons(
            last_heartbeat_at=datetime.fromtimestamp(max(beats.values()), UTC) if beats else None,
            silent=tuple(sorted(name.lower() for name in needed if beats.get(name, 0.0) < oldest)),
            queued=instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])),
        )
