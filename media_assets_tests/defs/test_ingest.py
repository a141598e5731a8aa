"""Op ``ingest`` through its job on an ephemeral instance: is what Dagster shows true?"""

import base64
import io
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from PIL import Image

from media_assets.defs.checks import INGEST_CHECKS
from media_assets.defs.partitions import PARTITIONS_NAME
from media_assets.pipeline.assets import INGEST_ASSETS, code_version, data_version
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StoreUnreachable
from media_assets.storage.tables import list_parts
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg, truncated_jpeg

UNREACHABLE = StoreUnreachable("The store does not answer. Check the network.")


class RefusingStore:
    """The store of a library that does not take what ``refuses`` names."""

    def __init__(self, store: Any, refuses: str) -> None:
        self._store, self.refuses = store, refuses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_file(self, key: str, *rest: Any, **options: Any) -> None:
        if self.refuses in key:
            raise UNREACHABLE
        self._store.put_file(key, *rest, **options)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_partitions_are_green_only_where_the_file_is(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "bad.jpg": truncated_jpeg(), "c.jpg": jpeg(2), "empty.jpg": b""})
    (result,) = world.ingest()
    assert result.success
    for asset in INGEST_ASSETS:
        assert world.status(asset) == {
            "materialized": media_ids("a.jpg", "c.jpg"),
            "failed": set(),
            "in_progress": set(),
            "missing": media_ids("bad.jpg", "empty.jpg"),
        }
        assert world.instance.get_materialized_partitions(dg.AssetKey(asset)) == media_ids("a.jpg", "c.jpg")


def test_refused_files_lose_their_partition_after_the_run_and_get_it_back_with_a_sound_upload(
    world: World, drop: Drop
) -> None:
    """The range of the run begins and ends with a refused file: its keys must live as long as the run."""
    drop({"a-bad.jpg": truncated_jpeg(), "b.jpg": jpeg(1), "c.jpg": jpeg(2), "d-empty.jpg": b""})
    (result,) = world.ingest()
    assert result.success
    assert world.tick().run_requests == []
    assert world.library.ledger.batch_counts() == {"done": 1}
    assert set(world.partitions()) == media_ids("b.jpg", "c.jpg")
    assert world.status("thumbnails")["missing"] == set()
    assert world.backfill("b.jpg", "c.jpg", "thumbnails").success
    drop({"a-bad.jpg": jpeg(3)})
    (again,) = world.ingest()
    assert again.success
    assert world.status("original")["materialized"] == media_ids("a-bad.jpg", "b.jpg", "c.jpg")


def test_checks_that_are_executed_on_their_own_look_at_the_whole_library(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "bad.jpg": truncated_jpeg(), "c.jpg": jpeg(2)})
    world.ingest()
    world.library.compact()
    keys_of_checks = {spec.key for spec in INGEST_CHECKS}
    job = world.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=keys_of_checks
    )

    def results() -> dict[str, bool]:
        done = job.execute_in_process(instance=world.instance, raise_on_error=True)
        return {one.check_name: one.passed for one in done.get_asset_check_evaluations()}

    others = dict.fromkeys(("plausible_time", "plausible_position", "dimensions_match", "web_version_fits"), True)
    assert results() == {"decodable": False, "checksum_matches": True} | others
    path = str(world.events("original", "c.jpg")[0].metadata["stored_as"].value)
    world.library.store.put_bytes(path, b"rotten")
    assert results() == {"decodable": False, "checksum_matches": False} | others


def test_the_events_show_the_picture_and_where_it_came_from(world: World, drop: Drop) -> None:
    content = jpeg(1, size=(300, 200))
    drop({"ann/a b.jpg": content})
    world.ingest()
    (original,) = world.events("original", "ann/a b.jpg")
    shown = {name: value.value for name, value in original.metadata.items()}
    assert (shown["source_key"], shown["format"], shown["dimensions"]) == ("ann/a b.jpg", "jpeg", "300 x 200 px")
    assert shown["size_bytes"] == len(content)
    assert world.library.store.sha256(str(shown["stored_as"])) == shown["sha256"]
    (thumbnails,) = world.events("thumbnails", "ann/a b.jpg")
    markdown = thumbnails.metadata["preview"].value
    assert isinstance(markdown, str)
    data = markdown.removeprefix("![preview](data:image/jpeg;base64,").removesuffix(")")
    assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) == 150
    (metadata,) = world.events("metadata", "ann/a b.jpg")
    assert metadata.metadata["has_position"].value is False


