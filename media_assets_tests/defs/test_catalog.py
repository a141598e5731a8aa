import socket
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from media_assets.defs.tags import WORKER_TAG
from media_assets.media.rendering import DEFAULT_OPTIONS
from media_assets.media.resize import RENDITION_SIZES
from media_assets.storage import catalog, keys
from media_assets.storage.tables import PartWriter, list_parts
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World
from media_assets_tests.pictures import jpeg, truncated_jpeg
from media_assets_tests.unit.storage.table_rows import row

RENDITIONS = len(RENDITION_SIZES) + len(DEFAULT_OPTIONS.optimized_formats)


def description_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return str(failure.step_failure_data.user_failure_data.description)


# ---------------------------------------------------------------- the asset


def test_the_catalog_counts_its_rows_and_checks_its_keys(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "bad.jpg": truncated_jpeg()})
    world.ingest()
    result = world.run({}, job="catalog_job")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    shown = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (shown["files_rows"], shown["renditions_rows"], shown["rejected_rows"]) == (1, RENDITIONS, 1)
    assert shown["parts_absorbed"] == 5  # one of each table
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("one_row_per_key", True)
    assert world.library.pending_parts() == 0


def test_a_key_that_stands_twice_fails_the_check_and_is_named(world: World) -> None:
    for month in ("2026-05", "2026-06"):
        PartWriter(world.library.store, "run").append("files", month, [row("files", "twice-1")])
    result = world.run({}, job="catalog_job")
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "twice-1" in str(check.metadata["duplicates"].value)


def test_a_damaged_part_fails_the_run_with_its_name(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    (part,) = list_parts(world.library.store, "files")
    world.library.store.put_bytes(part, b"no parquet")
    result = world.run({}, job="catalog_job")
    assert not result.success
    assert part in description_of(result)
    assert catalog.read_current(world.library.store, "renditions").num_rows == RENDITIONS  # the other tables are done


def test_a_second_compaction_at_the_same_time_says_so(world: World) -> None:
    with world.library.ledger.lease("catalog", "somebody else") as obtained:
        assert obtained
        result = world.run({}, job="catalog_job")
    assert not result.success
    assert description_of(result) == "Another process is compacting the catalog. Wait for it and try again."
    assert world.run({}, job="catalog_job").success


# ---------------------------------------------------------------- its sensor


def test_without_new_rows_there_is_nothing_to_do(world: World) -> None:
    result = world.tick("catalog_sensor")
    assert result.run_requests == []
    assert result.skip_message == "The catalog is up to date."


def test_new_rows_are_compacted_at_once_when_ingestion_rests(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.tick()  # closes the batch
    result = world.tick("catalog_sensor", cursor=datetime.now(UTC).isoformat())
    (request,) = result.run_requests
    assert datetime.fromisoformat(result.cursor) <= datetime.now(UTC)
    done = world.launch(request, job="catalog_job")
    assert done is not None
    assert done.success
    assert world.tick("catalog_sensor", cursor=result.cursor).skip_message == "The catalog is up to date."


@pytest.mark.parametrize(("seconds_ago", "requested"), [(1, 0), (61, 1)])
def test_while_files_arrive_it_runs_now_and_then(
    make_world: MakeWorld, drop: Drop, seconds_ago: int, requested: int
) -> None:
    world = make_world(batch_max_files=1)
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    first, _ = world.tick().run_requests
    world.launch(first)
    cursor = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    assert len(world.tick("catalog_sensor", cursor=cursor).run_requests) == requested
    assert len(world.tick("catalog_sensor").run_requests) == 1


def test_two_compactions_do_not_run_at_once(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.instance.create_run_for_job(
        world.definitions.resolve_job_def("catalog_job"), status=dg.DagsterRunStatus.STARTED
    )
    assert world.tick("catalog_sensor").skip_message == "A compaction is running."


def test_a_compaction_follows_one_whose_process_was_killed(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    killed = f"{socket.gethostname()}:1:1.00:0badcafe"  # process 1 did not start in 1970
    abandoned = world.library.ledger.lease("catalog", killed)
    assert abandoned.__enter__()
    assert world.run({}, job="catalog_job").success


@pytest.mark.parametrize("first_to_see", ["inbox_sensor", "catalog_sensor"])
def test_a_compaction_whose_process_died_is_started_again_at_once(world: World, drop: Drop, first_to_see: str) -> None:
    """Whichever sensor finds the dead run: after a power cut nobody waits as after a damaged table."""
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.tick("inbox_sensor")  # closes the batch: ingestion rests
    now = datetime.now(UTC).isoformat()
    died = world.instance.create_run_for_job(
        world.definitions.resolve_job_def("catalog_job"),
        status=dg.DagsterRunStatus.STARTED,
        tags={WORKER_TAG: f"{socket.gethostname()}:1:1.00"},
    )
    if first_to_see == "inbox_sensor":
        world.tick("inbox_sensor")
    assert len(world.tick("catalog_sensor", cursor=now).run_requests) == 1
    assert world.instance.get_run_by_id(died.run_id).status == dg.DagsterRunStatus.FAILURE


def test_a_compaction_that_fails_is_not_started_again_at_every_tick(world: World, drop: Drop) -> None:
    """A damaged part stays damaged: a red run every ten seconds helps nobody."""
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    (part,) = list_parts(world.library.store, "files")
    sound = world.library.store.get_bytes(part)
    world.library.store.put_bytes(part, b"no parquet")
    first = world.tick("catalog_sensor")
    world.launch(first.run_requests[0], job="catalog_job")
    second = world.tick("catalog_sensor", cursor=first.cursor)
    assert second.run_requests == []
    assert "failed" in second.skip_message
    assert second.cursor in (None, first.cursor)
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    world.library.store.put_bytes(part, sound)
    third = world.tick("catalog_sensor", cursor=an_hour_ago)
    done = world.launch(third.run_requests[0], job="catalog_job")
    assert done is not None
    assert done.success
    assert catalog.read_current(world.library.store, "files")["media_id"].to_pylist() == [keys.media_id("a.jpg")]


def test_a_compaction_is_tried_again_soon_and_later_after_each_failure(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.tick()  # closes the batch: nothing arrives any more
    (part,) = list_parts(world.library.store, "files")
    world.library.store.put_bytes(part, b"no parquet")
    for waits_s in (15, 30, 60):
        request = world.tick("catalog_sensor", cursor=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
        world.launch(request.run_requests[0], job="catalog_job")
        for ago_s, requested in ((waits_s - 5, 0), (waits_s + 1, 1)):
            cursor = (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat()
            assert len(world.tick("catalog_sensor", cursor=cursor).run_requests) == requested, (waits_s, ago_s)
