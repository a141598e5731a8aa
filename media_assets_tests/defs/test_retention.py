"""Old events of runs: what goes, and that no partition changes its state."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from media_assets.defs import retention_sensor
from media_assets.defs.retention import prune_events
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg

LETTERS = dg.DynamicPartitionsDefinition(name="letters")
SOON = timedelta(minutes=1)


@dg.multi_asset(
    specs=[dg.AssetSpec("one", skippable=True, partitions_def=LETTERS)],
    check_specs=[dg.AssetCheckSpec("right", asset="one")],
    can_subset=True,
)
def _letters(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
    for key in context.partition_keys:
        context.log.info(f"looking at {key}")
        if key != "c":
            context.log_event(dg.AssetMaterialization("one", partition=key))
    yield dg.AssetCheckResult(check_name="right", passed=True)
    if "c" in context.partition_keys:
        raise dg.Failure("c is missing")


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.local_temp(str(tmp_path))


def run(instance: dg.DagsterInstance, first: str, last: str) -> str:
    instance.add_dynamic_partitions("letters", list("abcd"))
    job = dg.Definitions(assets=[_letters], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def states(instance: dg.DagsterInstance) -> dict[str, set[str]]:
    """By state, as the UI shows them, computed anew."""
    instance.event_log_storage.wipe_asset_cached_status(dg.AssetKey("one"))
    found = get_and_update_asset_status_cache_value(instance, dg.AssetKey("one"), LETTERS)
    assert found is not None
    return {
        "materialized": set(found.deserialize_materialized_partition_subsets(LETTERS).get_partition_keys()),
        "failed": set(found.deserialize_failed_partition_subsets(LETTERS).get_partition_keys()),
    }


def kinds(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    return {
        str(one.dagster_event.event_type_value) if one.dagster_event else "line" for one in instance.all_logs(run_id)
    }


def test_the_states_of_partitions_stay_and_the_lines_go(instance: dg.DagsterInstance) -> None:
    first = run(instance, "a", "b")
    second = run(instance, "b", "d")
    before = states(instance)
    assert before == {"materialized": {"a", "b", "d"}, "failed": {"c"}}
    assert {"line", "STEP_START"} <= kinds(instance, first)

    pruned = prune_events(instance, datetime.now(UTC) + SOON)
    assert pruned.runs == 2
    assert pruned.is_complete
    assert pruned.events > 10
    assert states(instance) == before
    assert len(instance.fetch_materializations(dg.AssetKey("one"), limit=10).records) == 4
    for run_id in (first, second):
        assert not {"line", "STEP_START", "ENGINE_EVENT"} & kinds(instance, run_id)
    assert {"PIPELINE_FAILURE", "STEP_FAILURE", "ASSET_CHECK_EVALUATION"} <= kinds(instance, second)
    record = instance.get_run_record_by_id(second)
    assert record is not None
    assert record.dagster_run.status == dg.DagsterRunStatus.FAILURE


def test_doing_it_again_changes_nothing(instance: dg.DagsterInstance) -> None:
    run(instance, "a", "d")
    later = datetime.now(UTC) + SOON
    assert prune_events(instance, later).events > 0
    assert prune_events(instance, later).events == 0


def test_young_runs_and_running_ones_are_left(instance: dg.DagsterInstance) -> None:
    ended = run(instance, "a", "b")
    job = dg.Definitions(assets=[_letters], jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    running = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    before = len(instance.all_logs(ended)), len(instance.all_logs(running.run_id))
    assert prune_events(instance, datetime.now(UTC) - timedelta(hours=1)).runs == 0
    pruned = prune_events(instance, datetime.now(UTC) + SOON)
    assert pruned.runs == 1
    assert len(instance.all_logs(running.run_id)) == before[1]


def test_it_goes_on_where_it_stopped(instance: dg.DagsterInstance) -> None:
    runs = [run(instance, letter, letter) for letter in "abd"]
    later = datetime.now(UTC) + SOON
    pruned = prune_events(instance, later, limit=2)
    assert (pruned.runs, pruned.is_complete) == (2, False)
    assert "line" in kinds(instance, runs[2])
    rest = prune_events(instance, later, pruned.last_updated_at, limit=2)
    assert (rest.runs, rest.is_complete) == (1, True)
    assert "line" not in kinds(instance, runs[2])


def test_space_is_given_back(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, "a", "d")
    storage = instance.event_log_storage
    assert isinstance(storage, SqliteEventLogStorage)
    path = Path(storage.path_for_shard(run_id))
    for _ in range(500):
        instance.report_engine_event("x" * 500, run_id=run_id, job_name="all")
    before = path.stat().st_size
    prune_events(instance, datetime.now(UTC) + SOON)
    assert path.stat().st_size < before / 2


def test_an_event_log_of_another_kind_is_named() -> None:
    class Elsewhere:
        event_log_storage = object()

    with pytest.raises(TypeError, match="object, which is no SQL database"):
        prune_events(Elsewhere(), datetime.now(UTC))  # type: ignore[arg-type]


class _In40Days(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(days=40)


def test_the_sensor_prunes_by_the_setting(world: World, drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop({"alice/a.jpg": jpeg()})
    (run_id,) = [one.run_id for one in world.ingest()]
    before = len(world.instance.all_logs(run_id))
    assert world.tick("retention_sensor").skip_message.startswith("0 events of 0 runs")
    assert len(world.instance.all_logs(run_id)) == before

    monkeypatch.setattr(retention_sensor, "datetime", _In40Days)
    pruned = world.tick("retention_sensor")
    assert "of 1 runs" in pruned.skip_message
    assert len(world.instance.all_logs(run_id)) < before
    assert world.status("metadata")["materialized"] == media_ids("alice/a.jpg")
    assert world.tick("retention_sensor", cursor=pruned.cursor).skip_message.startswith("0 events of 0 runs")


def test_the_sensor_can_be_switched_off(make_world: MakeWorld) -> None:
    world = make_world(event_retention_days=0)
    assert world.tick("retention_sensor").skip_message == "The setting `event_retention_days` is 0."