def test_the_events_say_what_made_them_of_what(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    sha256 = str(world.events("original", "a.jpg")[0].metadata["sha256"].value)
    for asset in INGEST_ASSETS:
        tags = world.events(asset, "a.jpg")[0].tags or {}
        assert tags["dagster/code_version"] == code_version(asset)
        assert tags["dagster/data_version"] == data_version(asset, sha256)


def stale_status(world: World, asset: str, source_key: str) -> str:
    """What the UI says of a partition: FRESH, or STALE for one that is out of sync."""
    graph = world.definitions.resolve_asset_graph()
    context = LoadingContextForTest(world.instance)
    resolver = CachingStaleStatusResolver(world.instance, graph, context)
    return str(resolver.get_status(dg.AssetKey(asset), keys.media_id(source_key)).name)


def test_results_are_out_of_sync_exactly_when_their_original_is_another_one(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    assert {asset: stale_status(world, asset, "a.jpg") for asset in INGEST_ASSETS} == dict.fromkeys(
        INGEST_ASSETS, "FRESH"
    )
    assert world.backfill("a.jpg", "a.jpg", "original").success
    assert stale_status(world, "thumbnails", "a.jpg") == "FRESH"  # the same bytes again
    drop({"a.jpg": jpeg(2)})
    (request,) = world.tick().run_requests
    assert world.run(request.tags, ["original"]).success
    assert stale_status(world, "thumbnails", "a.jpg") == "STALE"
    assert world.backfill("a.jpg", "a.jpg", "metadata", "thumbnails").success
    assert stale_status(world, "thumbnails", "a.jpg") == "FRESH"


def test_a_duplicate_says_of_what(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(1)})
    world.ingest()
    assert "duplicate_of" not in world.events("original", "a.jpg")[0].metadata
    assert world.events("original", "b.jpg")[0].metadata["duplicate_of"].value == keys.media_id("a.jpg")


def test_checks_look_at_all_files_of_the_run(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "bad.jpg": truncated_jpeg()})
    found = checks(world.ingest()[0])
    assert {name: one.passed for name, one in found.items()} == {
        "decodable": False,
        "checksum_matches": True,
        "plausible_time": True,
        "plausible_position": True,
        "dimensions_match": True,
        "web_version_fits": True,
    }
    assert found["decodable"].severity == dg.AssetCheckSeverity.WARN
    assert found["decodable"].metadata["checked"].value == 2
    assert keys.media_id("bad.jpg") in str(found["decodable"].metadata["first"].value)
    assert found["dimensions_match"].metadata["checked"].value == 1


def test_a_subset_touches_nothing_else(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    world.ingest()
    result = world.backfill("a.jpg", "b.jpg", "thumbnails")
    assert result.success
    assert set(checks(result)) == {"dimensions_match"}
    assert {asset: len(world.events(asset, "a.jpg")) for asset in INGEST_ASSETS} == {
        "original": 1,
        "metadata": 1,
        "thumbnails": 2,
        "optimized": 1,
        "appearance": 1,
    }
    world.library.compact()
    rows = catalog.read_current(world.library.store, "renditions").to_pylist()
    assert {row["run_id"] for row in rows if row["asset"] == "thumbnails"} == {result.run_id}
    assert result.run_id not in {row["run_id"] for row in rows if row["asset"] == "optimized"}
    assert catalog.check_unique(world.library.store, "renditions") == []


def test_a_backfill_over_rejected_files_is_green_and_leaves_them_rejected(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "bad.jpg": truncated_jpeg(), "c.jpg": jpeg(3)})
    world.ingest()
    for assets in (("thumbnails",), INGEST_ASSETS):
        assert world.backfill("a.jpg", "c.jpg", *assets).success
        assert world.status("thumbnails")["missing"] == media_ids("bad.jpg")
        assert world.status("thumbnails")["failed"] == set()
    world.library.compact()
    (rejected,) = catalog.read_current(world.library.store, "rejected").to_pylist()
    assert (rejected["source_key"], rejected["attempts"]) == ("bad.jpg", 2)


