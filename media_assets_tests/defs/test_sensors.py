"""The inbox sensor by ticks, on an ephemeral instance; each test is a short story of uploads, ticks and runs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from media_assets.defs.tags import RUN_KEY_TAG
from media_assets.pipeline import requests
from media_assets.pipeline.liveness import this_process
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StorageError
from media_assets.storage.ledger_schema import Batch
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def covered(world: World, request: dg.RunRequest) -> list[str]:
    """Partitions that the run of a request covers."""
    partitions = world.partitions()
    return partitions[partitions.index(request.tags[START]) : partitions.index(request.tags[END]) + 1]


def open_batches(world: World) -> list[Batch]:
    return world.library.ledger.open_batches(world.library.inbox().url, 100, with_exhausted=True)


def report(world: World, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run of the request that is in this state, without anything executed."""
    return create_run_for_test(world.instance, job_name="ingest_job", tags=dict(request.tags), status=status)


@pytest.fixture
def _no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "backoff", lambda attempt: timedelta(0))


# ---------------------------------------------------------------- what is new


def test_an_empty_inbox_starts_nothing(world: World) -> None:
    result = world.tick()
    assert result.run_requests == []
    assert not result.dynamic_partitions_requests
    assert "0 objects listed" in result.skip_message
    assert json.loads(result.cursor)["last_full_sweep"] is not None


def test_the_first_tick_asks_for_partitions_and_a_run_that_covers_them(world: World, drop: Drop) -> None:
    drop({"b.jpg": jpeg(1), "ann/a.jpg": jpeg(2), "c.jpg": jpeg(3)})
    result = world.tick()
    (request,) = result.run_requests
    expected = [keys.media_id(key) for key in ("ann/a.jpg", "b.jpg", "c.jpg")]
    assert world.partitions() == covered(world, request) == expected
    assert request.run_key == request.tags[RUN_KEY_TAG]
    assert request.tags["dagster/max_retries"] == "0"
    assert int(request.tags["dagster/priority"]) > 0
    assert json.loads(result.cursor) | {"last_full_sweep": None} == {"listed": 3, "new": 3, "last_full_sweep": None}


def test_when_nothing_is_new_nothing_is_requested(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    assert len(world.ingest()) == 1
    result = world.tick()
    assert result.run_requests == []
    assert "1 objects listed" in result.skip_message
    assert open_batches(world) == []


def test_only_what_is_new_gets_a_run(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "z.jpg": jpeg(2)})
    world.ingest()
    drop({"m.jpg": jpeg(3)})
    (request,) = world.tick().run_requests
    assert covered(world, request) == [keys.media_id("m.jpg")]


def test_a_new_version_of_an_old_file_gets_a_run_over_its_partition(world: World, drop: Drop) -> None:
    drop({f"{n}.jpg": jpeg(n) for n in range(4)})
    world.ingest()
    drop({"2.jpg": jpeg(9, size=(30, 20)), "new.jpg": jpeg(8)})
    ranges = []
    for request in world.tick().run_requests:
        ranges.append(covered(world, request))
        world.launch(request)
    assert ranges == [[keys.media_id("new.jpg")], [keys.media_id("2.jpg")]]
    assert len(world.events("original", "2.jpg")) == 2
    assert world.events("original", "2.jpg")[0].metadata["dimensions"].value == "30 x 20 px"
    world.library.compact()
    assert catalog.read_current(world.library.store, "files").num_rows == 5


def finish_batches(world: World) -> int:
    """End all open batches: their files have vanished. Returns how many there were."""
    batches = open_batches(world)
    for file in Path(world.library.settings.inbox_url).rglob("*.jpg"):
        file.unlink()
    for batch in batches:
        world.library.ledger.record_results([], gone=world.library.ledger.batch_members(batch.batch_id))
        world.library.ledger.finish_batch(batch.batch_id)
    return len(batches)


