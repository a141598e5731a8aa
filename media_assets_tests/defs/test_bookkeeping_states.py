"""The quick look for unfinished partitions says what Dagster's own says, whatever order runs had."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage

from media_assets.defs.bookkeeping.sqlite import EventLogStorage
from media_assets.defs.bookkeeping.states import QuickStates

KEY, OTHER = dg.AssetKey("thumbnails"), dg.AssetKey("faces")
_LOOK = "get_latest_asset_partition_materialization_attempts_without_materializations"


def entry(key: dg.AssetKey, partition: str | None, run_id: str, *, made: bool, at: float = 1.0) -> EventLogEntry:
    """An event as a run writes it."""
    if made:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        data: object = StepMaterializationData(dg.AssetMaterialization(asset_key=key, partition=partition))
    else:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        data = AssetMaterializationPlannedData(key, partition)
    event = dg.DagsterEvent(kind.value, "ingest_job", event_specific_data=data, step_key="ingest")  # type: ignore[arg-type]
    return EventLogEntry(None, 10, "", run_id, at, "ingest", "ingest_job", event)  # type: ignore[arg-type]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[EventLogStorage]:
    opened = EventLogStorage(str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        opened.register_instance(instance)
        yield opened
    opened.dispose()


def test_it_agrees_with_dagster(storage: EventLogStorage) -> None:
    assert issubclass(EventLogStorage, QuickStates)
    quick, own = getattr(storage, _LOOK), getattr(SqliteEventLogStorage, _LOOK)
    assert quick(KEY) == own(storage, KEY) == {}
    chance = random.Random(7)
    names = [f"file-{n}" for n in range(12)]
    for run in range(12):
        some = chance.sample(names, 5)
        events = [entry(key, one, f"run-{run}", made=False) for key in (KEY, OTHER) for one in some]
        events += [entry(KEY, one, f"run-{run}", made=True) for one in some if chance.random() < 0.6]
        storage.store_event_batch([*events, entry(KEY, None, f"run-{run}", made=False)])
        for after in (None, 5, 40):
            assert quick(KEY, after_storage_id=after) == own(storage, KEY, after_storage_id=after)
        assert quick(OTHER) == own(storage, OTHER)
    assert 0 < len(quick(KEY)) < len(names)  # the story has both kinds

    storage.wipe_asset(KEY)
    assert quick(KEY) == own(storage, KEY) == {}
    storage.store_event_batch([entry(KEY, "file-1", "after", made=False, at=time.time() + 60)])
    assert list(quick(KEY)) == list(own(storage, KEY)) == ["file-1"]