@pytest.mark.usefixtures("_no_waiting")
def test_an_infrastructure_error_fails_the_run_after_all_other_files_and_the_next_attempt_does_only_what_is_missing(
    make_world: MakeWorld, drop: Drop
) -> None:
    world = make_world(flush_files=1)
    drop({"ann/a.jpg": jpeg(1), "bob/b.jpg": jpeg(2), "eve/c.jpg": jpeg(3)})
    sound = world.library.store
    world.library.store = RefusingStore(sound, "originals/bob/")  # type: ignore[assignment]
    (failed,) = world.ingest()
    assert not failed.success
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    described = str(failure.step_failure_data.user_failure_data)
    assert "1 files could not be processed" in described
    assert UNREACHABLE.message in described
    for asset in INGEST_ASSETS:
        assert world.status(asset)["materialized"] == media_ids("ann/a.jpg", "eve/c.jpg")
        assert world.status(asset)["failed"] == media_ids("bob/b.jpg")
    parts = set(list_parts(sound, "files"))
    world.library.store = sound
    (batch,) = world.library.ledger.open_batches(world.library.inbox().url, 9)
    again = world.run(failed.dagster_run.tags | {"media_assets/run_key": "another"})
    assert again.success
    assert world.materialized_by(again) == [keys.media_id("bob/b.jpg")] * len(INGEST_ASSETS)
    assert len(set(list_parts(sound, "files")) - parts) == 1
    assert world.status("original")["failed"] == set()
    assert world.status("original")["materialized"] == media_ids("ann/a.jpg", "bob/b.jpg", "eve/c.jpg")
    assert world.library.ledger.pending_members(batch.batch_id) == []


@pytest.mark.usefixtures("_no_waiting")
def test_a_retry_of_a_backfill_does_only_what_its_lineage_lacks(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    world.ingest()
    sound = world.library.store
    sha256 = str(world.events("original", "b.jpg")[0].metadata["sha256"].value)
    world.library.store = RefusingStore(sound, f"renditions/{sha256[:2]}/{sha256}")  # type: ignore[assignment]
    failed = world.backfill("a.jpg", "b.jpg", "thumbnails")
    assert not failed.success
    world.library.store = sound
    job = world.definitions.resolve_job_def("ingest_job").get_subset(asset_selection={dg.AssetKey("thumbnails")})
    retry = world.instance.create_run_for_job(
        job_def=job,
        tags=failed.dagster_run.tags,
        root_run_id=failed.run_id,
        parent_run_id=failed.run_id,
        asset_selection=frozenset({dg.AssetKey("thumbnails")}),
    )
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run

    assert execute_run(InMemoryJob(job), retry, world.instance).success
    assert len(world.events("thumbnails", "a.jpg")) == 2
    assert len(world.events("thumbnails", "b.jpg")) == 2


def test_a_store_that_is_lost_fails_the_run_with_one_sentence(
    world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1)})
    (request,) = world.tick().run_requests

    def refuse(*_: object, **__: object) -> bool:
        raise UNREACHABLE

    monkeypatch.setattr(type(world.library.store), "put_bytes", refuse)
    result = world.launch(request)
    assert result is not None
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description == UNREACHABLE.message
    assert world.library.ledger.counts() == {"pending": 1}


def test_a_partition_that_the_ledger_does_not_know_fails_the_run(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.instance.add_dynamic_partitions(PARTITIONS_NAME, ["stranger-0123456789ab"])
    result = world.run({"dagster/partition": "stranger-0123456789ab"})
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "unknown to the ledger" in failure.step_failure_data.user_failure_data.description


def test_one_partition_can_be_materialized_from_the_ui(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    world.ingest()
    result = world.run({"dagster/partition": keys.media_id("b.jpg")})
    assert result.success
    assert set(world.materialized_by(result)) == media_ids("b.jpg")
