"""Op ``analyze`` and its sensor: what is requested, what is marked as done, and what the UI is given."""

from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from media_assets.defs import analysis_sensor
from media_assets.defs.tags import ANALYSIS_TAG, ONLY_MISSING_TAG
from media_assets.models.findings import PictureFindings
from media_assets.pipeline.analysis_pool import AssetFindings, LookItem
from media_assets.pipeline.assets import ANALYZE_ASSETS, code_version
from media_assets.pipeline.recipe import recipe_of
from media_assets.storage import keys
from media_assets_tests import fake_models
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.fake_models import Pool, found
from media_assets_tests.pictures import jpeg

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    return fake_models.install(monkeypatch)


@pytest.fixture
def world(make_world: MakeWorld, drop: Drop) -> World:
    """A library with three ingested pictures that nothing has looked at."""
    made = make_world(analyze=True)
    drop({f"{name}.jpg": jpeg(number) for number, name in enumerate("abc")})
    made.ingest()
    return made


def analyze(world: World) -> list[dg.ExecuteInProcessResult]:
    """One tick of the sensor and the runs that it requests."""
    requests = world.tick("analysis_sensor").run_requests
    return [done for one in requests if (done := world.launch(one, "analyze_job")) is not None]


def test_what_has_a_preview_is_analysed_in_one_run_beside_backfills(world: World, pool: Pool) -> None:
    (request,) = world.tick("analysis_sensor").run_requests
    assert (request.tags[START], request.tags[END]) == (keys.media_id("a.jpg"), keys.media_id("c.jpg"))
    assert request.tags[ONLY_MISSING_TAG] == "true"
    assert 0 < int(request.tags["dagster/priority"]) < 10
    done = world.launch(request, "analyze_job")
    assert done is not None
    assert done.success
    assert done.dagster_run.tags[ANALYSIS_TAG] == "true"
    for asset in ANALYZE_ASSETS:
        assert world.status(asset)["materialized"] == media_ids("a.jpg", "b.jpg", "c.jpg")
    assert "Everything" in world.tick("analysis_sensor").skip_message


def test_only_new_files_are_analysed(world: World, drop: Drop, pool: Pool) -> None:
    analyze(world)
    pool.asked.clear()
    drop({"d.jpg": jpeg(9)})
    world.ingest()
    analyze(world)
    assert [len(task) for task in pool.asked] == [1]


def test_nothing_is_requested_while_an_analysis_runs_or_when_it_is_off(
    world: World, make_world: MakeWorld, pool: Pool
) -> None:
    world.instance.create_run_for_job(
        world.definitions.resolve_job_def("analyze_job"), status=dg.DagsterRunStatus.STARTED, tags={}
    )
    assert world.tick("analysis_sensor").run_requests == []
    off = make_world(analyze=False)
    assert off.tick("analysis_sensor").run_requests == []


def test_a_model_that_is_missing_fails_the_run_after_everything_else_is_done(world: World, pool: Pool) -> None:
    message = "Model nanodet-g is not here. Fetch it with: media-assets models pull nanodet-g"

    def answer(asset: str, item: LookItem) -> AssetFindings:
        return AssetFindings(error=message, is_model_error=True) if asset == "objects" else found(asset, item)

    pool.answer = answer
    (run,) = analyze(world)
    assert not run.success
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description == f"objects: {message} (3 files)"
    assert world.status("objects")["materialized"] == set()
    assert world.status("faces")["materialized"] == media_ids("a.jpg", "b.jpg", "c.jpg")


