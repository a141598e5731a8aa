"""``SqliteStorage`` beside Dagster's own: the same rows after the same events, in threads and forks and both ways."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEventBatchMetadata
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from hypothesis import given, settings
from hypothesis import strategies as st

from media_assets.defs.bookkeeping import batches
from media_assets.defs.bookkeeping.rows import event_rows
from media_assets.defs.bookkeeping.sqlite import EventLogStorage
from media_assets_tests.defs.bookkeeping import (
    ASSETS,
    RUNS,
    database,
    instance_of,
    materialized,
    planned,
    said,
    store_in_child,
)

OURS = "media_assets.defs.bookkeeping.sqlite:SqliteStorage"
STOCK = "dagster._core.storage.sqlite_storage:DagsterSqliteStorage"
media = dg.DynamicPartitionsDefinition(name="media")

# Without a file: what is called of it reads the event only.
_bare = SqliteEventLogStorage.__new__(SqliteEventLogStorage)
_texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
_times = st.floats(1.7e9, 1.8e9, allow_nan=False)
_runs, _assets = st.sampled_from(RUNS), st.sampled_from(ASSETS)
_partitions = st.one_of(st.none(), st.sampled_from(["a", 'b"\\', "ü"]))
_values = st.one_of(
    _texts.map(dg.MetadataValue.text),
    _texts.map(dg.MetadataValue.md),
    _texts.map(dg.MetadataValue.url),
    st.integers().map(dg.MetadataValue.int),
    st.floats(allow_nan=False).map(dg.MetadataValue.float),
    st.booleans().map(dg.MetadataValue.bool),
    st.just(dg.MetadataValue.null()),
    st.lists(_texts).map(dg.MetadataValue.json),
    st.builds(dg.MetadataValue.asset, _assets.map(dg.AssetKey)),
)
# Text that looks like what the packed common part has in it.
_labels = st.one_of(_texts, st.sampled_from(['"metadata_entries": []', "partition", '{"a": "tag"}']))
_events = st.one_of(
    st.builds(planned, _runs, _assets, _partitions, _times),
    st.builds(materialized, _runs, _assets, _partitions, _times, _texts),
    st.builds(
        materialized,
        _runs,
        _assets,
        _partitions,
        _times,
        description=st.one_of(st.none(), _texts),
        metadata=st.dictionaries(_labels, _values, max_size=4),
        tags=st.dictionaries(
            st.sampled_from(["dagster/data_version", "b", "a"]),
            st.from_regex(r"[A-Za-z0-9_.-]{1,9}", fullmatch=True),
            max_size=3,
        ),
    ),
)
_sequences = st.lists(st.one_of(st.builds(said, _runs, _times), st.lists(_events, min_size=1, max_size=6)), max_size=5)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "100")
    home = tmp_path / "home"
    home.mkdir()
    return home


@given(events=st.lists(_events, min_size=1, max_size=12))
def test_the_text_of_an_event_is_that_of_dagster(events: list[EventLogEntry]) -> None:
    for row, event in zip(event_rows(events), events, strict=True):
        assert row.values == SqliteEventLogStorage._event_to_row(_bare, event)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteEventLogStorage, EventLogStorage, Path]]:
    folder = tmp_path_factory.mktemp("rows")
    stock, ours = SqliteEventLogStorage(str(folder / "stock")), EventLogStorage(str(folder / "ours"))
    yield stock, ours, folder
    ours.dispose()


@settings(max_examples=10, deadline=None)
@given(sequence=_sequences)
def test_rows_are_those_of_dagster(
    sequence: Sequence[EventLogEntry | list[EventLogEntry]], pair: tuple[SqliteEventLogStorage, EventLogStorage, Path]
) -> None:
    stock, ours, _ = pair
    for one in sequence:
        for storage in (stock, ours):
            if isinstance(one, list):
                storage.store_event_batch(one)
            else:
                storage.store_event(one)
    assert database(ours) == database(stock)


def test_each_opens_what_the_other_has_written(
    pair: tuple[SqliteEventLogStorage, EventLogStorage, Path],
) -> None:
    stock, ours, folder = pair
    for storage in (stock, ours):
        storage.store_event_batch([materialized(RUNS[0], "original", "z", 1.75e9)])
    opened = EventLogStorage(str(folder / "stock"))
    assert database(SqliteEventLogStorage(str(folder / "ours"))) == database(opened)
    opened.dispose()


def _status(instance: dg.DagsterInstance, asset: str) -> dict[str, set[str]]:
    cached = get_and_update_asset_status_cache_value(instance, dg.AssetKey(asset), media)
    assert cached is not None
    return {
        name: set(getattr(cached, f"deserialize_{name}_partition_subsets")(media).get_partition_keys())
        for name in ("materialized", "failed", "in_progress")
    }


@pytest.mark.parametrize(("first", "then"), [(STOCK, OURS), (OURS, STOCK)])
def test_a_home_can_change_its_storage_and_shows_the_same(first: str, then: str, home: Path) -> None:
    def run(instance: dg.DagsterInstance, keys: list[str], made: list[str], *, fails: bool) -> None:
        @dg.multi_asset(specs=[dg.AssetSpec("original", skippable=True)], partitions_def=media)
        def original(context: dg.AssetExecutionContext) -> None:
            for at, key in enumerate(made, 1):
                event = materialized(context.run.run_id, "original", key, 1.75e9).get_dagster_event()
                instance.report_dagster_event(
                    event, context.run.run_id, batch_metadata=DagsterEventBatchMetadata("b", at == len(made))
                )
            if fails:
                raise dg.Failure("some are missing")

        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
        job = dg.Definitions(assets=[original], jobs=[dg.define_asset_job("j", [original])]).resolve_job_def("j")
        done = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        assert done.success is not fails

    for number, storage in enumerate((first, then)):
        with instance_of(storage, home, base_dir=str(home)) as instance:
            keys = [f"{number}-{letter}" for letter in "abc"]
            instance.add_dynamic_partitions("media", keys)
            run(instance, keys, keys[:2], fails=True)
    for storage in (STOCK, OURS):
        with instance_of(storage, home, base_dir=str(home)) as instance:
            assert _status(instance, "original") == {
                "materialized": {"0-a", "0-b", "1-a", "1-b"},
                "failed": {"0-c", "1-c"},
                "in_progress": set(),
            }
            assert len(instance.get_runs()) == 2


def test_a_run_in_progress_and_a_run_that_was_killed(home: Path) -> None:
    with instance_of(OURS, home, base_dir=str(home)) as instance:
        instance.add_dynamic_partitions("media", ["a", "b"])
        run = dg.DagsterRun("j", run_id=RUNS[0], status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        storage = instance.event_log_storage
        storage.store_event_batch([planned(run.run_id, "original", key, 1.75e9) for key in "ab"])
        storage.store_event_batch([materialized(run.run_id, "original", "a", 1.75e9)])
        assert _status(instance, "original") == {"materialized": {"a"}, "failed": set(), "in_progress": {"b"}}
        info = storage.get_latest_planned_materialization_info(dg.AssetKey("original"), "b")
        assert info is not None
        assert info.run_id == run.run_id
        instance.report_run_failed(run)
        assert _status(instance, "original") == {"materialized": {"a"}, "failed": {"b"}, "in_progress": set()}


def test_a_batch_that_cannot_be_written_leaves_nothing_and_its_events_are_stored_singly(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with instance_of(OURS, home, base_dir=str(home)) as instance:
        storage = instance.event_log_storage
        storage.store_event(said(RUNS[0], 1.75e9))
        events = [materialized(RUNS[0], "original", key, 1.75e9) for key in "abc"]
        before = database(storage, RUNS[:1])
        write = batches.BatchWriter._store_side_effects

        def fails_with_many(self: EventLogStorage, conn: object, rows: list[object], numbers: list[int]) -> None:
            if len(rows) > 1:
                raise OSError("no space left")
            write(self, conn, rows, numbers)  # type: ignore[arg-type]

        monkeypatch.setattr(batches.BatchWriter, "_store_side_effects", fails_with_many)
        with pytest.raises(OSError, match="no space"):
            storage.store_event_batch(events)
        assert database(storage, RUNS[:1]) == before
        for at, event in enumerate(events, 1):
            instance.handle_new_event(event, batch_metadata=DagsterEventBatchMetadata("b", at == len(events)))
        assert "Falling back" in capsys.readouterr().err
        assert instance.get_materialized_partitions(dg.AssetKey("original")) == set("abc")
        assert len(instance.all_logs(RUNS[0], of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)) == 3


def test_events_with_other_effects_are_refused_in_a_batch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch"):
        EventLogStorage(str(tmp_path)).store_event_batch([said(RUNS[0], 1.75e9)])


def test_threads_write_and_read_at_the_same_time(tmp_path: Path) -> None:
    storage = EventLogStorage(str(tmp_path))

    def work(number: int) -> None:
        storage.store_event_batch([materialized(RUNS[number % 2], "original", f"{number}-{at}", 1.75e9) for at in "ab"])
        assert f"{number}-a" in storage.get_materialized_partitions(dg.AssetKey("original"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(24)))
    assert len(storage.get_materialized_partitions(dg.AssetKey("original"))) == 48


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(tmp_path: Path) -> None:
    storage = EventLogStorage(str(tmp_path))
    storage.store_event(materialized(RUNS[0], "original", "parent", 1.75e9))
    with storage._db_lock:  # as if another thread was writing: the child must not wait for it
        child = store_in_child(storage, materialized(RUNS[0], "original", "child", 1.75e9))
    assert os.waitpid(child, 0)[1] == 0
    storage.store_event(materialized(RUNS[0], "original", "after", 1.75e9))
    assert storage.get_materialized_partitions(dg.AssetKey("original")) == {"parent", "child", "after"}


def test_files_that_somebody_deleted_are_made_again(tmp_path: Path) -> None:
    storage = EventLogStorage(str(tmp_path))
    storage.store_event(said(RUNS[0], 1.75e9))
    for path in tmp_path.glob(f"{RUNS[0]}.db*"):
        path.unlink()
    storage.store_event(said(RUNS[0], 1.75e9))
    assert len(SqliteEventLogStorage(str(tmp_path)).get_logs_for_run(RUNS[0])) == 1
    storage.wipe()
    assert storage.get_logs_for_run(RUNS[0]) == []


def test_the_embedded_home_uses_it_with_batches_and_existing_homes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from media_assets.instance import prepare_home
    from media_assets.settings import Settings

    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    home = prepare_home(Settings.load(library=str(tmp_path / "library"), state=str(tmp_path / "state")))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        assert type(instance.event_log_storage) is EventLogStorage
        assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 256
    assert (home / "history" / "runs" / "index.db").exists()
    assert (home / "schedules" / "schedules.db").exists()
