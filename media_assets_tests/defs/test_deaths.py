"""Runs whose process dies, by ticks of the inbox sensor: repeated, halved, refused; and runs that seem to go on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from dagster._core.test_utils import create_run_for_test

from media_assets.defs.orphans import fail_orphaned_runs, has_died, is_orphaned, stuck_runs
from media_assets.defs.tags import ORPHANED_TAG, WORKER_TAG
from media_assets.pipeline import bisect
from media_assets.pipeline.liveness import this_process
from media_assets.storage import catalog
from media_assets.storage.ledger_schema import Batch
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import World, media_ids
from media_assets_tests.pictures import jpeg

HOST = this_process().rsplit(":", 2)[0]
DEAD = f"{HOST}:999999999:1.00"
MINUTE = timedelta(minutes=1)


def batch_of(world: World, request: dg.RunRequest) -> Batch:
    found = world.library.ledger.batch(request.tags["media_assets/batch"])
    assert found is not None
    return found


def die(world: World, request: dg.RunRequest) -> dg.DagsterRun:
    """The run of a request starts, says who works on it, and ends without a word."""
    status = dg.DagsterRunStatus.STARTED
    run = create_run_for_test(world.instance, job_name="ingest_job", tags=dict(request.tags), status=status)
    world.library.ledger.start_batch(batch_of(world, request).batch_id, run.run_id, DEAD)
    return run


@pytest.fixture(autouse=True)
def _no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisect, "backoff", lambda attempt: timedelta(0))


def work(world: World, kills: set[str], until: Callable[[], bool], most: int = 60) -> int:
    """Ticks and runs; a run over a file that kills dies unless it is refused unseen. Returns the number of runs."""
    runs = 0
    for _ in range(most):
        requests = world.tick().run_requests
        if not requests and until():
            return runs
        for request in requests:
            runs += 1
            waiting = world.library.ledger.pending_members(batch_of(world, request).batch_id)
            if any(one.source_key in kills and one.problem is None for one in waiting):
                die(world, request)
            else:
                world.launch(request)
    raise AssertionError(f"not done after {most} ticks: {world.library.ledger.unfinished(9)}")


def test_the_file_that_kills_is_refused_with_its_bytes_kept_and_the_others_are_done(world: World, drop: Drop) -> None:
    drop({f"{n}.jpg": jpeg(n) for n in range(6)})
    ledger = world.library.ledger
    runs = work(world, {"4.jpg"}, lambda: not ledger.unfinished(1))
    assert ledger.counts() == {"accepted": 5, "rejected": 1}
    assert runs <= 2 + 2 * 3 + 3
    world.library.compact()
    (row,) = catalog.read_current(world.library.store, "rejected").to_pylist()
    assert (row["source_key"], row["reason_code"], row["stage"]) == ("4.jpg", "run_killed", "ingest")
    assert row["permanent"] is False
    kept = list(world.library.store.list("quarantine/"))
    assert len(kept) == 1
    assert set(world.partitions()) == media_ids(*(f"{n}.jpg" for n in range(6) if n != 4))
    assert world.status("original")["materialized"] == set(world.partitions())


def test_batches_that_have_died_are_requested_one_at_a_time_and_do_not_stop_others(world: World, drop: Drop) -> None:
    drop({f"{n}.jpg": jpeg(n) for n in range(4)})
    for _ in range(2):
        (request,) = world.tick().run_requests
        die(world, request)
    world.tick()
    drop({"new.jpg": jpeg(9)})
    requests = world.tick().run_requests
    assert [batch_of(world, one).file_count for one in requests] == [1, 2]
    assert [batch_of(world, one).file_count for one in world.tick().run_requests] == [1, 2]  # the same run keys
    half = next(one for one in requests if batch_of(world, one).file_count == 2)
    create_run_for_test(
        world.instance, job_name="ingest_job", tags=dict(half.tags), status=dg.DagsterRunStatus.NOT_STARTED
    )
    assert [batch_of(world, one).file_count for one in world.tick().run_requests] == [1]


@pytest.mark.parametrize(
    ("reason", "died"),
    [
        ("STEP_FAILURE", False),
        ("RUN_EXCEPTION", False),
        ("UNEXPECTED_TERMINATION", False),
        ("UNKNOWN", True),
        (None, True),
    ],
)
def test_a_failure_that_says_why_is_no_death(world: World, drop: Drop, reason: str | None, died: bool) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    (request,) = world.tick().run_requests
    tags = dict(request.tags) | ({} if reason is None else {RUN_FAILURE_REASON_TAG: reason})
    run = create_run_for_test(world.instance, job_name="ingest_job", tags=tags, status=dg.DagsterRunStatus.FAILURE)
    world.library.ledger.start_batch(batch_of(world, request).batch_id, run.run_id, DEAD)
    assert has_died(run) is died
    world.tick()
    assert len(world.library.ledger.deaths(batch_of(world, request).batch_id)) == int(died)


def test_a_death_that_was_noticed_by_a_younger_watcher_is_shared(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1)})
    (request,) = world.tick().run_requests
    die(world, request)
    monkeypatch.setattr("media_assets.defs.sensors.started_at", lambda: datetime.now(UTC) + MINUTE)
    world.tick()
    assert [one.is_shared for one in world.library.ledger.deaths(batch_of(world, request).batch_id)] == [True]


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED),
    ],
)
@pytest.mark.parametrize("backfill", [False, True])
def test_runs_of_dead_processes_are_released(
    world: World, status: dg.DagsterRunStatus, ends: dg.DagsterRunStatus, backfill: bool
) -> None:
    tags = {WORKER_TAG: DEAD} | ({"dagster/backfill": "b"} if backfill else {})
    dead = create_run_for_test(world.instance, job_name="ingest_job", tags=tags, status=status)
    alive = create_run_for_test(world.instance, job_name="ingest_job", tags={WORKER_TAG: this_process()}, status=status)
    silent = create_run_for_test(world.instance, job_name="ingest_job", status=status)
    fail_orphaned_runs(world.instance, timedelta(days=1))
    found = {one.run_id: one for one in world.instance.get_runs()}
    assert found[dead.run_id].status == ends
    assert (ORPHANED_TAG in found[dead.run_id].tags) is (ends == dg.DagsterRunStatus.FAILURE)
    assert found[alive.run_id].status == found[silent.run_id].status == status


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING])
def test_a_retry_that_inherits_the_tags_of_a_dead_run_is_given_its_time(
    world: World, status: dg.DagsterRunStatus
) -> None:
    """Dagster copies the tags of a run to its automatic retry, the name of its dead process too."""
    started = dg.DagsterRunStatus.STARTED
    dead = create_run_for_test(world.instance, job_name="ingest_job", tags={WORKER_TAG: DEAD}, status=started)
    fail_orphaned_runs(world.instance, timedelta(days=1))
    tags = dict(world.instance.get_runs()[0].tags)
    retry = create_run_for_test(
        world.instance,
        job_name="ingest_job",
        tags=tags,
        status=status,
        parent_run_id=dead.run_id,
        root_run_id=dead.run_id,
    )
    fail_orphaned_runs(world.instance, timedelta(days=1))
    found = {one.run_id: one for one in world.instance.get_runs()}
    assert found[retry.run_id].status == status
    assert (is_orphaned(found[dead.run_id]), is_orphaned(found[retry.run_id])) == (True, False)
    own = f"{HOST}:999999999:{datetime.now(UTC).timestamp() + 60:.2f}"
    world.instance.add_run_tags(retry.run_id, {WORKER_TAG: own})
    assert [one.run_id for one in stuck_runs(world.instance, timedelta(days=1))] == [retry.run_id]


def test_a_run_that_never_said_who_works_on_it_is_given_the_time_to_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run_for_test(world.instance, job_name="ingest_job", status=dg.DagsterRunStatus.STARTING)
    create_run_for_test(world.instance, job_name="of_somebody_else", status=dg.DagsterRunStatus.STARTING)
    assert stuck_runs(world.instance, timedelta(0)) == []
    monkeypatch.setattr("media_assets.defs.orphans._START_TIMEOUT", timedelta(0))
    assert [run.job_name for run in stuck_runs(world.instance, timedelta(0))] == ["ingest_job"]