def test_failed_files_wait_and_new_ones_do_not(
    world: World, drop: Drop, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.answer = lambda asset, item: AssetFindings(error="no memory")
    analyze(world)
    result = world.tick("analysis_sensor")
    assert result.run_requests == []
    assert "3 files failed" in result.skip_message
    drop({"d.jpg": jpeg(9)})
    world.ingest()
    (request,) = world.tick("analysis_sensor").run_requests
    assert request.tags[START] == request.tags[END] == keys.media_id("d.jpg")
    pool.answer = found
    world.launch(request, "analyze_job")
    monkeypatch.setattr(analysis_sensor, "backoff", lambda attempt: timedelta(0))
    assert all(run.success for run in analyze(world))
    assert world.status("objects")["materialized"] == media_ids("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def test_a_backfill_of_one_asset_asks_for_that_asset_only(world: World, pool: Pool) -> None:
    analyze(world)
    pool.asked.clear()
    run = world.run({START: keys.media_id("a.jpg"), END: keys.media_id("b.jpg")}, ["faces"], job="analyze_job")
    assert run.success
    assert {(len(task), asset) for task in pool.asked for item in task for asset in item.assets} == {(2, "faces")}
    assert len(world.events("faces", "a.jpg")) == 2
    assert len(world.events("objects", "a.jpg")) == 1


def test_a_materialization_shows_what_was_found_and_what_it_was_made_from(world: World, pool: Pool) -> None:
    analyze(world)
    (event,) = world.events("objects", "a.jpg")
    recipe = recipe_of(world.library.settings)
    assert event.tags["dagster/code_version"] == code_version("objects", recipe)
    preview = world.library.ledger.previews([keys.media_id("a.jpg")])[keys.media_id("a.jpg")]
    assert event.tags["dagster/input_data_version/thumbnails"] == preview.data_version
    (thumbnails,) = world.events("thumbnails", "a.jpg")
    assert thumbnails.tags["dagster/data_version"] == preview.data_version
    assert event.metadata["found"].value == 1
    assert "| dog | 0.75 | 800 x 400 |" in event.metadata["table"].value
    (scenes,) = world.events("scenes", "a.jpg")
    assert "a beach" in str(scenes.metadata["caption"].value)


def test_texts_stay_out_of_the_event_log(world: World, pool: Pool) -> None:
    from media_assets.models.records import TextLine

    line = TextLine("secret words", 0.9, ((1.0, 1.0), (9.0, 1.0), (9.0, 5.0), (1.0, 5.0)))
    pool.answer = lambda asset, item: AssetFindings(found=(PictureFindings(texts=(line,)),))
    world.run({START: keys.media_id("a.jpg"), END: keys.media_id("a.jpg")}, ["texts"], job="analyze_job")
    (event,) = world.events("texts", "a.jpg")
    assert "secret" not in repr(event)
    assert "| 12 | 0.90 |" in event.metadata["table"].value


def test_a_box_outside_of_the_picture_fails_its_check(world: World, pool: Pool) -> None:
    from media_assets.models.records import DetectedObject

    outside = DetectedObject("dog", 0.9, (5000.0, 0.0, 5100.0, 100.0))

    def answer(asset: str, item: LookItem) -> AssetFindings:
        return AssetFindings(found=(PictureFindings(objects=(outside,)),)) if asset == "objects" else found(asset, item)

    pool.answer = answer
    (run,) = analyze(world)
    results = {one.check_name: one for one in run.get_asset_check_evaluations()}
    assert not results["objects_inside"].passed
    assert results["faces_inside"].passed
    assert results["vectors_have_length_one"].passed
    assert not results["nothing_to_review"].passed
    assert results["nothing_to_review"].severity == dg.AssetCheckSeverity.WARN


def stale_status(world: World, asset: str, source_key: str) -> str:
    """What the UI says of a partition: FRESH, or STALE for one that is out of sync."""
    graph = world.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(world.instance, graph, LoadingContextForTest(world.instance))
    return str(resolver.get_status(dg.AssetKey(asset), keys.media_id(source_key)).name)


def test_other_parameters_make_the_ui_show_only_their_asset_as_stale(
    world: World, make_world: MakeWorld, pool: Pool
) -> None:
    analyze(world)
    assert {asset: stale_status(world, asset, "a.jpg") for asset in ANALYZE_ASSETS} == dict.fromkeys(
        ANALYZE_ASSETS, "FRESH"
    )
    changed = make_world(world.instance, analyze=True, faces_threshold=0.55)
    shown = {asset: stale_status(changed, asset, "a.jpg") for asset in ANALYZE_ASSETS}
    assert {asset for asset, status in shown.items() if status == "STALE"} == {"faces"}
    assert "Everything" in changed.tick("analysis_sensor").skip_message  # what is out of date is redone when asked
    changed.run({START: keys.media_id("a.jpg"), END: keys.media_id("b.jpg")}, ["faces"], job="analyze_job")
    assert stale_status(changed, "faces", "a.jpg") == "FRESH"
    assert stale_status(changed, "faces", "c.jpg") == "STALE"


def test_new_thumbnails_make_the_analysis_stale(world: World, make_world: MakeWorld, pool: Pool) -> None:
    analyze(world)
    changed = make_world(world.instance, analyze=True, thumbnail_background="#000000")
    changed.backfill("a.jpg", "a.jpg", "thumbnails")
    assert stale_status(changed, "objects", "a.jpg") == "STALE"
    assert stale_status(changed, "objects", "b.jpg") == "FRESH"
