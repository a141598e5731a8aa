"""Op ``protect`` and its sensor: what is requested and withdrawn, what is marked as done, and what the UI is given."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from media_assets.defs import protect_sensor
from media_assets.defs.tags import ONLY_MISSING_TAG, SHARING_TAG
from media_assets.pipeline.assets import SHAREABLE, code_version
from media_assets.pipeline.recipe import recipe_of
from media_assets.pipeline.sharing_pool import Covered
from media_assets.storage import catalog, keys
from media_assets.storage.consents import ConsentRecord, record_consent
from media_assets.storage.reviews import ReviewDecision, record_decision
from media_assets_tests import fake_models, fake_sharing
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import QUIET, MakeWorld, World, media_ids
from media_assets_tests.fake_sharing import SharingPool
from media_assets_tests.pictures import jpeg

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
ANN, BEN = ("ann/a.jpg", "ann/b.jpg"), "ben/c.jpg"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> SharingPool:
    fake_models.install(monkeypatch)
    return fake_sharing.install_pool(monkeypatch)


def says(world: World, owner: str, granted: bool) -> None:
    record_consent(
        world.library.store,
        ConsentRecord(
            owner=owner, purpose="publication", granted=granted, recorded_by="test", recorded_at=datetime.now(UTC)
        ),
    )


@pytest.fixture
def world(make_world: MakeWorld, drop: Drop, pool: SharingPool) -> World:
    """Three analysed pictures of two owners, one of whom lets hers be published."""
    made = make_world(analyze=True, publish_sensitive="allow")
    drop({name: jpeg(number) for number, name in enumerate((*ANN, BEN))})
    made.ingest()
    for request in made.tick("analysis_sensor").run_requests:
        made.launch(request, "analyze_job")
    made.library.compact()
    says(made, "ann", granted=True)
    return made


def share(world: World) -> list[dg.ExecuteInProcessResult]:
    """One tick of the sensor and the runs that it requests."""
    requests = world.tick("protect_sensor").run_requests
    return [done for one in requests if (done := world.launch(one, "protect_job")) is not None]


def stored(world: World) -> list[str]:
    return sorted(info.key for info in world.library.store.list(keys.SHAREABLE_FOLDER))


def skipped(world: World) -> list[tuple[str, str]]:
    world.library.compact()
    rows = catalog.read_current(world.library.store, "skipped").to_pylist()
    return sorted((row["media_id"], row["reason"]) for row in rows if row["asset"] == SHAREABLE)


def test_what_may_be_shared_gets_a_copy_in_one_run(world: World) -> None:
    (request,) = world.tick("protect_sensor").run_requests
    assert (request.tags[START], request.tags[END]) == tuple(map(keys.media_id, ANN))
    assert request.tags[ONLY_MISSING_TAG] == "true"
    assert 0 < int(request.tags["dagster/priority"]) < 5  # behind arrivals and their analysis
    done = world.launch(request, "protect_job")
    assert done is not None
    assert done.success
    assert done.dagster_run.tags[SHARING_TAG] == "true"
    assert world.status(SHAREABLE)["materialized"] == media_ids(*ANN)
    assert len(stored(world)) == 2
    assert "has a copy" in world.tick("protect_sensor").skip_message
    assert skipped(world) == [(keys.media_id(BEN), "no_consent")]


def test_a_materialization_shows_the_copy_and_nothing_that_identifies(world: World) -> None:
    share(world)
    (event,) = world.events(SHAREABLE, ANN[0])
    assert "data:image/webp;base64,AAAA" in str(event.metadata["preview"].value)
    assert event.metadata["state"].value == "published"
    assert event.metadata["faces_left"].value == 0
    assert event.tags["dagster/code_version"] == code_version(SHAREABLE, recipe_of(world.library.settings))
    (original,) = world.events("original", ANN[0])
    assert event.tags["dagster/input_data_version/original"] == original.tags["dagster/data_version"]
    for path in stored(world):
        assert path not in repr(event)
    assert "ann" not in repr(event.metadata).replace("channel", "")


def test_a_copy_that_is_held_fails_the_check_and_is_not_shown(world: World, pool: SharingPool) -> None:
    pool.answer = lambda task: fake_sharing.covered(
        task, faces_left=1 if keys.media_id(ANN[0]) in str(task.path) else 0
    )
    (run,) = share(world)
    assert run.success  # it is an outcome, not an error
    results = {one.check_name: one for one in run.get_asset_check_evaluations()}
    assert not results["no_face_left"].passed
    assert results["no_face_left"].severity == dg.AssetCheckSeverity.ERROR
    assert results["no_face_left"].metadata["not_passed"].value == 1
    assert results["no_metadata_left"].passed
    (event,) = world.events(SHAREABLE, ANN[0])
    assert event.metadata["state"].value == "held"
    assert "preview" not in event.metadata
    assert len(stored(world)) == 1


def test_a_tag_in_a_copy_fails_the_other_check(world: World, pool: SharingPool) -> None:
    pool.answer = lambda task: fake_sharing.covered(task, tags_left=("jpeg:APP1 Exif",))
    (run,) = share(world)
    results = {one.check_name: one for one in run.get_asset_check_evaluations()}
    assert results["no_face_left"].passed
    assert not results["no_metadata_left"].passed
    assert stored(world) == []


def run_checks(world: World) -> dict[str, dg.AssetCheckEvaluation]:
    chosen = {dg.AssetCheckKey(dg.AssetKey(SHAREABLE), name) for name in ("no_face_left", "no_metadata_left")}
    job = world.definitions.resolve_job_def("protect_job")
    done = job.get_subset(asset_selection=set(), asset_check_selection=chosen).execute_in_process(
        instance=world.instance, run_config=QUIET, raise_on_error=False
    )
    return {one.check_name: one for one in done.get_asset_check_evaluations()}


def test_checks_on_their_own_read_every_public_copy_anew(world: World) -> None:
    share(world)
    world.library.compact()
    assert {name: one.passed for name, one in run_checks(world).items()} == {
        "no_face_left": True,
        "no_metadata_left": True,
    }
    first, second = stored(world)
    data = world.library.store.get_bytes(first)
    world.library.store.put_bytes(first, data[:2] + b"\xff\xfe\x00\x09at home" + data[2:])
    world.library.store.delete(second)
    result = run_checks(world)["no_metadata_left"]
    assert not result.passed
    assert result.metadata["not_passed"].value == 2
    assert "COM" in str(result.metadata["first"].value)
    assert "missing" in str(result.metadata["first"].value)


def test_a_withdrawn_consent_withdraws_copies_with_the_next_tick(world: World) -> None:
    share(world)
    says(world, "ann", granted=False)
    result = world.tick("protect_sensor")
    assert "2 copies were withdrawn" in result.skip_message
    assert stored(world) == []
    world.library.compact()
    assert catalog.read_current(world.library.store, SHAREABLE).num_rows == 0
    assert {media_id for media_id, _ in skipped(world)} == media_ids(*ANN, BEN)
    says(world, "ann", granted=True)
    assert all(run.success for run in share(world))
    assert len(stored(world)) == 2
    assert skipped(world) == [(keys.media_id(BEN), "no_consent")]


def test_what_a_reviewer_blocks_goes_with_its_picture_in_the_ui(world: World) -> None:
    share(world)
    first = keys.media_id(ANN[0])
    sha256 = world.library.ledger.entries([first])[first].sha256 or ""
    at = datetime.now(UTC)
    block = ReviewDecision(
        media_id=first, owner="ann", input_version=sha256, decision="block", recorded_by="test", recorded_at=at
    )
    record_decision(world.library.store, block)
    result = world.tick("protect_sensor")
    assert len(stored(world)) == 1
    assert world.events(SHAREABLE, ANN[0]) == []
    assert len(world.events(SHAREABLE, ANN[1])) == 1
    for request in result.run_requests:
        world.launch(request, "protect_job")
    (event,) = world.events(SHAREABLE, ANN[0])
    assert (event.metadata["state"].value, event.metadata["reason"].value) == ("withheld", "review_blocked")
    assert "preview" not in event.metadata


def test_nothing_is_requested_while_copies_are_made_or_when_it_is_off(world: World, make_world: MakeWorld) -> None:
    world.instance.create_run_for_job(
        world.definitions.resolve_job_def("protect_job"), status=dg.DagsterRunStatus.STARTED, tags={}
    )
    assert "being made" in world.tick("protect_sensor").skip_message
    off = make_world(share=False)
    assert "`share` is off" in off.tick("protect_sensor").skip_message


def test_copies_that_failed_wait_and_new_ones_do_not(
    world: World, drop: Drop, pool: SharingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.answer = lambda task: Covered(error="no memory")
    (run,) = share(world)
    assert not run.success
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description == "no memory (2 files)"
    result = world.tick("protect_sensor")
    assert result.run_requests == []
    assert "2 copies failed" in result.skip_message
    drop({"ann/d.jpg": jpeg(9)})
    world.ingest()
    for request in world.tick("analysis_sensor").run_requests:
        world.launch(request, "analyze_job")
    (request,) = world.tick("protect_sensor").run_requests
    assert request.tags[START] == request.tags[END] == keys.media_id("ann/d.jpg")
    pool.answer = fake_sharing.covered
    world.launch(request, "protect_job")
    monkeypatch.setattr(protect_sensor, "backoff", lambda attempt: timedelta(0))
    assert all(run.success for run in share(world))
    assert len(stored(world)) == 3


def test_a_backfill_says_what_has_to_be_analysed_first(make_world: MakeWorld, drop: Drop, pool: SharingPool) -> None:
    world = make_world(analyze=True)
    drop({"ann/a.jpg": jpeg(1)})
    world.ingest()
    says(world, "ann", granted=True)
    run = world.run({START: keys.media_id("ann/a.jpg"), END: keys.media_id("ann/a.jpg")}, [SHAREABLE], "protect_job")
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.endswith("Materialize them first: media-assets reprocess --asset faces --asset texts --stale")
