"""A library, its definitions and an ephemeral instance, and the part of the daemon that the sensors rely on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from media_assets.defs.build import build_definitions
from media_assets.defs.partitions import PARTITIONS_NAME, media_partitions
from media_assets.defs.tags import range_tags
from media_assets.pipeline.library import Library
from media_assets.storage import keys

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class World:
    """A library with its Dagster: ticks and runs happen in this process.

    Attributes:
        launched: Run keys of the requests that were turned into runs; the daemon skips those that it has seen.
    """

    library: Library
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    launched: set[str] = field(default_factory=set)

    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(PARTITIONS_NAME))

    def tick(self, sensor: str = "inbox_sensor", cursor: str | None = None) -> Any:
        """Evaluate a sensor once and add the partitions that it asks for, as the daemon does."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources={"library": self.library}, definitions=self.definitions
        ) as context:
            result = self.definitions.get_repository_def().get_sensor_def(sensor).evaluate_tick(context)
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(PARTITIONS_NAME, list(request.partition_keys))
        return result

    def launch(self, request: dg.RunRequest, job: str = "ingest_job") -> dg.ExecuteInProcessResult | None:
        """Run a request; ``None`` when its run key was launched before."""
        if request.run_key is not None and request.run_key in self.launched:
            return None
        if request.run_key is not None:
            self.launched.add(request.run_key)
        return self.run(request.tags, [key.path[-1] for key in request.asset_selection or ()], job=job)

    def run(
        self, tags: Mapping[str, str], assets: Sequence[str] = (), job: str = "ingest_job", **options: Any
    ) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags=dict(tags),
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
            run_config=QUIET,
            raise_on_error=False,
            **options,
        )

    def ingest(self) -> list[dg.ExecuteInProcessResult]:
        """One tick and the runs that it requests."""
        return [done for one in self.tick().run_requests if (done := self.launch(one)) is not None]

    def backfill(self, first: str, last: str, *assets: str) -> dg.ExecuteInProcessResult:
        """A ranged run over the partitions of two source keys."""
        return self.run(range_tags(keys.media_id(first), keys.media_id(last)), assets)

    def status(self, asset: str) -> dict[str, set[str]]:
        """Partition keys of an asset by the status that the UI shows."""
        cached = get_and_update_asset_status_cache_value(self.instance, dg.AssetKey(asset), media_partitions)
        assert cached is not None

        def members(name: str) -> set[str]:
            subset = getattr(cached, f"deserialize_{name}_partition_subsets")(media_partitions)
            return set(subset.get_partition_keys())

        found = {name: members(name) for name in ("materialized", "failed", "in_progress")}
        found["missing"] = set(self.partitions()) - found["materialized"] - found["failed"]
        return found

    def materialized_by(self, run: dg.ExecuteInProcessResult) -> list[str | None]:
        """Partition key of each materialization that a run has stored; batches do not pass through its result."""
        stored = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        return [entry.get_dagster_event().partition for entry in stored]

    def events(self, asset: str, source_key: str) -> list[dg.AssetMaterialization]:
        """Materializations of one partition, newest first."""
        filters = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[keys.media_id(source_key)])
        records = self.instance.fetch_materializations(filters, limit=100).records
        return [one.asset_materialization for one in records if one.asset_materialization is not None]


MakeWorld: TypeAlias = Callable[..., World]


@pytest.fixture
def make_world(make_library: Callable[..., Library], _shared_decoder: None) -> Iterator[MakeWorld]:
    """Open the library in ``tmp_path`` with an instance of its own; arguments are settings."""
    instances: list[dg.DagsterInstance] = []

    def make(instance: dg.DagsterInstance | None = None, **settings: Any) -> World:
        library = make_library(**settings)
        if instance is None:
            instance = dg.DagsterInstance.ephemeral()
            instances.append(instance)
        return World(library, instance, build_definitions(library=library))

    yield make
    for instance in instances:
        instance.dispose()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def media_ids(*source_keys: str) -> set[str]:
    return {keys.media_id(key) for key in source_keys}
