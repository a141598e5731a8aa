"""Archived months: keys leave Dagster, nothing computes them, and they come back by themselves or when asked."""

from datetime import timedelta
from pathlib import Path
from unittest import mock

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from media_assets.defs import archiving
from media_assets.defs.archiving import (
    ArchiveBusyError,
    archive_month,
    compare_with_ledger,
    mend_keys,
    reopen_files,
    wipe_events,
)
from media_assets.defs.partitions import add_partitions, remove_partitions
from media_assets.defs.tags import range_tags
from media_assets.pipeline import requests
from media_assets.pipeline.partition_keys import KeyComparison
from media_assets.storage import keys
from media_assets_tests.conftest import Drop
from media_assets_tests.defs.conftest import MakeWorld, World, media_ids
from media_assets_tests.pictures import jpeg, truncated_jpeg
from media_assets_tests.unit.storage.uploads import upload

NAMES = [f"{n}.jpg" for n in range(4)]


def ids(*names: str) -> list[str]:
    return [keys.media_id(name) for name in names]


def archive(world: World, **options: bool) -> int:
    """Archive the only month that there is."""
    (month,) = world.library.ledger.month_counts()
    return archive_month(world.instance, world.library, month, **options)


@pytest.fixture
def known(world: World) -> World:
    """Four files that the ledger has as done, and their keys; nothing was run."""
    ledger, inbox = world.library.ledger, world.library.inbox().url
    ledger.record_page(inbox, [upload(name) for name in NAMES], None, take_over=True)
    entries = ledger.entries(ids(*NAMES)).values()
    ledger.record_results([], accepted=[(entry, entry.media_id, "originals/x") for entry in entries])
    add_partitions(world.instance, ids(*NAMES))
    return world


@pytest.fixture
def filled(world: World, drop: Drop) -> World:
    """Four files that are done; the second tick closes their batch."""
    drop({name: jpeg(at) for at, name in enumerate(NAMES)})
    world.ingest()
    world.tick()
    return world


def test_keys_leave_and_come_back_as_they_were(filled: World) -> None:
    rows = filled.library.ledger.counts()
    assert archive(filled) == 4
    assert filled.partitions() == []
    assert filled.status("thumbnails")["materialized"] == set()
    assert filled.library.ledger.counts() == rows
    assert len(filled.events("thumbnails", "0.jpg")) == 1  # events stay
    assert archive(filled) == 0

    (month,) = filled.library.ledger.month_counts()
    found = filled.library.ledger.archived_files(month)
    assert reopen_files(filled.instance, filled.library, found) == 4
    assert filled.partitions() == ids(*NAMES)
    assert filled.status("thumbnails")["materialized"] == media_ids(*NAMES)
    assert filled.status("thumbnails")["missing"] == set()
    assert filled.library.ledger.archived_count() == 0
    assert filled.tick().run_requests == []
    assert archive(filled) == 4


def test_without_its_events_a_reopened_file_is_missing_and_nothing_computes_it(filled: World) -> None:
    assert archive(filled, forget_events=True) == 4
    assert [filled.events(asset, "0.jpg") for asset in ("original", "thumbnails")] == [[], []]
    reopen_files(filled.instance, filled.library, ids("0.jpg"))
    assert filled.status("thumbnails")["materialized"] == set()
    assert filled.status("thumbnails")["missing"] == media_ids("0.jpg")
    assert filled.tick().run_requests == []
    assert filled.backfill("0.jpg", "0.jpg", "thumbnails").success
    assert filled.status("thumbnails")["materialized"] == media_ids("0.jpg")


def test_only_the_events_of_the_archived_partitions_are_wiped(
    make_world: MakeWorld, drop: Drop, tmp_path: Path
) -> None:
    """On SQLite, where the log of each run is a file of its own."""
    (tmp_path / "home").mkdir()
    instance = dg.DagsterInstance.local_temp(str(tmp_path / "home"))
    world = make_world(instance)
    drop({name: jpeg(at) for at, name in enumerate(NAMES)})
    (run,) = world.ingest()
    assert len(world.materialized_by(run)) == 4 * 5
    assert wipe_events(instance, ids("0.jpg", "2.jpg")) > 0
    assert set(world.materialized_by(run)) == media_ids("1.jpg", "3.jpg")
    assert [len(world.events("metadata", name)) for name in NAMES] == [0, 1, 0, 1]
    assert wipe_events(instance, ids("0.jpg", "2.jpg")) == 0
    assert instance.get_run_by_id(run.run_id) is not None
    instance.dispose()


def test_a_new_version_brings_its_key_back(filled: World, drop: Drop) -> None:
    archive(filled)
    drop({"2.jpg": jpeg(9, size=(30, 20)), "new.jpg": jpeg(8)})
    results = filled.ingest()
    assert [result.success for result in results] == [True]
    assert set(filled.partitions()) == media_ids("2.jpg", "new.jpg")
    assert filled.status("thumbnails")["materialized"] == media_ids("2.jpg", "new.jpg")
    assert len(filled.events("original", "2.jpg")) == 2
    assert len(filled.events("original", "1.jpg")) == 1
    assert filled.library.ledger.archived_count() == 3
    assert filled.tick().run_requests == []
    assert archive(filled) == 2  # it is finished again


def test_a_new_sidecar_brings_the_key_back_for_its_metadata(filled: World, drop: Drop) -> None:
    archive(filled)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    drop({"1.jpg.xmp": xmp})
    (request,) = filled.tick().run_requests
    assert filled.partitions() == ids("1.jpg")
    assert request.asset_selection == [dg.AssetKey("metadata")]
    result = filled.launch(request)
    assert result is not None
    assert result.success
    assert [len(filled.events(asset, "1.jpg")) for asset in ("metadata", "thumbnails")] == [2, 1]
    assert filled.status("thumbnails")["materialized"] == media_ids("1.jpg")
    assert filled.library.ledger.archived_count() == 3
    assert filled.tick().run_requests == []


