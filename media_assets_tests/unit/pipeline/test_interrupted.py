"""Versions whose rows a dead run had written, and that left the inbox before they were tried again."""

from dataclasses import replace
from pathlib import Path

import pytest

from media_assets.pipeline.assets import INGEST_ASSETS, TABLE_OF
from media_assets.pipeline.interrupted import complete_interrupted
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StoreUnreachable
from media_assets_tests.conftest import Drop
from media_assets_tests.pictures import jpeg, truncated_jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, entry_of, listed, rows, start


def died_with_rows(library: Library, run_id: str = "run-0") -> FileOutcome:
    """Start what waits, and end it when its rows are written and nothing has been told yet."""
    (batch,) = listed(library)
    running = start(library, batch, run_id)
    (outcome,) = next(running).outcomes
    running.close()  # type: ignore[attr-defined]
    return outcome


def inbox_file(library: Library, name: str) -> Path:
    return Path(library.settings.inbox_url) / name


def outcomes_of_next_run(library: Library, run_id: str = "next") -> list[FileOutcome]:
    found = []
    for batch in listed(library):
        found += [one for chunk in start(library, batch, run_id) for one in chunk.outcomes]
        assert library.ledger.finish_batch(batch.batch_id)
    return found


def assert_accepted_everywhere(library: Library, sha256: str, run_id: str) -> None:
    entry = entry_of(library, "a.jpg")
    assert (entry.sha256, library.store.sha256(entry.original_key or "")) == (sha256, sha256)
    assert library.ledger.begun([entry.media_id]) == {}
    for table in {TABLE_OF[asset] for asset in INGEST_ASSETS}:
        row = rows(library, table)["a.jpg"]
        assert (row["input_version"], row["run_id"]) == (sha256, run_id), table
        assert catalog.check_unique(library.store, table) == []


def test_an_upload_that_was_deleted_is_completed_from_its_original(library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    died = died_with_rows(library)
    inbox_file(library, "a.jpg").unlink()
    (outcome,) = outcomes_of_next_run(library)
    # Its events are logged by whoever iterates: they need an outcome that is materialized, with every asset.
    assert (outcome.state, outcome.assets, outcome.sha256) == ("materialized", frozenset(INGEST_ASSETS), died.sha256)
    assert entry_of(library, "a.jpg").state == "accepted"
    assert_accepted_everywhere(library, died.sha256 or "", "next")
    assert library.ledger.lacking(library.inbox().url, INGEST_ASSETS) == {}


def test_an_upload_that_was_overwritten_by_something_broken_is_completed_and_the_new_one_refused(
    library: Library, drop: Drop
) -> None:
    drop({"a.jpg": jpeg(1)})
    died = died_with_rows(library)
    drop({"a.jpg": truncated_jpeg()})
    older, newer = outcomes_of_next_run(library)
    assert (older.state, newer.state) == ("materialized", "rejected")
    assert entry_of(library, "a.jpg").state == "rejected"
    assert_accepted_everywhere(library, died.sha256 or "", "next")
    assert rows(library, "rejected")["a.jpg"]["sha256"] == newer.sha256
    drop({"a.jpg": jpeg(2)})
    assert [one.state for one in outcomes_of_next_run(library, "last")] == ["materialized"]
    assert rows(library, "rejected") == {}


def test_an_upload_over_it_that_vanished_unread_is_read_when_it_is_back(
    library: Library, drop: Drop, tmp_path: Path
) -> None:
    drop({"a.jpg": jpeg(1)})
    died = died_with_rows(library)
    drop({"a.jpg": jpeg(2)})
    *_, batch = listed(library)
    away = inbox_file(library, "a.jpg").rename(tmp_path / "away.jpg")
    assert [one.state for chunk in start(library, batch, "next") for one in chunk.outcomes] == ["materialized", "gone"]
    assert library.ledger.finish_batch(batch.batch_id)
    assert_accepted_everywhere(library, died.sha256 or "", "next")
    away.rename(inbox_file(library, "a.jpg"))
    (outcome,) = outcomes_of_next_run(library, "last")
    assert outcome.source == "inbox"
    assert_accepted_everywhere(library, outcome.sha256 or "", "last")
    assert outcome.sha256 != died.sha256


def test_an_older_accepted_version_is_followed_by_the_interrupted_one(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(1)})
    first = ingest(library)["a.jpg"]
    drop({"a.jpg": jpeg(2)})
    died = died_with_rows(library, "died")
    inbox_file(library, "a.jpg").unlink()
    outcomes_of_next_run(library)
    assert died.sha256 != first.sha256
    assert_accepted_everywhere(library, died.sha256 or "", "next")
    # The bytes of the first version belong to the other file that has them.
    assert rows(library, "files")["b.jpg"]["duplicate_of"] is None


def test_an_upload_that_is_still_there_is_done_again_once(library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    died = died_with_rows(library)
    (begun,) = library.ledger.begun([keys.media_id("a.jpg")]).values()
    assert (begun.sha256, begun.original_key) == (died.sha256, died.original_key)
    (outcome,) = outcomes_of_next_run(library)
    assert (outcome.source, outcome.is_interrupted_version) == ("inbox", False)
    assert_accepted_everywhere(library, died.sha256 or "", "next")


def test_an_upload_that_was_never_written_is_gone(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1)})
    listed(library)
    inbox_file(library, "a.jpg").unlink()
    assert ingest(library)["a.jpg"].state == "gone"


def test_a_store_that_does_not_answer_leaves_both_versions_to_be_tried_again(
    library: Library, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1)})
    died = died_with_rows(library)
    drop({"a.jpg": truncated_jpeg()})
    *_, batch = listed(library)  # after that of the dead run, which has no file any more

    def refuse(*_: object) -> None:
        raise StoreUnreachable("The store does not answer. Try again.")

    with monkeypatch.context() as broken:
        broken.setattr(library.store, "get_to_file", refuse)
        broken.setattr("media_assets.pipeline.retries.ATTEMPTS", 1)
        (failed,) = [one for chunk in start(library, batch, "run-1") for one in chunk.outcomes]
    assert (failed.state, failed.is_interrupted_version) == ("failed", True)
    assert entry_of(library, "a.jpg").state == "pending"
    assert not library.ledger.finish_batch(batch.batch_id)
    outcomes_of_next_run(library)
    assert_accepted_everywhere(library, died.sha256 or "", "next")
    assert entry_of(library, "a.jpg").state == "rejected"


def test_an_upload_that_killed_its_run_is_not_looked_at_again(library: Library, drop: Drop, tmp_path: Path) -> None:
    drop({"a.jpg": jpeg(1)})
    died_with_rows(library)
    entry = entry_of(library, "a.jpg")
    killed = FileOutcome(replace(entry, problem="run_killed"), frozenset(INGEST_ASSETS), "rejected", "inbox")
    with library.worker_pool() as pool:
        assert complete_interrupted(library, pool, tmp_path, [killed]) == (killed,)
