"""The sensor that lets ingested uploads leave the inbox, and the one that receives events."""

from pathlib import Path

import dagster as dg
import pytest

from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World
from media_assets_tests.pictures import jpeg


def inbox_files(world: World) -> set[str]:
    root = Path(world.library.settings.inbox_url)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def default_status(world: World, name: str) -> dg.DefaultSensorStatus:
    return world.definitions.get_repository_def().get_sensor_def(name).default_status


@pytest.mark.parametrize(
    ("after_ingest", "expected"),
    [
        ("keep", dg.DefaultSensorStatus.STOPPED),
        ("move", dg.DefaultSensorStatus.RUNNING),
        ("delete", dg.DefaultSensorStatus.RUNNING),
    ],
)
def test_the_sensor_runs_only_where_uploads_leave(
    make_world: MakeWorld, after_ingest: str, expected: dg.DefaultSensorStatus
) -> None:
    assert default_status(make_world(after_ingest=after_ingest), "departures_sensor") == expected


def test_uploads_leave_after_their_run_and_their_partitions_stay(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(after_ingest="move")
    drop({"alice/a.jpg": jpeg(1), "broken.jpg": b"no"})
    requests = world.tick().run_requests
    assert "0 uploads left" in (world.tick("departures_sensor").skip_message or "")
    assert inbox_files(world) == {"alice/a.jpg", "broken.jpg"}
    for request in requests:
        run = world.launch(request)
        assert run is not None
        assert run.success
    world.tick()  # the batch is closed
    assert (world.tick("departures_sensor").skip_message or "").startswith("1 uploads left the inbox, 0 were gone")
    assert inbox_files(world) == {"broken.jpg"}
    assert not world.tick().run_requests
    assert len(world.partitions()) == 1
    assert world.backfill("alice/a.jpg", "alice/a.jpg", "thumbnails").success  # reads the stored original


def test_where_uploads_stay_a_tick_says_so(world: World, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    world.ingest()
    assert "`keep`" in (world.tick("departures_sensor").skip_message or "")
    assert inbox_files(world) == {"a.jpg"}


def test_events_need_a_queue_and_a_bucket(make_world: MakeWorld, world: World) -> None:
    assert default_status(world, "inbox_events_sensor") == dg.DefaultSensorStatus.STOPPED
    assert "names no queue" in (world.tick("inbox_events_sensor").skip_message or "")
    with_queue = make_world(inbox_events_url="http://127.0.0.1:9/1/uploads")
    assert default_status(with_queue, "inbox_events_sensor") == dg.DefaultSensorStatus.RUNNING
    assert "this one is a folder" in (with_queue.tick("inbox_events_sensor").skip_message or "")