def test_a_new_version_that_is_refused_leaves_the_old_one_reopened(
    filled: World, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "backoff", lambda attempt: timedelta(0))
    archive(filled)
    drop({"3.jpg": truncated_jpeg()})
    filled.ingest()
    filled.tick()
    assert filled.library.ledger.counts() == {"accepted": 3, "rejected": 1}
    assert filled.partitions() == ids("3.jpg")
    assert filled.status("original")["materialized"] == media_ids("3.jpg")
    assert compare_with_ledger(filled.instance, filled.library) == KeyComparison()


def test_the_analysis_does_not_want_archived_files(make_world: MakeWorld, drop: Drop) -> None:
    world = make_world(analyze=True)
    drop({name: jpeg(at) for at, name in enumerate(NAMES)})
    world.ingest()
    world.tick()
    assert len(world.tick("analysis_sensor").run_requests) == 1
    # Marked behind the back of `pipeline.archive`, which refuses a month that is not analysed.
    archive(world)
    assert "is analysed" in str(world.tick("analysis_sensor").skip_message)


def running(world: World, first: str, last: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    tags = range_tags(keys.media_id(first), keys.media_id(last))
    return create_run_for_test(world.instance, job_name="ingest_job", tags=tags, status=status)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_nothing_is_archived_during_a_run_over_it(known: World, status: dg.DagsterRunStatus) -> None:
    run = running(known, "1.jpg", "2.jpg", status)
    before = known.partitions()
    with pytest.raises(ArchiveBusyError, match=run.run_id):
        archive(known)
    assert known.partitions() == before
    assert known.library.ledger.archived_count() == 0
    known.instance.report_run_failed(run)
    assert archive(known) == 4


def test_a_run_over_other_partitions_does_not_hinder(known: World) -> None:
    (month,) = known.library.ledger.month_counts()
    add_partitions(known.instance, ["later-a", "later-b"])
    tags = range_tags("later-a", "later-b")
    create_run_for_test(known.instance, job_name="ingest_job", tags=tags, status=dg.DagsterRunStatus.STARTED)
    create_run_for_test(known.instance, job_name="catalog_job", status=dg.DagsterRunStatus.STARTED)
    assert archive_month(known.instance, known.library, month) == 4
    assert known.partitions() == ["later-a", "later-b"]


def test_nothing_is_archived_during_a_backfill(known: World) -> None:
    backfill = PartitionBackfill(
        backfill_id="b1", status=BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=1.0
    )
    known.instance.add_backfill(backfill)
    with pytest.raises(ArchiveBusyError, match="b1"):
        archive(known)
    assert len(known.partitions()) == 4


def test_a_file_that_waits_keeps_its_month_open(known: World) -> None:
    ledger = known.library.ledger
    ledger.record_page(known.library.inbox().url, [upload("0.jpg", "2")], None, take_over=True)
    assert archive(known) == 0
    assert len(known.partitions()) == 4


@pytest.mark.parametrize("step", ["remove_partitions", "check_unused"])
def test_what_was_interrupted_is_completed_by_the_same_call(known: World, step: str) -> None:
    with mock.patch.object(archiving, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        archive(known)
    assert len(known.partitions()) == 4
    assert len(compare_with_ledger(known.instance, known.library).archived) == 4
    assert known.tick().run_requests == []
    assert archive(known) == 4
    assert known.partitions() == []


def test_an_interrupted_reopening_is_completed_by_the_same_call(known: World) -> None:
    archive(known)
    with (
        mock.patch.object(known.library.ledger, "reopen_files", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        reopen_files(known.instance, known.library, ids(*NAMES))
    reopen_files(known.instance, known.library, ids(*NAMES))
    assert known.partitions() == ids(*NAMES)
    assert compare_with_ledger(known.instance, known.library) == KeyComparison()


def test_stale_keys_go_and_missing_ones_come(known: World) -> None:
    assert compare_with_ledger(known.instance, known.library) == KeyComparison()
    remove_partitions(known.instance, ids("1.jpg"))
    add_partitions(known.instance, ["stranger-0123456789ab"])
    found = compare_with_ledger(known.instance, known.library)
    assert found == KeyComparison(unknown=("stranger-0123456789ab",), missing=tuple(ids("1.jpg")))
    mend_keys(known.instance, found)
    assert known.partitions() == ids("0.jpg", "2.jpg", "3.jpg", "1.jpg")
    assert compare_with_ledger(known.instance, known.library) == KeyComparison()


@pytest.mark.parametrize("is_sql", [True, False])
def test_many_keys_are_removed_and_nothing_else(world: World, is_sql: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_sql:
        monkeypatch.setattr("media_assets.defs.partitions.SqlEventLogStorage", _OtherStorage)
    many = [f"k{n}" for n in range(1201 if is_sql else 12)]
    add_partitions(world.instance, many)
    world.instance.add_dynamic_partitions("other", many[:2])
    remove_partitions(world.instance, [*many[1:], "never there"])
    assert world.partitions() == ["k0"]
    assert world.instance.get_dynamic_partitions("other") == many[:2]
    add_partitions(world.instance, ["k5", "k0"])
    assert world.partitions() == ["k0", "k5"]


class _OtherStorage:
    """No storage is one of these."""


def test_events_of_a_storage_that_is_no_database_are_not_wiped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "SqlEventLogStorage", _OtherStorage)
    with pytest.raises(TypeError, match="no SQL database"):
        wipe_events(world.instance, ["a"])
