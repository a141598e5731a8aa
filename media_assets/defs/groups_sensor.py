"""Sensor of the assets that look at the whole library: people and near duplicates.

They are made anew when the catalog of what they read has changed and nothing is on its way to change it again, or now
and then while files keep coming.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from media_assets.defs.jobs import analyze_job, groups_job
from media_assets.defs.orphans import RUNS_IN_PROGRESS
from media_assets.models.vision_recipe import EMBEDDINGS, FACES
from media_assets.pipeline.assets import APPEARANCE
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.library import Library
from media_assets.storage import keys
from media_assets.storage.errors import ObjectMissing

_READ = (FACES, EMBEDDINGS, APPEARANCE)
_WHILE_BUSY = timedelta(minutes=15)


def catalog_version(library: Library) -> str:
    """Return what changes when the compacted tables do that groups are made of."""
    digest = hashlib.sha256()
    for table in _READ:
        try:
            digest.update(library.store.get_bytes(keys.catalog_manifest_key(table)))
        except ObjectMissing:
            continue
    # Consents and edits decide too.
    consents = read_consents(library)
    allowed = sorted(one for one in library.ledger.share_owners() if consents.allows(one, "recognition"))
    digest.update(json.dumps(allowed).encode())
    return digest.hexdigest()[:16]


def groups_tick(context: dg.SensorEvaluationContext, library: Library) -> dg.SensorResult:
    """Request a run when what the groups are made of has changed."""
    seen = json.loads(context.cursor) if context.cursor else {}
    version = catalog_version(library)
    if version == seen.get("version"):
        return dg.SensorResult(skip_reason="Nothing has changed.")
    running = dg.RunsFilter(job_name=groups_job.name, statuses=RUNS_IN_PROGRESS)
    if context.instance.get_run_records(running, limit=1):
        return dg.SensorResult(skip_reason="The groups are being made.")
    now = datetime.now(UTC)
    analyzing = dg.RunsFilter(job_name=analyze_job.name, statuses=RUNS_IN_PROGRESS)
    is_busy = (
        library.pending_parts() > 0
        or bool(library.ledger.open_batches(library.inbox().url, 1))
        or bool(context.instance.get_run_records(analyzing, limit=1))
    )
    last = datetime.fromisoformat(seen["at"]) if "at" in seen else now
    if is_busy and ("at" not in seen or now - last < _WHILE_BUSY):
        cursor = json.dumps({"at": now.isoformat(), **seen})
        return dg.SensorResult(skip_reason="Files are still arriving or being analysed.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest()], cursor=json.dumps({"version": version, "at": now.isoformat()})
    )


def build_groups_sensor(interval_s: int) -> dg.SensorDefinition:
    """Return the sensor, running from the start.

    Args:
        interval_s: Least time between two ticks.
    """

    @dg.sensor(
        name="groups_sensor",
        job=groups_job,
        minimum_interval_seconds=interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Groups faces into people, and finds near duplicates, when the catalog has changed.",
    )
    def groups_sensor(context: dg.SensorEvaluationContext, library: dg.ResourceParam[Library]) -> dg.SensorResult:
        return groups_tick(context, library)

    return groups_sensor
