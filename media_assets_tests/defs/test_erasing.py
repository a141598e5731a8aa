"""Erasing files from Dagster: whatever names a partition, in any table and any file of the instance."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.test_utils import create_run_for_test

from media_assets.defs.erasing import (
    DagsterEraser,
    ErasureBusyError,
    check_idle,
    erase_partitions,
    find_names,
    give_space_back,
)
from media_assets.defs.tags import range_tags
from media_assets.instance import instance_config
from media_assets.storage import keys
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg

GONE, STAYS = "ann/telling-one.jpg", "bob/other.jpg"
GONE_ID, STAYS_ID = keys.media_id(GONE), keys.media_id(STAYS)
NAMES = [GONE_ID, GONE]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    (folder / "dagster.yaml").write_text(instance_config())
    return folder


@pytest.fixture
def world(make_world: MakeWorld, home: Path, drop: Drop) -> Iterator[World]:
    """An instance on disk, as the product configures it, with two files that are done."""
    with dg.DagsterInstance.get() as instance:
        made = make_world(instance)
        drop({GONE: jpeg(1), STAYS: jpeg(2)})
        made.ingest()
        made.tick()
        yield made


def files_with(home: Path, *needles: str) -> set[str]:
    """Files of the instance in which one of these stands, free pages and compressed rows aside."""
    found = set()
    for path in sorted(home.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".db":
                with closing(sqlite3.connect(path)) as connection:
                    content += "\n".join(connection.iterdump()).encode()
            if any(needle.encode() in content for needle in needles):
                found.add(str(path.relative_to(home)))
    return found


def test_nothing_names_an_erased_partition(world: World, home: Path) -> None:
    assert files_with(home, GONE_ID)
    assert find_names(world.instance, NAMES)
    done = erase_partitions(world.instance, [GONE_ID], NAMES)
    assert (done.partitions, done.run_logs) == (1, 1)
    assert done.events >= 5 * 2
    assert find_names(world.instance, NAMES) == []
    give_space_back(world.instance)
    assert files_with(home, *NAMES) == set()
    assert files_with(home, STAYS_ID)
    again = erase_partitions(world.instance, [GONE_ID], NAMES)
    assert (again.partitions, again.events, again.redacted) == (0, 0, 0)


def test_the_others_are_shown_as_before(world: World) -> None:
    before = world.events("thumbnails", STAYS)
    erase_partitions(world.instance, [GONE_ID], NAMES)
    assert world.partitions() == [STAYS_ID]
    for asset in ("original", "thumbnails"):
        assert world.status(asset)["materialized"] == {STAYS_ID}
        assert world.status(asset)["missing"] == world.status(asset)["failed"] == set()
        event = world.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.get_dagster_event().partition == STAYS_ID
    assert world.events("thumbnails", STAYS) == before
    assert world.events("thumbnails", GONE) == []
    (record,) = world.instance.get_run_records()
    assert record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
    assert world.instance.all_logs(record.dagster_run.run_id)
    # It can be worked on as before.
    assert world.backfill(STAYS, STAYS, "thumbnails").success


def test_runs_backfills_ticks_and_cursors_do_not_name_it(world: World, home: Path) -> None:
    instance = world.instance
    create_run_for_test(
        instance, job_name="analyze_job", tags=range_tags(GONE_ID, STAYS_ID), status=dg.DagsterRunStatus.SUCCESS
    )
    backfill = PartitionBackfill(
        backfill_id="abcdefgh",
        status=BulkActionStatus.COMPLETED_SUCCESS,
        from_failure=False,
        tags={"note": f"of {GONE}"},
        backfill_timestamp=time.time(),
        partition_names=[GONE_ID, STAYS_ID],
        reexecution_steps=[],
    )
    instance.add_backfill(backfill)
    instance.create_tick(
        TickData(
            "origin",
            "sensor",
            InstigatorType.SENSOR,
            TickStatus.SUCCESS,
            time.time(),
            run_ids=["r"],
            run_keys=[f"k {GONE_ID}"],
            cursor=GONE,
        )
    )
    instance.run_storage.set_cursor_values({"of a daemon": json.dumps({"at": GONE_ID})})
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("near_duplicates"),
            check_name="whole_groups",
            passed=False,
            metadata={"groups": dg.MetadataValue.json([GONE_ID, STAYS_ID])},
        )
    )
    assert {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"} <= files_with(home, GONE_ID)
    eraser = DagsterEraser(instance)
    assert set(eraser.places_naming(NAMES)) >= {
        "dagster/run_tags",
        "dagster/kvs",
        "dagster/job_ticks",
        "dagster/bulk_actions",
    }
    eraser.erase([GONE_ID], NAMES)
    eraser.give_space_back()
    assert eraser.places_naming(NAMES) == []
    assert files_with(home, *NAMES) == set()
    (left,) = instance.get_backfills()
    assert left.partition_names == ["erased-000000000000", STAYS_ID]
    (tick,) = instance.get_ticks("origin", "sensor")
    assert tick.cursor == "erased-000000000000"
    assert eraser.knows_run(instance.get_run_records()[0].dagster_run.run_id)
    assert not eraser.knows_run("none")


def test_compute_logs_of_its_runs_are_deleted(world: World, home: Path) -> None:
    (record,) = world.instance.get_run_records()
    log_key = [record.dagster_run.run_id, "compute_logs", "ingest"]
    logs = world.instance.compute_log_manager
    for run_key in (log_key, ["0" * 8 + "-another-run", "compute_logs", "ingest"]):
        with logs.open_log_stream(run_key, ComputeIOType.STDERR) as stream:
            stream.write(f"warning about {GONE_ID}" if run_key is log_key else "nothing")
    assert [name for name in files_with(home, GONE_ID) if "compute_logs" in name]
    erase_partitions(world.instance, [GONE_ID], NAMES)
    assert not [name for name in files_with(home, GONE_ID) if "compute_logs" in name]
    assert list(home.rglob("*another-run*"))


def test_nothing_is_erased_while_runs_go_on(world: World) -> None:
    check_idle(world.instance)
    run = create_run_for_test(world.instance, job_name="catalog_job", status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(ErasureBusyError, match=run.run_id):
        check_idle(world.instance)
    world.instance.report_run_canceled(run)
    world.instance.add_backfill(
        PartitionBackfill(
            backfill_id="abcdefgh",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=time.time(),
            partition_names=[STAYS_ID],
            reexecution_steps=[],
        )
    )
    with pytest.raises(ErasureBusyError, match="abcdefgh"):
        check_idle(world.instance)
    assert world.partitions() == sorted(media_ids(GONE, STAYS), key=world.partitions().index)
