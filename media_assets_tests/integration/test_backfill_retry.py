"""A run of a backfill is killed: the daemon starts it again, and the new run does only what was not recorded."""

import json
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pyarrow.compute as pc
import pytest

from media_assets.defs.partitions import PARTITIONS_NAME
from media_assets.defs.tags import WORKER_TAG
from media_assets.pipeline.assets import TABLE_OF, THUMBNAILS
from media_assets.service import Service, free_port
from media_assets.storage.tables import read_parts
from media_assets_tests.integration.test_incremental import process_json, run_cli
from media_assets_tests.integration.test_kill import FILES, FLUSH, World, kill_9, photos, wait_for, world

__all__ = ["photos", "world"]  # fixtures

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

_LAUNCH = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def launch(service: Service, partitions: list[str]) -> str:
    params = {"assetSelection": [{"path": [THUMBNAILS]}], "partitionNames": partitions}
    body = json.dumps({"query": _LAUNCH, "variables": {"params": params}}).encode()
    request = urllib.request.Request(f"{service.url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said: dict[str, Any] = json.load(answer)
    return str(said["data"]["launchPartitionBackfill"]["backfillId"])


def made_by(world: World, run_id: str) -> set[str]:
    """Files of whose thumbnails a run wrote rows."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, part in read_parts(world.library.store, TABLE_OF[THUMBNAILS]):
        if "run_id" in part.column_names:
            rows = part.filter(pc.equal(part["asset"], THUMBNAILS))
            for media_id, run in zip(rows["media_id"].to_pylist(), rows["run_id"].to_pylist(), strict=True):
                found[str(run)].add(str(media_id))
    return found[run_id]


def test_a_backfill_whose_run_was_killed_redoes_only_what_is_missing(world: World, photos: Path) -> None:
    process_json(run_cli("process", photos, "--json", env=world.env))
    ids = sorted(world.library.ledger.entries(world.recorded()))
    assert len(ids) == FILES
    with Service(world.settings, port=free_port()) as service, dg.DagsterInstance.get() as instance:
        backfill_id = launch(service, list(instance.get_dynamic_partitions(PARTITIONS_NAME)))

        def runs() -> list[dg.DagsterRun]:
            filters = dg.RunsFilter(tags={"dagster/backfill": backfill_id})
            return [record.dagster_run for record in instance.get_run_records(filters, ascending=True)]

        def recorded_by(run_id: str) -> set[str]:
            return {
                media_id for media_id, assets in world.library.ledger.done_in_lineage(run_id, ids).items() if assets
            }

        def is_in_the_middle() -> bool:
            started = [run for run in runs() if WORKER_TAG in run.tags]
            return bool(started) and FLUSH <= len(recorded_by(started[0].run_id)) < FILES

        wait_for("the middle of the run", is_in_the_middle, service.check)
        (first,) = runs()
        kill_9(psutil.Process(int(first.tags[WORKER_TAG].rsplit(":", 2)[1])))
        recorded = recorded_by(first.run_id)
        assert FLUSH <= len(recorded) < FILES

        def has_ended() -> bool:
            backfill = instance.get_backfill(backfill_id)
            return backfill is not None and backfill.status.value.startswith(("COMPLETED", "FAILED", "CANCELED"))

        wait_for("the end of the backfill", has_ended, service.check)
        backfill = instance.get_backfill(backfill_id)
        assert backfill is not None
        assert backfill.status.value == "COMPLETED_SUCCESS"
        again = runs()[-1]
        assert [run.status.value for run in runs()] == ["FAILURE", "SUCCESS"]
        assert again.root_run_id == first.run_id
    made = made_by(world, again.run_id)
    assert made | recorded == set(ids)
    assert made & recorded == set()
