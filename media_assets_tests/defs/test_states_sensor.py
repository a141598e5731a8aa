"""The sensor that works out the states of partitions before somebody asks for them."""

from unittest import mock

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue
from dagster._core.test_utils import create_run_for_test

from media_assets.defs import states_sensor
from media_assets.defs.partitions import media_partitions
from media_assets.pipeline.assets import PER_FILE_ASSETS
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import World
from media_assets_tests.pictures import jpeg


def kept(world: World, asset: str = "thumbnails") -> AssetStatusCacheValue | None:
    """What Dagster has kept of an asset, without working it out."""
    (record,) = world.instance.get_asset_records([dg.AssetKey(asset)])
    return record.asset_entry.cached_status


def test_states_are_kept_once_nothing_goes_on_and_worked_out_again_after_a_change(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    world.ingest()
    assert "arriving" in world.tick("states_sensor").skip_message
    assert kept(world) is None
    world.tick()  # closes the batch
    first = world.tick("states_sensor")
    known = kept(world)
    assert known is not None
    assert known.deserialize_materialized_partition_subsets(media_partitions).get_partition_keys() == set(
        world.partitions()
    )
    with mock.patch.object(states_sensor, "get_and_update_asset_status_cache_value") as work:
        assert world.tick("states_sensor", cursor=first.cursor).skip_message == "Nothing has changed."
        assert not work.called
        create_run_for_test(world.instance, job_name="catalog_job", status=dg.DagsterRunStatus.STARTED)
        assert "run goes on" in world.tick("states_sensor").skip_message
        assert not work.called


def test_a_tick_is_bounded_and_the_next_one_goes_on(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    world.tick()
    with mock.patch.object(states_sensor, "_MAX_SECONDS", 0.0):
        stopped = world.tick("states_sensor")
    assert "0 assets" in stopped.skip_message
    with mock.patch.object(states_sensor, "get_and_update_asset_status_cache_value") as work:
        world.tick("states_sensor", cursor=stopped.cursor)
    assert work.call_count == len(PER_FILE_ASSETS)