def test_batches_are_limited_and_each_range_covers_exactly_its_batch(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(batch_max_files=3)
    drop({f"{n:02}.jpg": jpeg(n) for n in range(10)})
    result = world.tick()
    assert [len(covered(world, request)) for request in result.run_requests] == [3, 3, 3, 1]
    assert [key for request in result.run_requests for key in covered(world, request)] == world.partitions()
    assert world.partitions() == [keys.media_id(f"{n:02}.jpg") for n in range(10)]
    assert len({request.run_key for request in result.run_requests}) == 4


def test_a_tick_lists_and_requests_a_bounded_piece_and_the_next_ones_the_rest(
    make_world: MakeWorld, drop: Drop
) -> None:
    world = make_world(inbox_page_size=3, inbox_pages_per_tick=2, batch_max_files=1)
    drop({f"{n:02}.jpg": jpeg(n) for n in range(14)})
    first = world.tick()
    assert json.loads(first.cursor)["listed"] == 6
    seen = {request.run_key for request in first.run_requests}
    for _ in range(3):
        seen |= {request.run_key for request in world.tick().run_requests}
    assert len(seen) == 8  # no more than that wait in the queue
    while finish_batches(world):
        world.tick()
    assert world.library.ledger.counts() == {"gone": 14}


def test_what_arrives_while_many_batches_wait_is_gathered(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(batch_max_files=4)
    drop({f"{n:02}.jpg": jpeg(n) for n in range(32)})
    assert len(world.tick().run_requests) == 8
    for number in range(5):
        drop({f"late-{number}.jpg": jpeg(number)})
        world.tick()
    finish_batches(world)
    assert [len(covered(world, request)) for request in world.tick().run_requests] == [4, 1]


def test_new_files_do_not_wait_for_many_scattered_newer_versions(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(batch_max_files=100)
    drop({f"{n:02}.jpg": jpeg(n) for n in range(40)})
    world.ingest()
    drop({f"{n:02}.jpg": jpeg(n, size=(30, 20)) for n in range(0, 40, 2)})  # 20 ranges
    assert len(world.tick().run_requests) == 7  # and the batch whose run has ended is closed
    drop({"new.jpg": jpeg(99)})
    world.tick()
    finish_batches(world)
    assert covered(world, world.tick().run_requests[0]) == [keys.media_id("new.jpg")]


def test_a_file_that_is_still_being_copied_is_left_alone(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(inbox_settle_s=3600.0)
    drop({"a.jpg": jpeg(1)})
    assert world.tick().run_requests == []
    assert make_world(inbox_settle_s=0.0).tick().run_requests != []


def test_a_file_that_changes_while_its_batch_waits_does_not_break_the_range(world: World, drop: Drop) -> None:
    """The first file of a batch gets a new version before any tick could ask for the run of the batch."""
    drop({f"{n}.jpg": jpeg(n) for n in range(8)})
    inbox, ledger = world.library.inbox(), world.library.ledger
    from media_assets.pipeline.intake import plan_batches, sweep

    sweep(ledger, inbox, page_size=100, max_pages=None, take_over=True)
    plan_batches(ledger, inbox.url, dict, max_files=4, max_bytes=10**9)
    drop({"0.jpg": jpeg(20), "7.jpg": jpeg(21)})
    done = world.ingest()
    assert [one.success for one in done] == [True] * 3
    assert world.status("original")["materialized"] == media_ids(*(f"{n}.jpg" for n in range(8)))
    world.tick()
    assert ledger.batch_counts() == {"done": 3}


def test_a_batch_whose_only_file_changed_before_its_run_is_not_run(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (first,) = world.tick().run_requests
    drop({"a.jpg": jpeg(2)})
    (second,) = world.tick().run_requests
    assert first.run_key != second.run_key
    assert world.launch(second).success  # type: ignore[union-attr]
    assert world.launch(first).success  # type: ignore[union-attr]
    assert world.tick().run_requests == []
    assert len(world.events("original", "a.jpg")) == 1


# ---------------------------------------------------------------- repeated ticks


def test_a_repeated_tick_asks_for_the_same_run_which_starts_once(world: World, drop: Drop) -> None:
    """The daemon died between evaluating the tick and recording it."""
    drop({"a.jpg": jpeg(1)})
    (first,) = world.tick().run_requests
    (second,) = world.tick().run_requests
    assert first.run_key == second.run_key
    assert world.launch(first) is not None
    assert world.launch(second) is None
    assert len(world.events("original", "a.jpg")) == 1


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
)
def test_a_batch_whose_run_waits_or_works_is_left_alone(world: World, drop: Drop, status: dg.DagsterRunStatus) -> None:
    drop({"a.jpg": jpeg(1)})
    (request,) = world.tick().run_requests
    report(world, request, status)
    assert world.tick().run_requests == []
    (batch,) = open_batches(world)
    assert (batch.state, batch.attempt) == ("pending", 1)


# ---------------------------------------------------------------- failed runs


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_failed_batch_is_requested_again_after_the_back_off_with_a_new_run_key(
    world: World, drop: Drop, status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    (first,) = world.tick().run_requests
    report(world, first, status)
    assert world.tick().run_requests == []
    (batch,) = open_batches(world)
    assert (batch.state, batch.attempt) == ("pending", 2)
    wait = batch.not_before - datetime.now(UTC)
    assert timedelta(seconds=5) < wait <= timedelta(seconds=15)
    monkeypatch.setattr("media_assets.defs.sensors.datetime", _later(wait))
    (second,) = world.tick().run_requests
    assert second.run_key != first.run_key
    assert second.run_key == batch.run_key
    assert covered(world, second) == [keys.media_id("a.jpg"), keys.media_id("b.jpg")]
    monkeypatch.undo()
    done = world.launch(second)
    assert done is not None
    assert done.success
    world.tick()
    assert open_batches(world) == []


def _later(by: timedelta) -> Any:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    return Later


@pytest.mark.usefixtures("_no_back_off")
def test_a_batch_that_fails_again_and_again_is_given_up_and_does_not_stop_others(
    make_world: MakeWorld, drop: Drop
) -> None:
    world = make_world(batch_max_attempts=3)
    drop({"a.jpg": jpeg(1)})
    run_keys = []
    for _ in range(3):
        (request,) = world.tick().run_requests
        run_keys.append(request.run_key)
        report(world, request, dg.DagsterRunStatus.FAILURE)
    assert len(set(run_keys)) == 3
    assert world.tick().run_requests == []
    (batch,) = open_batches(world)
    assert (batch.state, batch.message) == ("exhausted", "The run failed; its log says why.")
    drop({"b.jpg": jpeg(2)})
    (request,) = world.tick().run_requests
    assert covered(world, request) == [keys.media_id("b.jpg")]
    drop({"a.jpg": jpeg(3)})  # another upload is another try
    assert len(world.tick().run_requests) == 2
    assert [one.state for one in open_batches(world)] == ["pending", "pending"]


@pytest.mark.usefixtures("_no_back_off")
def test_a_run_that_succeeded_and_left_files_is_followed_by_another(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (first,) = world.tick().run_requests
    report(world, first, dg.DagsterRunStatus.SUCCESS)
    (second,) = world.tick().run_requests
    assert second.run_key != first.run_key


def test_a_run_whose_process_died_is_failed_and_its_batch_started_again(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (first,) = world.tick().run_requests
    run = report(world, first, dg.DagsterRunStatus.STARTED)
    (batch,) = open_batches(world)
    world.library.ledger.start_batch(batch.batch_id, run.run_id, this_process())
    assert world.tick().run_requests == []
    host, _, _ = this_process().rsplit(":", 2)
    world.library.ledger.start_batch(batch.batch_id, run.run_id, f"{host}:999999999:1.00")
    (second,) = world.tick().run_requests
    assert second.run_key != first.run_key
    failed = world.instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_silent_for_long_is_failed_and_its_batch_started_again(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1)})
    (first,) = world.tick().run_requests
    run = report(world, first, dg.DagsterRunStatus.STARTED)
    (batch,) = open_batches(world)
    world.library.ledger.start_batch(batch.batch_id, run.run_id, "another-host:1:1.00")
    assert world.tick().run_requests == []
    monkeypatch.setattr("media_assets.defs.sensors.datetime", _later(timedelta(seconds=121)))
    (second,) = world.tick().run_requests
    assert second.run_key == f"{batch.batch_id}-2"


def test_a_batch_in_work_by_the_command_line_is_left_alone(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.tick()
    (batch,) = open_batches(world)
    world.library.ledger.start_batch(batch.batch_id, "no run of this instance", this_process())
    assert world.tick().run_requests == []


# ---------------------------------------------------------------- the whole way


def test_uploads_between_ticks_all_end_in_the_catalog_once(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(batch_max_files=2, inbox_page_size=2, inbox_pages_per_tick=1)
    for n in range(5):
        drop({f"{n}.jpg": jpeg(n), f"{9 - n}.jpg": jpeg(50 + n)})
        world.ingest()
    for _ in range(8):
        world.ingest()
    assert world.library.ledger.counts() == {"accepted": 10}
    world.library.compact()
    assert catalog.read_current(world.library.store, "files").num_rows == 10
    assert catalog.check_unique(world.library.store, "files") == []
    assert world.status("original")["materialized"] == set(world.partitions())


def test_an_inbox_that_cannot_be_listed_fails_the_tick_with_what_to_do(make_world: MakeWorld) -> None:
    world = make_world(inbox="/no/such/folder")
    with pytest.raises(StorageError, match="Create it or pass another path"):
        world.tick()
